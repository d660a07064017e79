"""SQLite: one connection a process, one lock, and writers that queue instead of failing."""

import logging
import sqlite3
from typing import Any

from tortoise.backends.base.client import TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionWrapper, translate_exceptions

from models.engines.transaction import Outermost, Savepoint

logger = logging.getLogger(__name__)


class Client(SqliteClient):
    def _in_transaction(self) -> TransactionContext:
        return SqliteTransaction(self)

    @translate_exceptions
    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, list[Any]]:
        async with self.acquire_connection() as connection:
            return await _execute(connection, query, values)

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        async with self._in_transaction() as transaction:
            await transaction.execute_many(query, values)


class TransactionClient(SqliteTransactionWrapper):
    def _in_transaction(self) -> TransactionContext:
        return Savepoint(TransactionClient(self))

    @translate_exceptions
    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, list[Any]]:
        async with self.acquire_connection() as connection:
            return await _execute(connection, query, values)

    async def execute_script(self, query: str) -> None:
        # One by one: run as one script, the first statement would commit the transaction.
        for statement in _statements(query):
            await self.execute_query(statement)

    async def begin(self) -> None:
        # IMMEDIATE: a transaction that first reads and then writes waits for another process at its start, where waiting helps.
        await self.execute_query("BEGIN IMMEDIATE")

    async def commit(self) -> None:
        # As a statement, which fails where SQLite has already rolled back by itself: a full disk, for one.
        await self.execute_query("COMMIT")
        self._finalized = True

    async def savepoint_rollback(self) -> None:
        savepoint = self._savepoint
        await super().savepoint_rollback()
        await self.execute_query(f"RELEASE {savepoint}")


class SqliteTransaction(Outermost):
    def __init__(self, parent: SqliteClient) -> None:
        super().__init__(TransactionClient(parent))
        self._parent = parent

    async def acquire(self) -> None:
        await self._parent._lock.acquire()

    async def abandon(self) -> None:
        try:
            await self.client._connection.rollback()
        except (sqlite3.Error, ValueError):
            logger.exception("transaction could not be rolled back")

    async def release(self) -> None:
        self._parent._lock.release()


async def _run(connection: Any, query: str, values: list[Any] | None) -> tuple[int, list[Any]]:
    """The rows that a statement changed, or else returned, and those rows.

    Counted by the statement's own cursor: a statement whose task was cancelled may still be running, and must not be counted here.
    """
    async with connection.execute(query.replace("\x00", "'||CHAR(0)||'"), values) as cursor:
        rows = list(await cursor.fetchall())
        return (cursor.rowcount if cursor.rowcount > 0 else len(rows)), rows


async def _execute(connection: Any, query: str, values: list[Any] | None) -> tuple[int, list[Any]]:
    if query.lstrip()[:6].upper() == "SELECT":
        rows = list(await connection.execute_fetchall(query.replace("\x00", "'||CHAR(0)||'"), values))
        return len(rows), rows
    return await _run(connection, query, values)


def _statements(script: str) -> list[str]:
    statements = [""]
    for part in script.split(";"):
        statements[-1] += part + ";"
        if sqlite3.complete_statement(statements[-1]):
            statements.append("")
    return [statement for statement in statements if statement.strip(" \n;")]


client_class = Client
