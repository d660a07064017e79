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
Statement = tuple[str, Sequence[Any] | None]
Writing = Callable[[Callable[[Any], Awaitable[None]]], Awaitable[None]]

_TOGETHER = ("INSERT", "UPDATE", "DELETE", "WITH")


@dataclass(slots=True, eq=False)
class _Unit:
    """Statements that are done all or not at all; those after the first only where it found something."""

    statements: Sequence[Statement]
    outcome: Found | Exception | None = field(default=None)

    @property
    def changes_rows(self) -> bool:
        return all(query.lstrip()[:6].upper().startswith(_TOGETHER) for query, _ in self.statements)

    def run(self, connection: sqlite3.Connection) -> Found:
        return unit(connection, *self.statements)

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
        self._waiting: list[_Unit] = []

    async def execute(self, *statements: Statement) -> Found:
        """Execute statements, in a transaction of their own or with others that wait; what the first of them found.

        All or none: those after the first only where it changed or returned a row. Raises what SQLite raises. Cancelled while it waits,
        none is executed, unless another has taken them along already.
        """
        unit = _Unit(statements)
        self._waiting.append(unit)
        try:
            async with self._turn:
                if unit.outcome is None:
                    await self._write(self._execute_waiting)
        finally:
            if unit in self._waiting:
                self._waiting.remove(unit)
        return unit.result()

    async def _execute_waiting(self, connection: Any) -> None:
        batch, self._waiting = self._waiting, []
        try:
            await connection._execute(_run, connection._conn, batch)
        # Whoever waits for one of them is to learn of it, whichever task this is.
        except Exception as error:
            for each in batch:
                each.outcome = error


def unit(connection: sqlite3.Connection, first: Statement, *others: Statement) -> Found:
    """What the first statement found; those after it are executed only where it found something."""
    found = counted(connection, *first)
    for query, values in others if found[0] else ():
        counted(connection, query, values)
    return found


def counted(connection: sqlite3.Connection, query: str, values: Sequence[Any] | None) -> Found:
    """Counted by the statement's own cursor: one whose task was cancelled may still be running, and must not be counted here."""
    cursor = connection.execute(query.replace("\x00", "'||CHAR(0)||'"), values or ())
    rows = cursor.fetchall()
    return (cursor.rowcount if cursor.rowcount > 0 else len(rows)), rows


def _run(connection: sqlite3.Connection, units: Sequence[_Unit]) -> None:
    # What does more than change rows may need to be outside of a transaction.
    if len(units) > 1 and all(each.changes_rows for each in units):
        try:
            _run_in_one(connection, units)
            return
        # Nothing is done: whose fault it was is found by running each alone.
        except (sqlite3.Error, ValueError, OverflowError, TypeError):
            pass
    for each in units:
        try:
            _run_alone(connection, each)
        except Exception as error:
            each.outcome = error


def _run_alone(connection: sqlite3.Connection, unit: _Unit) -> None:
    if len(unit.statements) == 1:
        unit.outcome = unit.run(connection)
    else:
        _run_in_one(connection, [unit])


def _run_in_one(connection: sqlite3.Connection, units: Sequence[_Unit]) -> None:
    """Run them in one transaction. Where this raises, nothing is done."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [each.run(connection) for each in units]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    for each, outcome in zip(units, outcomes, strict=True):
        each.outcome = outcome
