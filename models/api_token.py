from enum import StrEnum
from uuid import UUID

from tortoise import fields

from models.base import Row
from models.fields import UtcField, WordField
from models.user import User


class ApiTokenKind(StrEnum):
    """Whom a token is for."""

    USER = "USER"
    SERVICE = "SERVICE"


class ApiToken(Row):
    """A bearer token. Only its public id and the SHA-256 of its secret are kept."""

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("patchbay.User", related_name="api_tokens")
    name = fields.CharField(max_length=120)
    public_id = fields.CharField(max_length=12, unique=True)
    secret_hash = fields.BinaryField()
    # Null: made before there were kinds, for a user.
    kind = WordField(ApiTokenKind, max_length=7, null=True)
    # What it may do at the most, as one number; null: all that its owner may.
    permissions: int | None = fields.IntField(null=True)
    # Where it is limited, what of `OrganizationPermission` it may all the same, if its owner may.
    organization_permissions = fields.IntField(default=0, db_default=0)
    # Ids of the folders that it is good for, with those below them; null: all that its owner can see.
    folder_ids: list[str] | None = fields.JSONField(null=True)
    # Who made it, where that was not its owner: it reaches what is shared with the owner, never their workspace.
    made_by_id: UUID | None = fields.UUIDField(null=True)
    created_at = UtcField()
    expires_at = UtcField(null=True)
    last_used_at = UtcField(null=True)
    revoked_at = UtcField(null=True)

    user_id: UUID

    class Meta:
        app = "patchbay"
        table = "api_token"
