"""The database: opened, migrated, written to in transactions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from tortoise.context import TortoiseContext
from tortoise.exceptions import OperationalError
from tortoise.transactions import in_transaction

from models import sqlite_file
from models.database_url import DatabaseUrl, Dialect, InvalidDatabaseUrl
from models.engines.context import connected, current
from models.engines.transaction import Outermost, Savepoint
from models.migrating import MigrationBroke, has_table, later_migrations, migrate, pending_migrations
from models.rows import instance, read_json, read_jsons, read_uuid, records, records_alike, rows, texts_of_times
from models.sqlite_file import CorruptDatabase

__all__ = [
    "CorruptDatabase",
    "Database",
    "DatabaseUrl",
    "InvalidDatabaseUrl",
    "MigrationBroke",
    "database_trouble",
    "has_table",
    "in_own_transaction",
    "instance",
    "later_migrations",
    "migrate",
    "open_database",
    "pending_migrations",
    "read_json",
    "read_jsons",
    "read_uuid",
    "records",
    "records_alike",
    "rows",
    "texts_of_times",
    "transaction",
]

Callback = Callable[[], object]

_after_commit: ContextVar[list[Callback] | None] = ContextVar("after_commit", default=None)


@dataclass(frozen=True, slots=True)
class Database:
    url: DatabaseUrl
    context: TortoiseContext = field(repr=False)

    @property
    def dialect(self) -> Dialect:
        return self.url.dialect

    def entered(self) -> AbstractContextManager[None]:
        """Let models use this database in the running task and in those that it starts: what a server does for each request."""
        return current(self.context)


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open a database, entered in the running task; every connection is closed in the end.

    Raises InvalidDatabaseUrl, CorruptDatabase, and what the driver raises where there is no database to reach. Migrates nothing.
    """
    where = DatabaseUrl.parse(url)
    if where.dialect == "sqlite":
        sqlite_file.create(where.file)
        await asyncio.to_thread(sqlite_file.examine, where.file)
    async with connected(where) as context:
        yield Database(where, context)


@asynccontextmanager
async def transaction() -> AsyncIterator[Callable[[Callback], None]]:
    """Do all of the block, or nothing of it, whatever ends it: an error, a cancellation.

    Yields `after_commit`: it takes a function to call once everything is committed, and never if it is not. Inside another
    transaction the block is undone alone, and committed with the outer one, which then calls.

    Start no task that writes in here: it would write into this transaction. Start it after the commit.
    """
    outer = _after_commit.get()
    callbacks: list[Callback] = []
    token = _after_commit.set(callbacks)
    context = in_transaction()
    assert isinstance(context, Outermost | Savepoint)
    try:
        async with context:
            yield callbacks.append
    finally:
        _after_commit.reset(token)
        # Also where a cancellation came while it committed: what is committed has happened.
        if context.committed:
            _hand_on(callbacks, outer)


def database_trouble() -> tuple[type[Exception], ...]:
    """What a statement may raise that the database did not take, in the words of Tortoise and of the drivers."""
    # Whoever has an SQLite file has imported nothing of it before.
    from asyncpg import InterfaceError, PostgresError

    return OperationalError, PostgresError, InterfaceError, OSError


def in_own_transaction() -> bool:
    """Whether this runs inside `transaction`, so that what it holds stays held until the end of that."""
    return _after_commit.get() is not None


def _hand_on(callbacks: list[Callback], outer: list[Callback] | None) -> None:
    if outer is not None:
        outer.extend(callbacks)
        return
    for callback in callbacks:
        callback()
