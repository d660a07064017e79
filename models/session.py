"""How a browser is signed in. Of links, sessions and states alike only the SHA-256 is kept."""

from datetime import datetime
from uuid import UUID

from tortoise import fields
from tortoise.queryset import QuerySet

from models.base import StrictModel
from models.fields import UtcField
from models.user import User


class SignInLink(StrictModel):
    """A link that signs its user in, once."""

    token_hash = fields.CharField(max_length=64, primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("patchbay.User", related_name="sign_in_links")
    expires_at = UtcField()

    user_id: UUID

    class Meta:
        app = "patchbay"
        table = "sign_in_link"


class Session(StrictModel):
    """A browser that is signed in."""

    token_hash = fields.CharField(max_length=64, primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("patchbay.User", related_name="sessions")
    created_at = UtcField()
    expires_at = UtcField()

    class Meta:
        app = "patchbay"
        table = "browser_session"

    @classmethod
    def alive(cls, now: datetime) -> QuerySet["Session"]:
        return cls.filter(expires_at__gt=now)


class SignInFlow(StrictModel):
    """A browser that is at the identity provider, and may come back once."""

    state_hash = fields.CharField(max_length=64, primary_key=True)
    cookie_hash = fields.CharField(max_length=64)
    # The page of ours that it wanted.
    onward = fields.CharField(max_length=255)
    expires_at = UtcField()

    class Meta:
        app = "patchbay"
        table = "sign_in_flow"
