from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from tortoise import fields
from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from models.base import Row
from models.event import ConnectionEventType
from models.fields import SealedField, UtcField
from models.folder import Folder
from models.rows import records

_ANY_ENABLED = "SELECT 1 AS one FROM webhook WHERE disabled_at IS NULL LIMIT 1"


class Webhook(Row):
    """An address that is told what happens to the connections in a folder and in those below it; it goes with the folder."""

    # Null: in every shared folder there is.
    folder: fields.ForeignKeyNullableRelation[Folder] = fields.ForeignKeyField(
        "patchbay.Folder", related_name="webhooks", null=True, on_delete=fields.CASCADE
    )
    url = fields.CharField(max_length=2000)
    # The types of events that it is told of.
    events: list[str] = fields.JSONField(default=list)
    secret = SealedField()
    secret_set_at = UtcField()
    # The secret before this one, with which messages are signed too until its time is over.
    previous_secret = SealedField(null=True)
    previous_secret_until = UtcField(null=True)
    # Who made it; they may be gone.
    created_by_id = fields.UUIDField()
    created_at = UtcField()
    disabled_at = UtcField(null=True)
    disabled_reason = fields.CharField(max_length=200, null=True)
    # The place in the log behind which it begins: of what was before that it is told nothing by itself.
    begins_transaction = fields.BigIntField(default=0)
    begins_id = fields.BigIntField(default=0)
    # Since when every attempt has failed; null: the last one did not.
    failing_since = UtcField(null=True)
    # Until when the receiver asked to be left alone.
    paused_until = UtcField(null=True)

    folder_id: UUID | None

    class Meta:
        app = "patchbay"
        table = "webhook"

    @classmethod
    def enabled(cls) -> QuerySet["Webhook"]:
        return cls.filter(disabled_at__isnull=True)

    @classmethod
    async def any_enabled(cls) -> bool:
        """Asked after each commit, and so by a statement that is written once."""
        return bool(await records(_ANY_ENABLED))

    @classmethod
    def of_folders(cls, folder_ids: Sequence[UUID], *, installation: bool) -> QuerySet["Webhook"]:
        """Those of these folders, and with `installation` those of none."""
        wanted = Q(folder_id__in=list(folder_ids))
        return cls.filter(wanted | Q(folder_id__isnull=True) if installation else wanted)

    @property
    def event_types(self) -> list[ConnectionEventType]:
        return [ConnectionEventType(word) for word in self.events]

    def disable(self, reason: str, now: datetime) -> None:
        """Saves nothing. What waits to be delivered waits on."""
        self.disabled_at, self.disabled_reason = now, reason

    def enable(self) -> None:
        """Saves nothing."""
        self.disabled_at = self.disabled_reason = self.failing_since = self.paused_until = None
