from enum import StrEnum
from uuid import UUID

from tortoise import fields

from models.base import StrictModel
from models.fields import UtcField, WordField


class AuditOutcome(StrEnum):
    DONE = "DONE"
    # Whoever asked may not, or what they named is hidden from them or not there.
    REFUSED = "REFUSED"
    # It was allowed, and came to nothing: wrong input, the provider's no, a conflict.
    FAILED = "FAILED"


class AuditEntry(StrictModel):
    """Who did what, or tried to. Only ever appended, and names what it speaks of by value: it outlives all of it."""

    id = fields.BigIntField(primary_key=True)
    at = UtcField()
    # Null where nobody was signed in, or Patchbay itself did it.
    actor_id: UUID | None = fields.UUIDField(null=True)
    actor_name = fields.CharField(max_length=120, null=True)
    # The address that it came from, and the API token that it came with.
    source = fields.CharField(max_length=64, null=True)
    token_id: UUID | None = fields.UUIDField(null=True)
    action = fields.CharField(max_length=64)
    outcome = WordField(AuditOutcome, max_length=7)
    subject_id = fields.CharField(max_length=64, null=True)
    subject_name = fields.CharField(max_length=320, null=True)
    folder_id: UUID | None = fields.UUIDField(null=True)
    detail = fields.CharField(max_length=1000, null=True)

    class Meta:
        app = "patchbay"
        table = "audit_entry"
