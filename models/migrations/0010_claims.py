"""Whoever claims from the queue on PostgreSQL moves the places of all that it gets by one statement, and not each by the trigger.

It says so by another `claimed_until`. The version before says nothing, and the trigger does it.
"""

from tortoise.migrations import Migration as BaseMigration

from models.migrations._operations import OnPostgresql

# As the trigger of before has it.
_DUE = "CASE WHEN {row}lease_until > {row}due_at THEN {row}lease_until ELSE {row}due_at END"
_MOVES = f"NEW.priority <> OLD.priority OR {_DUE.format(row='NEW.')} IS DISTINCT FROM {_DUE.format(row='OLD.')}"
_TRIGGER = f"""
CREATE TRIGGER requeue_connection AFTER UPDATE OF priority, due_at, lease_until ON connection FOR EACH ROW
WHEN (NEW.claimed_until IS NOT DISTINCT FROM OLD.claimed_until AND ({_MOVES})) EXECUTE FUNCTION keep_connection_queue()
"""


class Migration(BaseMigration):
    dependencies = [("patchbay", "0009_growth")]

    operations = [
        OnPostgresql("ALTER TABLE connection ADD COLUMN claimed_until timestamptz"),
        OnPostgresql("DROP TRIGGER requeue_connection ON connection"),
        OnPostgresql(_TRIGGER),
    ]
