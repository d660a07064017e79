"""Credentials in use: when one was last reported as rejected."""

from tortoise import fields
from tortoise.migrations import Migration as BaseMigration
from tortoise.migrations import operations as ops


class Migration(BaseMigration):
    dependencies = [("patchbay", "0005_connect_links")]

    operations = [ops.AddField(model_name="Credential", name="rejected_at", field=fields.DatetimeField(null=True))]
