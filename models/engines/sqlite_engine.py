"""SQLite: one connection a process, one lock, and writers that queue instead of failing.

Processes take turns. SQLite 3.7.0 to 3.51.2 can damage a database that two connections have open: where one of them makes a
checkpoint and another commits meanwhile, and begins the write-ahead log anew with that, a race lets the checkpoint note pages as
copied that are not, and they are lost (https://sqlite.org/wal.html#walresetbug). Python comes with such versions, so that what
the race needs is kept from happening, whatever the version: whoever writes holds the lock `<file>.writing`, and a checkpoint is
made by nobody but a connection that has just committed, within the same statement, and so within its turn. The one other
checkpoint is that of the last connection as it closes; SQLite makes it only where no other connection has the file open.

Reading takes no turn, and what is read in no time is read in the event loop itself (`sqlite_reader`). Statements that write and
wait for a turn are committed together (`together`), and run to their end even where their task is cancelled: the turn must not end
before they do.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from tortoise.backends.base.client import TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionWrapper, translate_exceptions
from tortoise.exceptions import OperationalError

from models.engines.sqlite_reader import Reader
from models.engines.together import Statement, Together, counted, unit
from models.engines.transaction import Outermost, Savepoint
from models.engines.uninterrupted import uninterrupted
from models.file_lock import FileLock

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

# How long to wait for another process that writes. SQLite waits as long for those that do not take turns.
TURN_SECONDS = 10.0


class Client(SqliteClient):
    def __init__(self, file_path: str, **options: Any) -> None:
        super().__init__(file_path, **options)
        self.turns = Turns(Path(f"{file_path}.writing"))
        self._together = Together(self._write)
        self._reader: Reader | None = None

    async def create_connection(self, with_db: bool) -> None:
        await super().create_connection(with_db)
        self._reader = self._reader or Reader(Path(self.filename))

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        await super().close()

    def _check_loop(self) -> bool:
        # A database is opened and closed within one loop, and this is asked for every statement.
        return True

    def _in_transaction(self) -> TransactionContext:
        return SqliteTransaction(self)

    @translate_exceptions
    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, list[Any]]:
        if (reader := self._reader) is not None and _may_read(query):
            await reader.turn()
            if (rows := reader.read(query, values)) is not None:
                return len(rows), rows
        if not _only_reads(query):
            return await self._together.execute((query, values))
        async with self.acquire_connection() as connection:
            return await _execute(connection, query, values)

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
        _, rows = await self.execute_query(query, values)
        return [dict(row) for row in rows]

    @translate_exceptions
    async def execute_unit(self, *statements: Statement) -> int:
        """Execute all of them or none, those after the first only where it changed a row; how many it changed."""
        changed, _ = await self._together.execute(*statements)
        return changed

    @translate_exceptions
    async def execute_insert(self, query: str, values: list[Any]) -> int:
        row: tuple[int] = await self._write(lambda connection: connection.execute_insert(query, values))
        return row[0]

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        async with self._in_transaction() as transaction:
            await transaction.execute_many(query, values)

    @translate_exceptions
    async def execute_script(self, query: str) -> None:
        await self._write(lambda connection: connection.executescript(query))

    async def _write(self, act: Callable[[Any], Awaitable[Result]]) -> Result:
        async with self.turns.taken(), self.acquire_connection() as connection:
            return await uninterrupted(_awaited(act(connection)))


class Turns:
    """Who may write: one task at a time, of all processes. Taken before the connection, so that reads go on while a writer waits."""

    def __init__(self, file: Path) -> None:
        self._tasks = asyncio.Lock()
        self._processes = FileLock(file)

    @property
    def is_held(self) -> bool:
        return self._tasks.locked()

    async def take(self) -> None:
        """Raises OperationalError where another process goes on writing for too long. That, or a cancellation, leaves nothing held."""
        await self._tasks.acquire()
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._processes.wait()
        except TimeoutError as error:
            self._tasks.release()
            raise OperationalError(f"another process has been writing to the database for {TURN_SECONDS} seconds") from error
        except BaseException:
            self._tasks.release()
            raise

    def end(self) -> None:
        self._processes.let_go()
        self._tasks.release()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        await self.take()
        try:
            yield
        finally:
            self.end()


class TransactionClient(SqliteTransactionWrapper):
    def _in_transaction(self) -> TransactionContext:
        return Savepoint(TransactionClient(self))

    @translate_exceptions
    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, list[Any]]:
        async with self.acquire_connection() as connection:
            return await _execute(connection, query, values)

    @translate_exceptions
    async def execute_unit(self, *statements: Statement) -> int:
        """As that of the client; where it raises, the transaction is to be undone."""
        async with self.acquire_connection() as connection:
            changed, _ = await connection._execute(unit, connection._conn, *statements)
            return int(changed)

    async def execute_script(self, query: str) -> None:
        # One by one: run as one script, the first statement would commit the transaction.
        for statement in _statements(query):
            await self.execute_query(statement)

    async def begin(self) -> None:
        # IMMEDIATE: a transaction that first reads and then writes waits for another process at its start, where waiting helps.
        await self._say("BEGIN IMMEDIATE")

    async def commit(self) -> None:
        # As a statement, which fails where SQLite has already rolled back by itself: a full disk, for one.
        await self._say("COMMIT")
        self._finalized = True

    @translate_exceptions
    async def _say(self, statement: str) -> None:
        """Execute what changes no row, so that nothing is counted."""
        async with self.acquire_connection() as connection:
            await connection.execute_fetchall(statement)

    async def savepoint_rollback(self) -> None:
        savepoint = self._savepoint
        await super().savepoint_rollback()
        await self.execute_query(f"RELEASE {savepoint}")


class SqliteTransaction(Outermost):
    def __init__(self, parent: Client) -> None:
        super().__init__(TransactionClient(parent))
        self._parent = parent

    async def acquire(self) -> None:
        await self._parent.turns.take()
        try:
            await self._parent._lock.acquire()
        except BaseException:
            self._parent.turns.end()
            raise

    async def abandon(self) -> None:
        try:
            await self.client._connection.rollback()
        except (sqlite3.Error, ValueError):
            logger.exception("transaction could not be rolled back")

    async def release(self) -> None:
        self._parent._lock.release()
        self._parent.turns.end()


def _only_reads(query: str) -> bool:
    return query.lstrip()[:6].upper() == "SELECT"


def _may_read(query: str) -> bool:
    """Whether it may be a statement that only reads: one that begins with WITH may write in the end."""
    return query.lstrip()[:6].upper().startswith(("SELECT", "WITH"))


async def _awaited(act: Awaitable[Result]) -> Result:
    return await act


async def _execute(connection: Any, query: str, values: list[Any] | None) -> tuple[int, list[Any]]:
    if _only_reads(query):
        rows = list(await connection.execute_fetchall(query.replace("\x00", "'||CHAR(0)||'"), values))
        return len(rows), rows
    # All of it on one way to the thread of the connection: each way takes longer than most statements.
    found: tuple[int, list[Any]] = await connection._execute(counted, connection._conn, query, values)
    return found


def _statements(script: str) -> list[str]:
    statements = [""]
    for part in script.split(";"):
        statements[-1] += part + ";"
        if sqlite3.complete_statement(statements[-1]):
            statements.append("")
    return [statement for statement in statements if statement.strip(" \n;")]


client_class = Client
