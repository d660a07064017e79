from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.queryset import QuerySet

from models.base import Row, fold
from models.changing import Change
from models.fields import UtcField, WordField
from models.folder import Folder
from models.oauth_app import OAuthApp
from models.rows import rows
from models.status import ConnectionStatus, StatusReason
from models.user import User

_MINUTE = timedelta(minutes=1)

# A clock that was ahead may have written a later time.
_NOTE_USE = """
UPDATE connection SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3 OR last_used_at >= $4)
"""
_SAVE_NAME = (
    "UPDATE connection SET name = $2, name_key = $3, updated_at = $4 WHERE id = $1 AND name = $5 AND folder_id = $6 AND status = $7"
)


class AuthenticationType(StrEnum):
    OAUTH2_AUTHORIZATION_CODE = "OAUTH2_AUTHORIZATION_CODE"
    OAUTH2_BRING_YOUR_OWN_APP = "OAUTH2_BRING_YOUR_OWN_APP"
    OAUTH2_CLIENT_CREDENTIALS = "OAUTH2_CLIENT_CREDENTIALS"
    OAUTH2_PASSWORD = "OAUTH2_PASSWORD"
    OAUTH2_JWT_BEARER = "OAUTH2_JWT_BEARER"
    PERSONAL_ACCESS_TOKEN = "PERSONAL_ACCESS_TOKEN"
    API_KEY = "API_KEY"
    BASIC = "BASIC"
    AWS_ACCESS_KEY = "AWS_ACCESS_KEY"
    CUSTOM = "CUSTOM"

    @property
    def needs_consent(self) -> bool:
        return self in (self.OAUTH2_AUTHORIZATION_CODE, self.OAUTH2_BRING_YOUR_OWN_APP)


