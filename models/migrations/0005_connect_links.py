"""Consents that somebody asks of another person."""

from tortoise import fields
from tortoise.migrations import Migration as BaseMigration
from tortoise.migrations import operations as ops


class Migration(BaseMigration):
    dependencies = [("patchbay", "0004_replicas")]

    operations = [ops.AddField(model_name="Authorization", name="asked_by_id", field=fields.UUIDField(null=True))]
