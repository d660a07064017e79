"""Which connections somebody asks for, and in which order."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import models
from models import AuthenticationType, ConnectionStatus
from models.database import texts_of_times


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
    # A folder or an owner was asked for that cannot be.
    nowhere: bool = False
    search: str | None = None
    connector_key: str | None = None
    statuses: tuple[ConnectionStatus, ...] | None = None
    authentication_type: AuthenticationType | None = None
    is_default: bool | None = None
    owner_id: UUID | None = None
    # Whether the owner may sign in.
    owner_active: bool | None = None
    order: OrderField = OrderField.NAME
    descending: bool = False

    @property
    def is_of_columns(self) -> bool:
        """Whether it asks for nothing but columns of the connection, each alone, and where to look."""
        return not self.nowhere and self.search is None and self.owner_id is None and self.owner_active is None

    @property
    def is_plain(self) -> bool:
        """Whether it asks for no more than folders and statuses."""
        others = (self.search, self.connector_key, self.authentication_type, self.is_default, self.owner_id, self.owner_active)
        return all(asked is None for asked in others)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the value it was ordered by, and the id that breaks ties."""

    value: str | datetime
    id: UUID

    @classmethod
    def of(cls, connection: models.Connection, order: OrderField) -> "Position":
        return cls(getattr(connection, order.column), connection.id)

    @classmethod
    def of_record(cls, row: Any, order: OrderField) -> "Position":
        """As the driver has the row."""
        value = row[order.column]
        if order is not OrderField.NAME:
            value = datetime.fromisoformat(texts_of_times([value])[0])
        return cls(value, UUID(row["id"]))
