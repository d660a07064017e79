"""Bring a database to the newest schema: one process at a time, and all of it or nothing.

Migrations only add, so that the version before goes on working while the new one is rolled out, and starts again where it is rolled
back: it knows nothing of what was added, and every column that was added is null or has a default in the database.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tortoise.context import require_context
from tortoise.migrations.executor import MigrationExecutor
from tortoise.transactions import in_transaction

from models import sqlite_file
from models.database_url import DatabaseUrl
from models.engines.context import apps, connected
from models.rows import rows

logger = logging.getLogger(__name__)

# Any number will do, as long as everybody who migrates takes the same.
_ADVISORY_LOCK = 7_246_358_190_447


# Events are ordered by the transaction that wrote them, and none is from a transaction that is yet to come, unless the database was
# restored on a server that has counted less far. Then all of them were written before any that follows: first those of which the
# messages for webhooks were made, then those of which they were not, with the cursor between them.
_ADOPT_EVENTS = """
WITH elsewhere AS (
  SELECT 1 AS one FROM connection_event WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()) LIMIT 1
), adopted AS (
  UPDATE connection_event SET xid = CASE
    WHEN EXISTS (SELECT 1 FROM webhook_cursor WHERE (xid, connection_event.id) > (writer::text::xid8, event_id)) THEN '2'::xid8
    ELSE '1'::xid8 END
  WHERE EXISTS (SELECT 1 FROM elsewhere) RETURNING id
), begun AS (
  UPDATE webhook SET begins_transaction = 0, begins_id = 0 WHERE EXISTS (SELECT 1 FROM elsewhere)
), read AS (
  UPDATE webhook_cursor SET writer = 1, event_id = 9223372036854775807 WHERE EXISTS (SELECT 1 FROM elsewhere)
)
SELECT id FROM adopted
"""


class MigrationBroke(Exception):
    """A migration left rows that point to nothing. It was rolled back."""


async def migrate(url: str, *, first: Callable[[], Awaitable[None]] | None = None) -> list[str]:
    """Apply every migration that is missing; their names. `first` may look at the database as it is, and refuse it by raising.

    Raises CorruptDatabase, what `first` or a migration raises, and then nothing has changed. An SQLite file that holds something is
    copied first, to `<file>.before-<migration>`. A database that a later version has migrated is used as it is. The events of a
    PostgreSQL database that was restored on another server are put in order before those that follow.
    """
    target = DatabaseUrl.parse(url)
    async with _alone(target), connected(target, foreign_keys=False) as context:
        if first is not None:
            await first()
        executor = MigrationExecutor(context.db(), apps(target.dialect))
        missing = [step.migration.name for step in await executor.plan()]
        if later := _later(executor):
            logger.warning("database was migrated by a later version", extra={"migrations": later})
        if missing and executor.loader.applied_migrations and target.dialect == "sqlite":
            copy = target.file.with_name(f"{target.file.name}.before-{missing[0]}")
            await asyncio.to_thread(sqlite_file.copy, target.file, copy)
        if missing:
            await _apply(target)
        if target.dialect == "postgresql" and (adopted := await rows(_ADOPT_EVENTS)):
            logger.warning("events of another database server were put in order", extra={"events": len(adopted)})
        return missing


async def pending_migrations(url: str) -> list[str]:
    """The names of the migrations that this database still needs."""
    target = DatabaseUrl.parse(url)
    if target.dialect == "sqlite":
        sqlite_file.create(target.file)
    async with connected(target) as context:
        return [step.migration.name for step in await MigrationExecutor(context.db(), apps(target.dialect)).plan()]


async def later_migrations(url: str) -> list[str]:
    """The names of the migrations that this database has, and that this version does not know. Changes nothing."""
    target = DatabaseUrl.parse(url)
    async with connected(target) as context:
        executor = MigrationExecutor(context.db(), apps(target.dialect))
        await executor.plan()
        return _later(executor)


def _later(executor: MigrationExecutor) -> list[str]:
    return sorted(migration.name for migration in executor.loader.applied_migrations - executor.loader.disk_migrations.keys())


async def has_table(name: str) -> bool:
    """Whether the open database has this table, whichever version made it."""
    if require_context().db().capabilities.dialect == "sqlite":
        return bool(await rows("SELECT 1 AS one FROM sqlite_master WHERE type = 'table' AND name = $1", [name]))
    found = "SELECT 1 AS one FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1"
    return bool(await rows(found, [name]))


async def _apply(target: DatabaseUrl) -> None:
    async with in_transaction() as transaction:
        executor = MigrationExecutor(transaction, apps(target.dialect))
        # First its own table: to ask for one that is not there would end the transaction on PostgreSQL.
        await executor.recorder.ensure_schema(executor._schema_editor())
        await executor.migrate()
        if target.dialect == "sqlite" and await transaction.execute_query_dict("PRAGMA foreign_key_check"):
            raise MigrationBroke("the migration left rows that point to rows which are not there")


@asynccontextmanager
async def _alone(target: DatabaseUrl) -> AsyncIterator[None]:
    if target.dialect == "sqlite":
        sqlite_file.create(target.file)
        await asyncio.to_thread(sqlite_file.examine, target.file)
        async with sqlite_file.migrating(target.file):
            yield
        return
    import asyncpg

    # A connection of its own: the lock belongs to a session, and those of the pool come and go.
    session = await asyncpg.connect(**target.credentials, timeout=10)
    try:
        await session.execute(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})")
        yield
    finally:
        await session.close(timeout=10)
