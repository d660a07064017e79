"""Statements of many tasks, committed together on SQLite.

To commit takes longer than to write a row: the file is synced to the disk, and the way to the thread of the connection goes there and back.
While one does that, others come to wait; the next to have its turn takes all of their statements along. Each is still all or nothing
by itself, and nobody is told that theirs is done before it is committed.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

# The rows that a statement changed, or else returned, and those rows.
Found = tuple[int, list[Any]]
Writing = Callable[[Callable[[Any], Awaitable[None]]], Awaitable[None]]

_TOGETHER = ("INSERT", "UPDATE", "DELETE", "WITH")


@dataclass(slots=True, eq=False)
class _Statement:
    query: str
    values: Sequence[Any] | None
    outcome: Found | Exception | None = field(default=None)

    def run(self, connection: sqlite3.Connection) -> None:
        try:
            self.outcome = counted(connection, self.query, self.values)
        except Exception as error:
            self.outcome = error

    def result(self) -> Found:
        assert self.outcome is not None
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Together:
    """`write`: does something with the connection in a turn of its own, to its end."""

    def __init__(self, write: Writing) -> None:
        self._write = write
        self._turn = asyncio.Lock()
        self._waiting: list[_Statement] = []

    async def execute(self, query: str, values: Sequence[Any] | None) -> Found:
        """Execute a statement, in a transaction of its own or with others that wait. Raises what SQLite raises.

        Cancelled while it waits, it is not executed, unless another has taken it along already.
        """
        statement = _Statement(query, values)
        self._waiting.append(statement)
        try:
            async with self._turn:
                if statement.outcome is None:
                    await self._write(self._execute_waiting)
        finally:
            if statement in self._waiting:
                self._waiting.remove(statement)
        return statement.result()

    async def _execute_waiting(self, connection: Any) -> None:
        batch, self._waiting = self._waiting, []
        try:
            await connection._execute(_run, connection._conn, batch)
        # Whoever waits for one of them is to learn of it, whichever task this is.
        except Exception as error:
            for each in batch:
                each.outcome = error


def counted(connection: sqlite3.Connection, query: str, values: Sequence[Any] | None) -> Found:
    """Counted by the statement's own cursor: one whose task was cancelled may still be running, and must not be counted here."""
    cursor = connection.execute(query.replace("\x00", "'||CHAR(0)||'"), values or ())
    rows = cursor.fetchall()
    return (cursor.rowcount if cursor.rowcount > 0 else len(rows)), rows


def _run(connection: sqlite3.Connection, statements: Sequence[_Statement]) -> None:
    # What does more than change rows may need to be outside of a transaction.
    change_rows = all(each.query.lstrip()[:6].upper().startswith(_TOGETHER) for each in statements)
    if len(statements) == 1 or not change_rows or not _run_in_one(connection, statements):
        for each in statements:
            each.run(connection)


def _run_in_one(connection: sqlite3.Connection, statements: Sequence[_Statement]) -> bool:
    """Whether all went well. Where not, nothing is done: whose fault it was is found by running each alone."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [counted(connection, each.query, each.values) for each in statements]
        connection.execute("COMMIT")
    except (sqlite3.Error, ValueError, OverflowError, TypeError):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return False
    for each, outcome in zip(statements, outcomes, strict=True):
        each.outcome = outcome
    return True
