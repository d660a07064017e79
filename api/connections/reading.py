"""Connections as lists: filtered, ordered, paged by key, and counted. What the actor may not see is not there.

But for one thing: an administrator who asks for connections of deactivated owners is shown those in their workspaces too, so that they
can be handed over. Of these there is nothing but what they are called, what they connect to, and how they are.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise.expressions import Q, RawSQL, Subquery
from tortoise.functions import Count
from tortoise.queryset import QuerySet

import models
from api.access import Access, Actor
from api.connections.pages import page_of_folders
from api.connections.query import ConnectionQuery, Position
from api.errors import NotFound
from models import ConnectionStatus, FolderKind, fold
from models.database import instance, rows

_PLACE = 'ROW_NUMBER() OVER (PARTITION BY "{each}" ORDER BY {order})'
# The index on folder, name and id has all that is ranked by name; the rest of a row is read for the page alone.
_FIRST_OF_EACH = """
SELECT * FROM connection WHERE id IN (SELECT id FROM ({matching}) AS ranked WHERE place <= {most}) ORDER BY {order}
"""


class Each(StrEnum):
    """What lists of connections that stand beside each other differ in, by its column."""

    FOLDER = "folder_id"
    CONNECTOR = "connector_key"


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
        folder_ids = await self._folders(actor, query)
        find = page_of_folders if query.is_plain else _searched
        ordered = await find(folder_ids, query, most=first + 1, after=after)
        await self._blank(actor, query, ordered)
        return Slice(ordered[:first], len(ordered) > first)

    async def count(self, actor: Actor, query: ConnectionQuery) -> int:
        return await (await self._matching(actor, query)).count()

    async def first_pages(self, actor: Actor, query: ConnectionQuery, each: Each, values: Sequence[Any], *, first: int) -> dict[Any, Slice]:
        """The first page of every list that has one of these values, all at once."""
        direction = "DESC" if query.descending else "ASC"
        order = f'"{query.order.column}" {direction}, "id" {direction}'
        place = RawSQL(_PLACE.format(each=each, order=order))
        matching = (await self._matching_each(actor, query, each, values)).annotate(place=place).values("id", "place")
        # allowed: made-statement: the ORM wrote it, with its values apart, and the column is a member of an enum
        statement = _FIRST_OF_EACH.format(matching=matching.sql(), most=first + 1, order=order)
        found: dict[Any, list[models.Connection]] = {value: [] for value in values}
        for row in await rows(statement, matching.query.get_parameterized_sql()[1]):
            connection = instance(models.Connection, row)
            found[getattr(connection, each)].append(connection)
        await self._blank(actor, query, [connection for several in found.values() for connection in several])
        return {value: Slice(several[:first], len(several) > first) for value, several in found.items()}

    async def counts(self, actor: Actor, query: ConnectionQuery, each: Each, values: Sequence[Any]) -> dict[Any, int]:
        """How many are in every list that has one of these values."""
        found = await self._matching_each(actor, query, each, values)
        counted = await found.annotate(count=Count("id")).group_by(each.value).values(each.value, "count")
        return dict.fromkeys(values, 0) | {row[each]: row["count"] for row in counted}

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
        return _narrowed(models.Connection.filter(folder_id__in=await self._folders(actor, query)), query)

    async def _matching_each(self, actor: Actor, query: ConnectionQuery, each: Each, values: Sequence[Any]) -> QuerySet[models.Connection]:
        if each is Each.CONNECTOR:
            return (await self._matching(actor, query)).filter(connector_key__in=values)
        places = [] if query.nowhere else list(await self._access.permissions(actor, values))
        return _narrowed(models.Connection.filter(folder_id__in=places), query)

    async def _folders(self, actor: Actor, query: ConnectionQuery) -> list[UUID]:
        """Where to look: never where the actor cannot see."""
        if query.nowhere:
            return []
        if query.folder_id is None:
            return [*await self._access.visible_folders(actor), *await self._left_behind(actor, query)]
        return list(await self._access.permissions(actor, [query.folder_id]))

    async def _left_behind(self, actor: Actor, query: ConnectionQuery) -> list[UUID]:
        """The workspaces of deactivated owners, for an administrator who asks for their connections."""
        asked = query.owner_active is False or (query.owner_active is None and query.owner_id is not None)
        if not asked or not actor.may_administer or query.folder_id is not None:
            return []
        workspaces = models.Folder.filter(kind=FolderKind.PERSONAL, owner__deactivated_at__not_isnull=True)
        if query.owner_id is not None:
            workspaces = workspaces.filter(owner_id=query.owner_id)
        return [folder.id for folder in await workspaces.only("id")]

    async def _blank(self, actor: Actor, query: ConnectionQuery, connections: Sequence[models.Connection]) -> None:
        left_behind = set(await self._left_behind(actor, query))
        for connection in connections:
            if connection.folder_id in left_behind:
                blank(connection)


async def _searched(folder_ids: Sequence[UUID], query: ConnectionQuery, *, most: int, after: Position | None) -> list[models.Connection]:
    """A page of what has to be looked for among all the others."""
    found = _narrowed(models.Connection.filter(folder_id__in=list(folder_ids)), query)
    column, sign, step = query.order.column, "-" if query.descending else "", "lt" if query.descending else "gt"
    if after is not None:
        beyond: dict[str, Any] = {f"{column}__{step}": after.value}
        level: dict[str, Any] = {column: after.value, f"id__{step}": after.id}
        from_there: dict[str, Any] = {f"{column}__{step}e": after.value}
        # The first says no more than the second, but an index can begin there.
        found = found.filter(Q(**from_there), Q(**beyond) | Q(**level))
    return await found.order_by(f"{sign}{column}", f"{sign}id").limit(most)


def blank(connection: models.Connection) -> None:
    """Leave nothing in the row of what an administrator may not read in somebody's workspace."""
    connection.account = connection.reason_json = connection.oauth_app_id = connection.option_key = None
    connection.site, connection.scopes, connection.missing_scopes = {}, [], []
    connection.expires_at = connection.due_at = None
    connection.last_refreshed_at = connection.last_verified_at = connection.last_used_at = None


def _narrowed(found: QuerySet[models.Connection], query: ConnectionQuery) -> QuerySet[models.Connection]:
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
    if query.owner_id is not None:
        found = found.filter(owner_id=query.owner_id)
    if query.owner_active is not None:
        owners = models.User.filter(deactivated_at__isnull=query.owner_active)
        # Not joined, because both tables have columns of the same names, and lists beside each other are ordered by bare names.
        found = found.filter(owner_id__in=Subquery(owners.values("id")))
    return found
