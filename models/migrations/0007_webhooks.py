"""Webhooks: whom to tell, what, and how far that has come."""

from uuid import uuid4

from tortoise import fields
from tortoise.fields.base import OnDelete
from tortoise.migrations import Migration as BaseMigration
from tortoise.migrations import operations as ops

from models.migrations._operations import CreateCheckedModel


class Migration(BaseMigration):
    dependencies = [("patchbay", "0006_use")]

    operations = [
        ops.CreateModel(
            name="Webhook",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                (
                    "folder",
                    fields.ForeignKeyField(
                        "patchbay.Folder",
                        source_field="folder_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="webhooks",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("url", fields.CharField(max_length=2000)),
                ("events", fields.JSONField(default=list)),
                ("secret", fields.BinaryField()),
                ("secret_set_at", fields.DatetimeField()),
                ("previous_secret", fields.BinaryField(null=True)),
                ("previous_secret_until", fields.DatetimeField(null=True)),
                ("created_by_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField()),
                ("disabled_at", fields.DatetimeField(null=True)),
                ("disabled_reason", fields.CharField(max_length=200, null=True)),
                ("begins_transaction", fields.BigIntField(default=0)),
                ("begins_id", fields.BigIntField(default=0)),
                ("failing_since", fields.DatetimeField(null=True)),
                ("paused_until", fields.DatetimeField(null=True)),
            ],
            options={"table": "webhook"},
        ),
        CreateCheckedModel(
            name="WebhookDelivery",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                (
                    "webhook",
                    fields.ForeignKeyField(
                        "patchbay.Webhook",
                        source_field="webhook_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="deliveries",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("message_id", fields.CharField(max_length=40)),
                ("event_id", fields.BigIntField()),
                ("event_type", fields.CharField(max_length=16)),
                ("payload", fields.TextField()),
                ("is_replay", fields.BooleanField(default=False)),
                ("state", fields.CharField(max_length=9, default="PENDING")),
                ("attempts", fields.IntField(default=0)),
                ("next_attempt_at", fields.DatetimeField(null=True)),
                ("lease_until", fields.DatetimeField(null=True)),
                ("last_attempt_at", fields.DatetimeField(null=True)),
                ("last_status", fields.IntField(null=True)),
                ("last_error", fields.CharField(max_length=300, null=True)),
                ("created_at", fields.DatetimeField()),
                ("finished_at", fields.DatetimeField(null=True)),
            ],
            options={"table": "webhook_delivery"},
            checks={
                "known_delivery_state": "\"state\" IN ('PENDING', 'DELIVERED', 'FAILED')",
                "pending_has_a_time": "(\"state\" = 'PENDING') = (\"next_attempt_at\" IS NOT NULL)",
            },
        ),
        ops.CreateModel(
            name="WebhookCursor",
            fields=[
                ("id", fields.IntField(primary_key=True)),
                ("writer", fields.BigIntField()),
                ("event_id", fields.BigIntField()),
            ],
            options={"table": "webhook_cursor"},
        ),
        ops.CreateModel(
            name="FormerFolder",
            fields=[("id", fields.UUIDField(primary_key=True)), ("parent_id", fields.UUIDField(null=True))],
            options={"table": "former_folder"},
        ),
        ops.RunSQL('CREATE INDEX "webhook_folder" ON "webhook" ("folder_id")', 'DROP INDEX "webhook_folder"'),
        # An event is one delivery of a webhook; what was asked for again comes beside it.
        ops.RunSQL(
            'CREATE UNIQUE INDEX "one_delivery_of_an_event" ON "webhook_delivery" ("webhook_id", "event_id") WHERE NOT "is_replay"',
            'DROP INDEX "one_delivery_of_an_event"',
        ),
        ops.RunSQL(
            'CREATE INDEX "delivery_due" ON "webhook_delivery" ("webhook_id", "next_attempt_at") WHERE "state" = \'PENDING\'',
            'DROP INDEX "delivery_due"',
        ),
        ops.RunSQL(
            'CREATE INDEX "delivery_page" ON "webhook_delivery" ("webhook_id", "created_at", "id")', 'DROP INDEX "delivery_page"'
        ),
        ops.RunSQL('CREATE INDEX "delivery_age" ON "webhook_delivery" ("created_at")', 'DROP INDEX "delivery_age"'),
    ]