class Connection(Row):
    """An account at a provider, kept in a folder. Its secrets are in its `Credential`."""

    folder: fields.ForeignKeyRelation[Folder] = fields.ForeignKeyField(
        "patchbay.Folder", related_name="connections", on_delete=fields.RESTRICT
    )
    connector_key = fields.CharField(max_length=64)
    # Of a connector of one's own, the version that it was made with or moved to; null: the connector comes from a file.
    connector_version: int | None = fields.IntField(null=True)
    name = fields.CharField(max_length=120)
    name_key = fields.CharField(max_length=240)
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("patchbay.User", related_name="connections", on_delete=fields.RESTRICT)
    authentication_type = WordField(AuthenticationType, max_length=32)
    # Which option of the connector, where it has several of that type; null: the first.
    option_key = fields.CharField(max_length=64, null=True)
    oauth_app: fields.ForeignKeyNullableRelation[OAuthApp] = fields.ForeignKeyField(
        "patchbay.OAuthApp", related_name="connections", null=True, on_delete=fields.RESTRICT
    )
    # Site fields that are no secret: a subdomain, a region. Secret ones are in the credential.
    site: dict[str, str] = fields.JSONField(default=dict)
    is_default = fields.BooleanField(default=False)

    status = WordField(ConnectionStatus, max_length=16)
    reason_json: dict[str, Any] | None = fields.JSONField(null=True)
    status_changed_at = UtcField()
    # What a policy interrupted, to go on with once it is lifted: the status, its reason and the due time. Null: no policy did.
    before_suspension: dict[str, Any] | None = fields.JSONField(null=True)

    account = fields.CharField(max_length=320, null=True)
    scopes: list[str] = fields.JSONField(default=list)
    missing_scopes: list[str] = fields.JSONField(default=list)
    expires_at = UtcField(null=True)
    last_refreshed_at = UtcField(null=True)
    # When the secret of its app was given with which it was last renewed; null: not known, or it was one before that.
    app_secret_at = UtcField(null=True)
    last_verified_at = UtcField(null=True)
    last_used_at = UtcField(null=True)
    created_at = UtcField()
    updated_at = UtcField()

    # Whether the credential can be renewed without a person: then `due_at` is its next refresh, else its next verification.
    renewable = fields.BooleanField(default=False)
    # Null: nothing is due, ever (disabled, or a person must act).
    due_at = UtcField(null=True)
    # Consecutive failures of what was due, for the backoff.
    failures = fields.IntField(default=0)
    # Of what is due, the lowest is looked after first.
    priority = fields.SmallIntField(default=1, db_default=1)
    # Consecutive attempts that broke inside, before or after the provider was asked: enough of them set it aside.
    internal_failures = fields.IntField(default=0, db_default=0)
    lease_holder = fields.CharField(max_length=64, null=True)
    lease_until = UtcField(null=True)
    lease_number = fields.BigIntField(default=0)

    folder_id: UUID
    owner_id: UUID
    oauth_app_id: UUID | None

    class Meta:
        app = "patchbay"
        table = "connection"

    @classmethod
    def signed_in_with(cls, oauth_app_id: UUID | None, account: str | None = None) -> QuerySet["Connection"]:
        """Connections that sign in with an app, as this account or as anyone; none for no app."""
        if oauth_app_id is None:
            return cls.filter(id__in=[])
        found = cls.filter(oauth_app_id=oauth_app_id)
        return found if account is None else found.filter(account=account)

    def lasts(self, until: datetime, now: datetime) -> bool:
        """Whether its credential has not ended, and is good until then, as far as its end is known."""
        return self.expires_at is None or (self.expires_at > now and self.expires_at >= until)

    async def note_use(self, now: datetime) -> None:
        """Its credential is used now. Written at most once a minute, whoever uses it, by a statement that changes nothing else."""
        if self.last_used_at is not None and abs(now - self.last_used_at) < _MINUTE:
            return
        await rows(_NOTE_USE, [self.id, now, now - _MINUTE, now + _MINUTE])
        self.last_used_at = now

    @property
    def reason(self) -> StatusReason | None:
        return None if self.reason_json is None else StatusReason.from_json(self.reason_json)

    @property
    def next_refresh_at(self) -> datetime | None:
        return self.due_at if self.renewable else None

    def rename(self, name: str) -> None:
        self.name, self.name_key = name, fold(name)

    def renamed(self, name: str, now: datetime) -> Change:
        """Take on another name, to be saved if all that this tells of is still so: its folder, its status, and the name of before."""
        former = self.name
        self.rename(name)
        self.updated_at = now
        return Change("connection", _SAVE_NAME, (self.id, name, self.name_key, now, former, self.folder_id, self.status))

    def enter(self, status: ConnectionStatus, reason: StatusReason | None, now: datetime) -> bool:
        """Take on a status and its reason; True where that changed what a watcher sees. Saves nothing."""
        if self.status == status and self.reason == reason:
            return False
        if self.status != status:
            self.status_changed_at = now
        self.status = status
        self.reason_json = None if reason is None else reason.to_json()
        return True

    @property
    def is_suspended(self) -> bool:
        """Whether a policy has switched it off. What a person switched off is not suspended."""
        return self.before_suspension is not None

    def suspend(self, reason: StatusReason, now: datetime) -> bool:
        """Switch off by a policy, until it goes on as it is now; True where that changed what a watcher sees. Saves nothing.

        What a person switched off stays theirs to switch on.
        """
        if self.status is ConnectionStatus.DISABLED and not self.is_suspended:
            return False
        if not self.is_suspended:
            due_at = None if self.due_at is None else self.due_at.isoformat()
            self.before_suspension = {"status": self.status, "reason": self.reason_json, "due_at": due_at}
            self.due_at = None
        return self.enter(ConnectionStatus.DISABLED, reason, now)

    def go_on(self, now: datetime) -> bool:
        """End a suspension: everything is as it was before it. True where that changed what a watcher sees. Saves nothing."""
        before, self.before_suspension = self.before_suspension, None
        if before is None:
            return False
        # What came due meanwhile is due now.
        self.due_at = None if before["due_at"] is None else datetime.fromisoformat(before["due_at"])
        reason = None if before["reason"] is None else StatusReason.from_json(before["reason"])
        return self.enter(ConnectionStatus(before["status"]), reason, now)
