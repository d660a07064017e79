from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.queryset import QuerySet

from models.base import Row
from models.fields import UtcField


class ConnectorVersion(Row):
    """One version of a connector of one's own. It never changes. Its number is given once, also where the key is used again."""

    connector_key = fields.CharField(max_length=64)
    version = fields.IntField()
    # What a connector file would say.
    document: dict[str, Any] = fields.JSONField()
    # What its author gave.
    definition: dict[str, Any] = fields.JSONField()
    created_at = UtcField()
    created_by_id: UUID | None = fields.UUIDField(null=True)
    # Since when the connector is no more; all its versions go at once.
    deleted_at = UtcField(null=True)

    class Meta:
        app = "patchbay"
        table = "connector_version"
        unique_together = (("connector_key", "version"),)

    @classmethod
    def alive(cls) -> QuerySet["ConnectorVersion"]:
        return cls.filter(deleted_at=None)
