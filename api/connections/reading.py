"""Connections as lists: filtered, ordered, paged by key, and counted. What the actor may not see is not there."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise.expressions import Q
from tortoise.functions import Count
from tortoise.queryset import QuerySet

import models
from api.access import Access, Actor
from api.errors import NotFound
from models import AuthenticationType, ConnectionStatus, fold


class OrderField(StrEnum):
    NAME = "NAME"
    CREATED_AT = "CREATED_AT"
    UPDATED_AT = "UPDATED_AT"
    STATUS_CHANGED_AT = "STATUS_CHANGED_AT"

    @property
    def column(self) -> str:
        return "name_key" if self is OrderField.NAME else self.value.lower()


@dataclass(frozen=True, slots=True)
class ConnectionQuery:
    """Which connections, and in which order."""

    folder_id: UUID | None = None
    # A folder was asked for that cannot be.
    nowhere: bool = False
    search: str | None = None
    connector_key: str | None = None
    statuses: tuple[ConnectionStatus, ...] | None = None
    authentication_type: AuthenticationType | None = None
    is_default: bool | None = None
    order: OrderField = OrderField.NAME
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the value it was ordered by, and the id that breaks ties."""

    value: str | datetime
    id: UUID

    @classmethod
    def of(cls, connection: models.Connection, order: OrderField) -> "Position":
        return cls(getattr(connection, order.column), connection.id)


@dataclass(frozen=True, slots=True)
class Slice:
    rows: list[models.Connection]
    has_next: bool


@dataclass(frozen=True, slots=True)
class StatusCounts:
    """connector key → status → how many."""

    by_connector: dict[str, dict[ConnectionStatus, int]]


class Reading:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def page(self, actor: Actor, query: ConnectionQuery, *, first: int, after: Position | None) -> Slice:
        """One page, in every folder that the actor can see or in one. An unseen folder is empty."""
        found = await self._matching(actor, query)
        column, sign = query.order.column, "-" if query.descending else ""
        if after is not None:
            step = "lt" if query.descending else "gt"
            beyond: dict[str, Any] = {f"{column}__{step}": after.value}
            level: dict[str, Any] = {column: after.value, f"id__{step}": after.id}
            found = found.filter(Q(**beyond) | Q(**level))
        rows = await found.order_by(f"{sign}{column}", f"{sign}id").limit(first + 1)
        return Slice(rows[:first], len(rows) > first)

    async def count(self, actor: Actor, query: ConnectionQuery) -> int:
        return await (await self._matching(actor, query)).count()

    async def find(self, actor: Actor, connection_id: UUID) -> models.Connection | None:
        try:
            return await self._access.connection(actor, connection_id)
        except NotFound:
            return None

    async def find_default(self, actor: Actor, folder_id: UUID, connector_key: str) -> models.Connection | None:
        """The default of a connector in a folder, whatever its status: a broken default stays the default."""
        found = await self._matching(actor, ConnectionQuery(folder_id=folder_id, connector_key=connector_key, is_default=True))
        return await found.first()

    async def health(self, actor: Actor, query: ConnectionQuery) -> StatusCounts:
        """How many connections are in which status, a connector."""
        counted = (
            await (await self._matching(actor, query))
            .annotate(count=Count("id"))
            .group_by("connector_key", "status")
            .values("connector_key", "status", "count")
        )
        by_connector: defaultdict[str, dict[ConnectionStatus, int]] = defaultdict(dict)
        for row in counted:
            by_connector[row["connector_key"]][ConnectionStatus(row["status"])] = row["count"]
        return StatusCounts(dict(by_connector))

    async def _matching(self, actor: Actor, query: ConnectionQuery) -> QuerySet[models.Connection]:
        if query.nowhere:
            folders = []
        elif query.folder_id is None:
            folders = list(await self._access.visible_folders(actor))
        else:
            folders = list(await self._access.permissions(actor, [query.folder_id]))
        found = models.Connection.filter(folder_id__in=folders)
        if query.search is not None:
            found = found.filter(Q(name_key__contains=fold(query.search)) | Q(account__icontains=query.search))
        if query.connector_key is not None:
            found = found.filter(connector_key=query.connector_key)
        if query.statuses is not None:
            found = found.filter(status__in=list(query.statuses))
        if query.authentication_type is not None:
            found = found.filter(authentication_type=query.authentication_type)
        if query.is_default is not None:
            found = found.filter(is_default=query.is_default)
        return found
