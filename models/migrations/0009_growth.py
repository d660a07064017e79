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
_FUNCTION = f"""
CREATE FUNCTION keep_connection_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.due_at IS NOT NULL AND NEW.due_at IS NOT NULL THEN
    UPDATE connection_queue SET priority = NEW.priority, due_at = {_NEW} WHERE {_PLACE};
    IF FOUND THEN
      RETURN NULL;
    END IF;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM connection_queue WHERE {_PLACE};
  END IF;
  IF TG_OP <> 'DELETE' AND NEW.due_at IS NOT NULL THEN
    INSERT INTO connection_queue VALUES (NEW.priority, {_NEW}, NEW.id) ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$
"""
_TRIGGERS_ON_POSTGRESQL = (
    ("queue_connection", "AFTER INSERT OR DELETE ON connection FOR EACH ROW"),
    ("requeue_connection", f"{_UPDATE} FOR EACH ROW WHEN ({_MOVES})"),
)

_TABLE_ON_SQLITE = """
CREATE TABLE connection_queue (
  priority SMALLINT NOT NULL, due_at TIMESTAMP NOT NULL, connection_id CHAR(36) NOT NULL, PRIMARY KEY (priority, due_at, connection_id)
) WITHOUT ROWID
"""
_PUT_IN = f"INSERT OR IGNORE INTO connection_queue SELECT NEW.priority, {_NEW}, NEW.id WHERE NEW.due_at IS NOT NULL"
_TAKE_OUT = f"DELETE FROM connection_queue WHERE {_PLACE}"
_TRIGGERS_ON_SQLITE = (
    ("queue_connection", f"AFTER INSERT ON connection BEGIN {_PUT_IN}; END"),
    # Of SQLite's versions not all know the other words.
    ("requeue_connection", f"{_UPDATE} WHEN {_MOVES.replace('IS DISTINCT FROM', 'IS NOT')} BEGIN {_TAKE_OUT}; {_PUT_IN}; END"),
    ("unqueue_connection", f"AFTER DELETE ON connection BEGIN {_TAKE_OUT}; END"),
)


# By name there is one already.
_PAGES = (
    ("connection_page_created", '"created_at"'),
    ("connection_page_updated", '"updated_at"'),
    ("connection_page_changed", '"status_changed_at"'),
    ("connection_page_status", '"status", "name_key"'),
)


class Migration(BaseMigration):
    dependencies = [("patchbay", "0008_custom_connectors")]

    operations = [
        OnPostgresql(_TABLE_ON_POSTGRESQL),
        OnPostgresql(_FUNCTION),
        *(OnPostgresql(f"CREATE TRIGGER {name} {what} EXECUTE FUNCTION keep_connection_queue()") for name, what in _TRIGGERS_ON_POSTGRESQL),
        OnSqlite(_TABLE_ON_SQLITE),
        *(OnSqlite(f"CREATE TRIGGER {name} {what}") for name, what in _TRIGGERS_ON_SQLITE),
        # Only now: from the first trigger on nobody else writes until this is committed.
        ops.RunSQL(
            f"INSERT INTO connection_queue SELECT priority, {_DUE.format(row='')}, id FROM connection WHERE due_at IS NOT NULL ORDER BY 1, 2",
            ops.RunSQL.noop,
        ),
        # With this index a new due time would write into every index of the table on PostgreSQL.
        ops.RunSQL(
            'DROP INDEX "connection_next"',
            'CREATE INDEX "connection_next" ON "connection" ("priority", "due_at") WHERE "due_at" IS NOT NULL',
        ),
        # Room in each page for the next version of its rows: what stays in its page leaves the indexes alone.
        OnPostgresql('ALTER TABLE "connection" SET (fillfactor = 80)'),
        *(
            ops.RunSQL(f'CREATE INDEX "{name}" ON "connection" ("folder_id", {columns}, "id")', f'DROP INDEX "{name}"')
            for name, columns in _PAGES
        ),
    ]
