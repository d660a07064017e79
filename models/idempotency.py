from uuid import UUID

from tortoise import fields

from models.base import Row
from models.fields import UtcField
from models.user import User


class IdempotencyKey(Row):
    """The answer to a connect that named a key: the same user with the same key gets it again."""

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("patchbay.User", related_name="idempotency_keys")
    key = fields.CharField(max_length=200)
    # Keyed hash of the request, so that one key is not used for two different ones.
    request = fields.CharField(max_length=64)
    connection_id = fields.UUIDField(null=True)
    authorization_id = fields.UUIDField(null=True)
    created_at = UtcField()

    user_id: UUID

    class Meta:
        app = "patchbay"
        table = "idempotency_key"
        unique_together = (("user", "key"),)
