from uuid import UUID

from tortoise import fields

from models.base import Row
from models.connection import Connection
from models.fields import SealedField, UtcField


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

    connection_id: UUID

    class Meta:
        app = "patchbay"
        table = "credential"
