from datetime import datetime, timedelta
from uuid import UUID

from tortoise import fields
from tortoise.expressions import Q

from models.base import Row
from models.connection import Connection
from models.fields import SealedField, UtcField

_MINUTE = timedelta(minutes=1)


class Credential(Row):
    """The secrets of one connection, sealed for this row and the folder of its connection."""

    connection: fields.OneToOneRelation[Connection] = fields.OneToOneField(
        "patchbay.Connection", related_name="credential", on_delete=fields.CASCADE
    )
    secrets = SealedField()
    # Grows with every new credential; a save names the one that it replaces.
    generation = fields.IntField(default=1)
    # Keyed hash of what the next refresh consumes; saves compare it, so that a late answer never overwrites a newer one.
    fingerprint = fields.CharField(max_length=64)
    obtained_at = UtcField()
    refresh_expires_at = UtcField(null=True)
    # When somebody last reported that the provider rejects it, and it was looked into.
    rejected_at = UtcField(null=True)

    connection_id: UUID

    class Meta:
        app = "patchbay"
        table = "credential"

    @classmethod
    async def take_report(cls, connection_id: UUID, generation: int, now: datetime) -> bool:
        """Whether a report that this generation is rejected is to be looked into: one a minute of a connection, whoever reports it."""
        # A clock that was ahead may have written a later time.
        quiet = Q(rejected_at=None) | Q(rejected_at__lte=now - _MINUTE) | Q(rejected_at__gte=now + _MINUTE)
        return bool(await cls.filter(quiet, connection_id=connection_id, generation=generation).update(rejected_at=now))
