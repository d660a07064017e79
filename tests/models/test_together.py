"""Statements that are committed together on SQLite."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from tortoise.context import require_context
from tortoise.exceptions import IntegrityError

from models.database import open_database, rows
from models.engines.sqlite_engine import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
async def commits(tmp_path: Path) -> AsyncIterator[list[str]]:
    """What begins or ends a transaction meanwhile, in a database with one table."""
    async with open_database(f"sqlite://{tmp_path / 'p.db'}"):
        await rows("CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        connection: aiosqlite.Connection = require_context().db()._connection
        seen: list[str] = []
        await connection.set_trace_callback(lambda said: seen.append(said) if said.startswith(("BEGIN", "COMMIT", "ROLLBACK")) else None)
        yield seen


def _add(name: str) -> Any:
    return rows("INSERT INTO thing (name) VALUES ($1) RETURNING id", [name])


async def _names() -> list[str]:
    return [row["name"] for row in await rows("SELECT name FROM thing ORDER BY id")]


async def test_statements_that_wait_are_committed_together(commits: list[str]) -> None:
    found = await asyncio.gather(*[_add(f"thing {number}") for number in range(8)])

    assert [row["id"] for each in found for row in each] == list(range(1, 9))
    assert await _names() == [f"thing {number}" for number in range(8)]
    assert commits == ["BEGIN IMMEDIATE", "COMMIT"]


async def test_a_statement_that_fails_takes_no_other_along(commits: list[str]) -> None:
    await _add("taken")

    found = await asyncio.gather(_add("one"), _add("taken"), _add("two"), return_exceptions=True)

    assert [type(each) for each in found] == [list, IntegrityError, list]
    assert await _names() == ["taken", "one", "two"]


async def test_a_statement_cancelled_while_it_waits_is_not_executed(commits: list[str]) -> None:
    client = require_context().db()
    assert isinstance(client, Client)
    async with client.turns.taken():
        tasks = [asyncio.ensure_future(_add(name)) for name in ("one", "two", "three")]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        await asyncio.wait(tasks[:2])

    ended = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(each, asyncio.CancelledError) for each in ended] == [True, True, False]
    assert await _names() == ["three"]


async def test_what_is_wrong_with_the_connection_is_told_to_everyone(tmp_path: Path) -> None:
    async with open_database(f"sqlite://{tmp_path / 'p.db'}"):
        await rows("CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        await require_context().db()._connection.close()

        ended = await asyncio.gather(*[_add(name) for name in ("one", "two", "three")], return_exceptions=True)

    assert [type(each) for each in ended] == [ValueError] * 3


def _unit(*statements: str) -> Any:
    client = require_context().db()
    assert isinstance(client, Client)
    return client.execute_unit(*[(statement, ()) for statement in statements])


def _adding(*names: str) -> Any:
    return _unit(*[f"INSERT INTO thing (name) VALUES ('{name}')" for name in names])


async def test_a_unit_is_one_transaction(commits: list[str]) -> None:
    assert await _adding("one", "two", "three") == 1

    assert await _names() == ["one", "two", "three"]
    assert commits == ["BEGIN IMMEDIATE", "COMMIT"]


async def test_what_follows_in_a_unit_is_not_done_where_its_first_statement_changed_nothing(commits: list[str]) -> None:
    changed = await _unit("UPDATE thing SET name = 'two' WHERE name = 'one'", "INSERT INTO thing (name) VALUES ('three')")

    assert (changed, await _names()) == (0, [])


async def test_units_that_wait_are_committed_together(commits: list[str]) -> None:
    await asyncio.gather(_adding("one", "two"), _add("three"), _adding("four", "five"))

    assert await _names() == ["one", "two", "three", "four", "five"]
    assert commits == ["BEGIN IMMEDIATE", "COMMIT"]


async def test_of_a_unit_that_fails_nothing_is_done_and_of_the_others_all(commits: list[str]) -> None:
    await _add("taken")

    found = await asyncio.gather(_adding("one", "two"), _adding("three", "taken"), _adding("four", "five"), return_exceptions=True)

    assert [type(each) for each in found] == [int, IntegrityError, int]
    assert await _names() == ["taken", "one", "two", "four", "five"]
    with pytest.raises(IntegrityError):
        await _adding("six", "taken")
    assert await _names() == ["taken", "one", "two", "four", "five"]
