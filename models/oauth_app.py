from enum import StrEnum
from uuid import UUID

from tortoise import fields

from models.base import Row
from models.fields import SealedField, UtcField, WordField
from models.folder import Folder


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
    scopes: list[str] = fields.JSONField(default=list)
    origin = WordField(OAuthAppOrigin, max_length=10)
    # Null for the operator's: it belongs to the installation, not to a folder.
    folder: fields.ForeignKeyNullableRelation[Folder] = fields.ForeignKeyField(
        "patchbay.Folder", related_name="oauth_apps", null=True, on_delete=fields.RESTRICT
    )
    secret_set_at = UtcField(null=True)
    secret_expires_at = UtcField(null=True)
    created_at = UtcField()

    folder_id: UUID | None

    class Meta:
        app = "patchbay"
        table = "oauth_app"
