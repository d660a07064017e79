"""Several processes on one database: who is there, whose exchange it is, and what is looked after first."""

from tortoise import fields
from tortoise.migrations import Migration as BaseMigration
from tortoise.migrations import operations as ops


class Migration(BaseMigration):
    dependencies = [("patchbay", "0003_organization")]

    operations = [
        ops.CreateModel(
            name="Replica",
            fields=[
                ("id", fields.CharField(primary_key=True, max_length=64)),
                ("started_at", fields.DatetimeField()),
                ("seen_at", fields.DatetimeField()),
                ("version", fields.CharField(max_length=32)),
                ("refreshes", fields.BooleanField()),
                ("courier_id", fields.CharField(max_length=64, null=True)),
                ("data_keys", fields.JSONField(default=list)),
            ],
            options={"table": "replica"},
        ),
        ops.AddField(model_name="TokenJournal", name="courier_id", field=fields.CharField(max_length=64, null=True)),
        ops.AddField(model_name="TokenJournal", name="is_unanswered", field=fields.BooleanField(default=False, db_default=False)),
        ops.AddField(model_name="Connection", name="priority", field=fields.SmallIntField(default=1, db_default=1)),
        ops.AddField(model_name="Connection", name="internal_failures", field=fields.IntField(default=0, db_default=0)),
        ops.RunSQL('CREATE INDEX "replica_seen" ON "replica" ("seen_at")', 'DROP INDEX "replica_seen"'),
        # In the place of the index by due time alone, which PostgreSQL would else go on using.
        ops.RunSQL(
            'DROP INDEX "connection_due"',
            'CREATE INDEX "connection_due" ON "connection" ("due_at") WHERE "due_at" IS NOT NULL',
        ),
        ops.RunSQL(
            'CREATE INDEX "connection_next" ON "connection" ("priority", "due_at") WHERE "due_at" IS NOT NULL',
            'DROP INDEX "connection_next"',
        ),
    ]
