from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields

from models.base import Row
from models.connection import AuthenticationType, Connection
from models.fields import SealedField, UtcField, WordField
from models.folder import Folder
from models.oauth_app import OAuthApp
from models.status import StatusReason
from models.user import User


class AuthorizationStatus(StrEnum):
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    DENIED = "DENIED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


class Authorization(Row):
    """A consent under way. Of its state and of its browser's cookie only the SHA-256 is kept."""

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("patchbay.User", related_name="authorizations")
    # Who asks this user for the connection; null: they began it themselves.
    asked_by_id: UUID | None = fields.UUIDField(null=True)
    folder: fields.ForeignKeyRelation[Folder] = fields.ForeignKeyField("patchbay.Folder", related_name="authorizations")
    connector_key = fields.CharField(max_length=64)
    # Of a connector of one's own, the version that was the newest when it began; null: the connector comes from a file.
    connector_version: int | None = fields.IntField(null=True)
    authentication_type = WordField(AuthenticationType, max_length=32)
    option_key = fields.CharField(max_length=64, null=True)
    oauth_app: fields.ForeignKeyNullableRelation[OAuthApp] = fields.ForeignKeyField(
        "patchbay.OAuthApp", related_name="authorizations", null=True, on_delete=fields.RESTRICT
    )
    # Null: made from the connector's name once the consent is given.
    name = fields.CharField(max_length=120, null=True)
    site: dict[str, str] = fields.JSONField(default=dict)
    scopes: list[str] = fields.JSONField(default=list)
    # What the browser and the callback must not see: secret fields, the PKCE verifier, an own app that is not kept yet.
    secrets = SealedField(null=True)
    state_hash = fields.CharField(max_length=64, null=True, unique=True)
    cookie_hash = fields.CharField(max_length=64, null=True)
    return_url = fields.CharField(max_length=2000, null=True)
    allow_account_change = fields.BooleanField(default=False)

    status = WordField(AuthorizationStatus, max_length=9, default=AuthorizationStatus.PENDING)
    reason_json: dict[str, Any] | None = fields.JSONField(null=True)
    # The connection to authenticate again, or else, once it succeeded, the one that was made.
    connection: fields.ForeignKeyNullableRelation[Connection] = fields.ForeignKeyField(
        "patchbay.Connection", related_name="authorizations", null=True, on_delete=fields.SET_NULL
    )
    reconnects = fields.BooleanField(default=False)
    created_at = UtcField()
    expires_at = UtcField()

    user_id: UUID
    folder_id: UUID
    oauth_app_id: UUID | None
    connection_id: UUID | None

    class Meta:
        app = "patchbay"
        table = "authorization_flow"

    @property
    def reason(self) -> StatusReason | None:
        return None if self.reason_json is None else StatusReason.from_json(self.reason_json)

    def status_at(self, now: datetime) -> AuthorizationStatus:
        """The status as of now: a pending consent whose time is over has expired, whether or not anyone wrote that down."""
        if self.status is AuthorizationStatus.PENDING and self.expires_at <= now:
            return AuthorizationStatus.EXPIRED
        return self.status
