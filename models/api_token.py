from datetime import datetime
from uuid import UUID

from tortoise import fields
from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from models.base import Row
from models.fields import UtcField
from models.user import User


class ApiToken(Row):
    """A bearer token. Only its public id and the SHA-256 of its secret are kept."""

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("patchbay.User", related_name="api_tokens")
    name = fields.CharField(max_length=120)
    public_id = fields.CharField(max_length=12, unique=True)
    secret_hash = fields.BinaryField()
    created_at = UtcField()
    expires_at = UtcField(null=True)
    last_used_at = UtcField(null=True)
    revoked_at = UtcField(null=True)

    user_id: UUID

    class Meta:
        app = "patchbay"
        table = "api_token"

    @classmethod
    def alive(cls, now: datetime) -> QuerySet["ApiToken"]:
        return cls.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)
