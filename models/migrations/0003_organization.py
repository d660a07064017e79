"""Groups, policies, the audit log; limits of API tokens; what an OAuth app suffers from; who left."""

from typing import Any
from uuid import uuid4

from tortoise import fields
from tortoise.fields.base import OnDelete
from tortoise.migrations import Migration as BaseMigration
from tortoise.migrations import operations as ops

from models.migrations._operations import CreateCheckedModel, ReplaceCheck


def _to(model: str, *, related_name: str, null: bool = False, on_delete: OnDelete = OnDelete.CASCADE, column: str = "") -> Any:
    options: dict[str, Any] = {
        "source_field": column or f"{model.lower()}_id",
        "null": null,
        "db_constraint": True,
        "to_field": "id",
        "related_name": related_name,
        "on_delete": on_delete,
    }
    return fields.ForeignKeyField(f"patchbay.{model}", **options)


class Migration(BaseMigration):
    dependencies = [("patchbay", "0002_options")]

    operations = [
        ops.AddField(model_name="User", name="subject", field=fields.CharField(max_length=512, null=True)),
        ops.AddField(model_name="User", name="described_at", field=fields.DatetimeField(null=True)),
        ops.AddField(model_name="User", name="deactivated_at", field=fields.DatetimeField(null=True)),
        ops.AddField(model_name="ApiToken", name="kind", field=fields.CharField(max_length=7, null=True)),
        ops.AddField(model_name="ConnectionEvent", name="previous_folder_id", field=fields.UUIDField(null=True)),
        ops.AddField(model_name="ApiToken", name="permissions", field=fields.IntField(null=True)),
        ops.AddField(model_name="ApiToken", name="folder_ids", field=fields.JSONField(null=True)),
        ops.AddField(model_name="ApiToken", name="made_by_id", field=fields.UUIDField(null=True)),
        ops.AddField(model_name="OAuthApp", name="previous_secret", field=fields.BinaryField(null=True)),
        ops.AddField(model_name="OAuthApp", name="incident_json", field=fields.JSONField(null=True)),
        ops.AddField(model_name="OAuthApp", name="incident_since", field=fields.DatetimeField(null=True)),
        ops.AddField(model_name="OAuthApp", name="probed_at", field=fields.DatetimeField(null=True)),
        ops.AddField(model_name="Connection", name="app_secret_at", field=fields.DatetimeField(null=True)),
        ops.AddField(model_name="OAuthApp", name="warned_days", field=fields.IntField(null=True)),
        ops.AddField(model_name="Connection", name="before_suspension", field=fields.JSONField(null=True)),
        # The app of a policy belongs to no folder either.
        ReplaceCheck(
            "oauth_app",
            "operator_has_no_folder",
            '("origin" = \'CONNECTION\') = ("folder_id" IS NOT NULL)',
            former='("origin" = \'OPERATOR\') = ("folder_id" IS NULL)',
        ),
        ops.CreateModel(
            name="Group",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("name", fields.CharField(max_length=120)),
                ("name_key", fields.CharField(max_length=240, unique=True)),
                ("external_name", fields.CharField(max_length=255, null=True, unique=True)),
                ("created_at", fields.DatetimeField()),
            ],
            options={"table": "user_group"},
        ),
        ops.CreateModel(
            name="GroupMember",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("group", _to("Group", related_name="members")),
                ("user", _to("User", related_name="memberships")),
            ],
            options={"table": "group_member", "unique_together": (("group", "user"),)},
        ),
        CreateCheckedModel(
            name="FolderGroupGrant",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("folder", _to("Folder", related_name="group_grants")),
                ("group", _to("Group", related_name="grants")),
                ("permissions", fields.IntField()),
            ],
            options={"table": "folder_group_grant", "unique_together": (("folder", "group"),)},
            checks={"group_permissions_with_view": '"permissions" BETWEEN 1 AND 63 AND "permissions" % 2 = 1'},
        ),
        CreateCheckedModel(
            name="ConnectorPolicy",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("connector_key", fields.CharField(max_length=64)),
                ("group", _to("Group", related_name="policies", null=True)),
                ("user", _to("User", related_name="policies", null=True)),
                ("is_exempt", fields.BooleanField(default=False)),
                ("allowed", fields.BooleanField(default=True)),
                ("allowed_types", fields.JSONField(null=True)),
                ("enforcement", fields.CharField(default="BLOCK_NEW", max_length=9)),
                ("default_app", _to("OAuthApp", related_name="policies", null=True, on_delete=OnDelete.RESTRICT, column="default_app_id")),
                ("default_scopes", fields.JSONField(null=True)),
                ("default_fields", fields.JSONField(default=dict)),
                ("created_at", fields.DatetimeField()),
                ("updated_at", fields.DatetimeField()),
            ],
            options={"table": "connector_policy"},
            checks={
                "for_one_kind": '"group_id" IS NULL OR "user_id" IS NULL',
                "known_enforcement": "\"enforcement\" IN ('WARN', 'BLOCK_NEW', 'SUSPEND')",
            },
        ),
        ops.CreateModel(
            name="ConnectorInstallation",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("connector_key", fields.CharField(max_length=64, unique=True)),
                ("installed", fields.BooleanField()),
                ("changed_at", fields.DatetimeField()),
            ],
            options={"table": "connector_installation"},
        ),
        CreateCheckedModel(
            name="AuditEntry",
            fields=[
                ("id", fields.BigIntField(primary_key=True)),
                ("at", fields.DatetimeField()),
                ("actor_id", fields.UUIDField(null=True)),
                ("actor_name", fields.CharField(max_length=120, null=True)),
                ("source", fields.CharField(max_length=64, null=True)),
                ("token_id", fields.UUIDField(null=True)),
                ("action", fields.CharField(max_length=64)),
                ("outcome", fields.CharField(max_length=7)),
                ("subject_id", fields.CharField(max_length=64, null=True)),
                ("subject_name", fields.CharField(max_length=320, null=True)),
                ("folder_id", fields.UUIDField(null=True)),
                ("detail", fields.CharField(max_length=1000, null=True)),
            ],
            options={"table": "audit_entry"},
            checks={"known_outcome": "\"outcome\" IN ('DONE', 'REFUSED', 'FAILED')"},
        ),
        ops.CreateModel(
            name="SignInFlow",
            fields=[
                ("state_hash", fields.CharField(primary_key=True, max_length=64)),
                ("cookie_hash", fields.CharField(max_length=64)),
                ("onward", fields.CharField(max_length=255)),
                ("expires_at", fields.DatetimeField()),
            ],
            options={"table": "sign_in_flow"},
        ),
        # A column that is added cannot be declared unique on SQLite.
        ops.RunSQL('CREATE UNIQUE INDEX "one_user_of_a_subject" ON "user_account" ("subject")', 'DROP INDEX "one_user_of_a_subject"'),
        # Of a connector one policy for everybody, one for each group, and one for each user.
        ops.RunSQL(
            'CREATE UNIQUE INDEX "one_policy_for_all" ON "connector_policy" ("connector_key") WHERE "group_id" IS NULL AND "user_id" IS NULL',
            'DROP INDEX "one_policy_for_all"',
        ),
        ops.RunSQL(
            'CREATE UNIQUE INDEX "one_policy_of_a_group" ON "connector_policy" ("connector_key", "group_id") WHERE "group_id" IS NOT NULL',
            'DROP INDEX "one_policy_of_a_group"',
        ),
        ops.RunSQL(
            'CREATE UNIQUE INDEX "one_policy_of_a_user" ON "connector_policy" ("connector_key", "user_id") WHERE "user_id" IS NOT NULL',
            'DROP INDEX "one_policy_of_a_user"',
        ),
        ops.RunSQL('CREATE INDEX "group_member_user" ON "group_member" ("user_id")', 'DROP INDEX "group_member_user"'),
        ops.RunSQL('CREATE INDEX "group_grant_group" ON "folder_group_grant" ("group_id")', 'DROP INDEX "group_grant_group"'),
        ops.RunSQL('CREATE INDEX "audit_actor" ON "audit_entry" ("actor_id", "id")', 'DROP INDEX "audit_actor"'),
        ops.RunSQL('CREATE INDEX "audit_subject" ON "audit_entry" ("subject_id", "id")', 'DROP INDEX "audit_subject"'),
        ops.RunSQL('CREATE INDEX "audit_time" ON "audit_entry" ("at")', 'DROP INDEX "audit_time"'),
    ]
