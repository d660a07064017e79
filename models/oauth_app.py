from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields

from models.base import Row
from models.fields import SealedField, UtcField, WordField
from models.folder import Folder
from models.status import StatusReason


class OAuthAppOrigin(StrEnum):
    OPERATOR = "OPERATOR"
    POLICY = "POLICY"
    CONNECTION = "CONNECTION"


class OAuthApp(Row):
    """A client registered with a vendor: the operator's (one a connector), or one that a person brought, kept in their folder."""

    connector_key = fields.CharField(max_length=64)
    name = fields.CharField(max_length=120)
    client_id = fields.CharField(max_length=512)
    client_secret = SealedField(null=True)
    # The secret before this one, still tried until it is retired.
    previous_secret = SealedField(null=True)
    # Of a connector of one's own: the URLs that its secrets were given for, and go to no other; null: the connector comes from a file.
    endpoints: list[str] | None = fields.JSONField(null=True)
    scopes: list[str] = fields.JSONField(default=list)
    origin = WordField(OAuthAppOrigin, max_length=10)
    # Null for the operator's and a policy's: they belong to the installation, not to a folder.
    folder: fields.ForeignKeyNullableRelation[Folder] = fields.ForeignKeyField(
        "patchbay.Folder", related_name="oauth_apps", null=True, on_delete=fields.RESTRICT
    )
    secret_set_at = UtcField(null=True)
    secret_expires_at = UtcField(null=True)
    # What is wrong with the app itself, and since when: its connections are not renewed until that is mended.
    incident_json: dict[str, Any] | None = fields.JSONField(null=True)
    incident_since = UtcField(null=True)
    # When it was last found out whether that is mended.
    probed_at = UtcField(null=True)
    # How many days before the end of its secret it was last warned of.
    warned_days: int | None = fields.IntField(null=True)
    created_at = UtcField()

    folder_id: UUID | None

    @property
    def incident(self) -> StatusReason | None:
        return None if self.incident_json is None else StatusReason.from_json(self.incident_json)

    def suffer(self, reason: StatusReason, now: datetime) -> None:
        """Begin an incident. Saves nothing."""
        self.incident_json, self.incident_since, self.probed_at = reason.to_json(), now, now

    def recover(self) -> None:
        """End the incident, if there is one. Saves nothing."""
        self.incident_json = self.incident_since = self.probed_at = None

    class Meta:
        app = "patchbay"
        table = "oauth_app"
