from enum import StrEnum
from uuid import UUID

from tortoise import fields

from models.base import Row
from models.fields import UtcField, WordField
from models.group import Group
from models.oauth_app import OAuthApp
from models.user import User


class PolicyEnforcement(StrEnum):
    """What a policy does to connections that break it."""

    WARN = "WARN"
    BLOCK_NEW = "BLOCK_NEW"
    SUSPEND = "SUSPEND"


class ConnectorPolicy(Row):
    """What is allowed of one connector: for one user, for one group, or, where neither is named, for everybody. The narrowest wins."""

    connector_key = fields.CharField(max_length=64)
    group: fields.ForeignKeyNullableRelation[Group] = fields.ForeignKeyField(
        "patchbay.Group", related_name="policies", null=True, on_delete=fields.CASCADE
    )
    user: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "patchbay.User", related_name="policies", null=True, on_delete=fields.CASCADE
    )
    # True: it says nothing itself, and those that are wider than it are not looked at.
    is_exempt = fields.BooleanField(default=False)
    allowed = fields.BooleanField(default=True)
    # Null: all that the connector offers.
    allowed_types: list[str] | None = fields.JSONField(null=True)
    enforcement = WordField(PolicyEnforcement, max_length=9, default=PolicyEnforcement.BLOCK_NEW)
    default_app: fields.ForeignKeyNullableRelation[OAuthApp] = fields.ForeignKeyField(
        "patchbay.OAuthApp", related_name="policies", null=True, on_delete=fields.RESTRICT
    )
    default_scopes: list[str] | None = fields.JSONField(null=True)
    # Field name → value that stands in where none is given. Never of a secret field.
    default_fields: dict[str, str] = fields.JSONField(default=dict)
    created_at = UtcField()
    updated_at = UtcField()

    group_id: UUID | None
    user_id: UUID | None
    default_app_id: UUID | None

    class Meta:
        app = "patchbay"
        table = "connector_policy"


class ConnectorInstallation(Row):
    """Whether a connector is offered here. One without a row is as the setting says."""

    connector_key = fields.CharField(max_length=64, unique=True)
    installed = fields.BooleanField()
    changed_at = UtcField()

    class Meta:
        app = "patchbay"
        table = "connector_installation"
