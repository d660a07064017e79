"""Connectors of one's own, in versions, and who may make them."""

from uuid import uuid4

from tortoise import fields
from tortoise.migrations import Migration as BaseMigration
from tortoise.migrations import operations as ops


class Migration(BaseMigration):
    dependencies = [("patchbay", "0007_webhooks")]

    operations = [
        ops.CreateModel(
            name="ConnectorVersion",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("connector_key", fields.CharField(max_length=64)),
                ("version", fields.IntField()),
                ("document", fields.JSONField()),
                ("definition", fields.JSONField()),
                ("created_at", fields.DatetimeField()),
                ("created_by_id", fields.UUIDField(null=True)),
                ("deleted_at", fields.DatetimeField(null=True)),
            ],
            options={"table": "connector_version", "unique_together": (("connector_key", "version"),)},
        ),
        ops.AddField(model_name="Connection", name="connector_version", field=fields.IntField(null=True)),
        ops.AddField(model_name="Authorization", name="connector_version", field=fields.IntField(null=True)),
        ops.AddField(model_name="OAuthApp", name="endpoints", field=fields.JSONField(null=True)),
        ops.AddField(model_name="User", name="organization_permissions", field=fields.IntField(default=0, db_default=0)),
        ops.AddField(model_name="ApiToken", name="organization_permissions", field=fields.IntField(default=0, db_default=0)),
    ]
