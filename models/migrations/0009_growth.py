"""What stays as fast as it is while connections become many: the queue of what is due, and lists in every order.

The queue stands beside the connections, so that a claim, and a new due time, write into one narrow index instead of many wide ones. The
database keeps it, whichever version writes: the one before knows nothing of it, and is right in all that it does. Whatever befell the
queue, a connection that is planned anew is in it afterwards.
"""

from tortoise.migrations import Migration as BaseMigration
from tortoise.migrations import operations as ops

from models.migrations._operations import OnPostgresql, OnSqlite

# What is claimed is due again when its lease is over, unless somebody has planned it for later.
_DUE = "CASE WHEN {row}lease_until > {row}due_at THEN {row}lease_until ELSE {row}due_at END"
_NEW, _OLD = _DUE.format(row="NEW."), _DUE.format(row="OLD.")
_PLACE = f"priority = OLD.priority AND due_at = {_OLD} AND connection_id = OLD.id"
_UPDATE = "AFTER UPDATE OF priority, due_at, lease_until ON connection"
_MOVES = f"NEW.priority <> OLD.priority OR {_NEW} IS DISTINCT FROM {_OLD}"

_TABLE_ON_POSTGRESQL = """
CREATE TABLE connection_queue (
  priority smallint NOT NULL, due_at timestamptz NOT NULL, connection_id uuid NOT NULL, PRIMARY KEY (priority, due_at, connection_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02)
"""
_FUNCTION = """
CREATE FUNCTION keep_connection_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.due_at IS NOT NULL AND NEW.due_at IS NOT NULL THEN
    UPDATE connection_queue SET priority = NEW.priority, due_at = {new} WHERE {place};
    IF FOUND THEN
      RETURN NULL;
    END IF;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM connection_queue WHERE {place};
  END IF;
  IF TG_OP <> 'DELETE' AND NEW.due_at IS NOT NULL THEN
    INSERT INTO connection_queue VALUES (NEW.priority, {new}, NEW.id) ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$
"""
_TRIGGERS_ON_POSTGRESQL = (
    "CREATE TRIGGER queue_connection AFTER INSERT OR DELETE ON connection FOR EACH ROW EXECUTE FUNCTION keep_connection_queue()",
    f"CREATE TRIGGER requeue_connection {_UPDATE} FOR EACH ROW WHEN ({_MOVES}) EXECUTE FUNCTION keep_connection_queue()",
)

_TABLE_ON_SQLITE = """
CREATE TABLE connection_queue (
  priority SMALLINT NOT NULL, due_at TIMESTAMP NOT NULL, connection_id CHAR(36) NOT NULL, PRIMARY KEY (priority, due_at, connection_id)
) WITHOUT ROWID
"""
_PUT_IN = "INSERT OR IGNORE INTO connection_queue SELECT NEW.priority, {new}, NEW.id WHERE NEW.due_at IS NOT NULL"
_TAKE_OUT = "DELETE FROM connection_queue WHERE {place}"
# Of SQLite's versions not all know the other words.
_MOVES_ON_SQLITE = _MOVES.replace("IS DISTINCT FROM", "IS NOT")
_TRIGGERS_ON_SQLITE = (
    f"CREATE TRIGGER queue_connection AFTER INSERT ON connection BEGIN {_PUT_IN}; END",
    f"CREATE TRIGGER requeue_connection {_UPDATE} WHEN {_MOVES_ON_SQLITE} BEGIN {_TAKE_OUT}; {_PUT_IN}; END",
    f"CREATE TRIGGER unqueue_connection AFTER DELETE ON connection BEGIN {_TAKE_OUT}; END",
)
_FILL = "INSERT INTO connection_queue SELECT priority, {due}, id FROM connection WHERE due_at IS NOT NULL ORDER BY 1, 2"

# By name there is one already.
_PAGES = (
    ('CREATE INDEX "connection_page_created" ON "connection" ("folder_id", "created_at", "id")', 'DROP INDEX "connection_page_created"'),
    ('CREATE INDEX "connection_page_updated" ON "connection" ("folder_id", "updated_at", "id")', 'DROP INDEX "connection_page_updated"'),
    (
        'CREATE INDEX "connection_page_changed" ON "connection" ("folder_id", "status_changed_at", "id")',
        'DROP INDEX "connection_page_changed"',
    ),
    (
        'CREATE INDEX "connection_page_status" ON "connection" ("folder_id", "status", "name_key", "id")',
        'DROP INDEX "connection_page_status"',
    ),
)


class Migration(BaseMigration):
    dependencies = [("patchbay", "0008_custom_connectors")]

    operations = [
        OnPostgresql(_TABLE_ON_POSTGRESQL),
        OnPostgresql(_FUNCTION.format(new=_NEW, place=_PLACE)),
        *(OnPostgresql(trigger) for trigger in _TRIGGERS_ON_POSTGRESQL),
        OnSqlite(_TABLE_ON_SQLITE),
        *(OnSqlite(trigger.format(new=_NEW, place=_PLACE)) for trigger in _TRIGGERS_ON_SQLITE),
        # Only now: from the first trigger on nobody else writes until this is committed.
        ops.RunSQL(_FILL.format(due=_DUE.format(row="")), ops.RunSQL.noop),
        # With this index a new due time would write into every index of the table on PostgreSQL.
        ops.RunSQL(
            'DROP INDEX "connection_next"',
            'CREATE INDEX "connection_next" ON "connection" ("priority", "due_at") WHERE "due_at" IS NOT NULL',
        ),
        # Room in each page for the next version of its rows: what stays in its page leaves the indexes alone.
        OnPostgresql('ALTER TABLE "connection" SET (fillfactor = 80)'),
        *(ops.RunSQL(make, drop) for make, drop in _PAGES),
    ]
