from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields

from models.base import StrictModel
from models.fields import UtcField, WordField
from models.status import ConnectionStatus, StatusReason


class ConnectionEventType(StrEnum):
    CREATED = "CREATED"
    RECONNECTED = "RECONNECTED"
    STATUS_CHANGED = "STATUS_CHANGED"
    RENAMED = "RENAMED"
    DEFAULT_CHANGED = "DEFAULT_CHANGED"
    MOVED = "MOVED"
    OWNER_CHANGED = "OWNER_CHANGED"
    DELETED = "DELETED"


class ConnectionEvent(StrictModel):
    """What happened to a connection, appended in the transaction of the change; it outlives the connection.

    On PostgreSQL the table has one column more, `xid`, the transaction that wrote the row: readers order by it, because
    transactions do not commit in the order of their sequence numbers.
    """

    id = fields.BigIntField(primary_key=True)
    type = WordField(ConnectionEventType, max_length=16)
    connection_id = fields.UUIDField(db_index=True)
    connection_name = fields.CharField(max_length=120)
    connector_key = fields.CharField(max_length=64)
    folder_id = fields.UUIDField()
    # Where it came from, if it was moved: who sees either folder may know of it.
    previous_folder_id: UUID | None = fields.UUIDField(null=True)
    previous_status = WordField(ConnectionStatus, max_length=16, null=True)
    status = WordField(ConnectionStatus, max_length=16)
    reason_json: dict[str, Any] | None = fields.JSONField(null=True)
    # Null where the refresh loop did it.
    actor_id = fields.UUIDField(null=True)
    at = UtcField()

    class Meta:
        app = "patchbay"
        table = "connection_event"

    @property
    def reason(self) -> StatusReason | None:
        return None if self.reason_json is None else StatusReason.from_json(self.reason_json)
