"""Which of several options of one type a connection, or a consent under way, was made with."""

from tortoise import fields
from tortoise.migrations import Migration as BaseMigration
from tortoise.migrations import operations as ops


class Migration(BaseMigration):
    dependencies = [("patchbay", "0001_initial")]

    operations = [
        ops.AddField(model_name="Connection", name="option_key", field=fields.CharField(max_length=64, null=True)),
        ops.AddField(model_name="Authorization", name="option_key", field=fields.CharField(max_length=64, null=True)),
    ]
