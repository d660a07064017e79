"""What is read in no time is read in the event loop, and whatever else by the thread: the answers are the same."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from tortoise.exceptions import OperationalError

import models
from models.database import Database, open_database, rows, transaction
from models.engines.sqlite_engine import Client
from models.engines.sqlite_reader import Reader

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COUNT = """
WITH RECURSIVE counted (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counted WHERE number < {most})
SELECT MAX(number) AS most FROM counted
"""


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    async with open_database(sqlite_url) as database:
        await models.User.create(name="Ada", created_at=NOW)
        yield database


@contextmanager
def watched() -> Iterator[list[bool]]:
    """Of each statement that was tried in the event loop, whether it was answered there."""
    at_once: list[bool] = []
    read = Reader.read

    def watching(self: Reader, query: str, values: Any) -> list[sqlite3.Row] | None:
        found = read(self, query, values)
        at_once.append(found is not None)
        return found

    with patch.object(Reader, "read", watching):
        yield at_once


@pytest.mark.usefixtures("database")
async def test_what_is_short_is_read_in_the_loop_and_what_is_long_by_the_thread() -> None:
    with watched() as at_once:
        short = await rows(COUNT.format(most=100))
        long = await rows(COUNT.format(most=100_000))
        again = await rows(COUNT.format(most=100))

    assert (short, long, again) == ([{"most": 100}], [{"most": 100_000}], [{"most": 100}])
    assert at_once == [True, False, True]


@pytest.mark.usefixtures("database")
async def test_short_reads_without_end_let_others_have_their_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with asyncio.TaskGroup() as group:
        other = group.create_task(others())
        with watched() as at_once:
            for _ in range(100):
                await rows("SELECT 1 AS one")
        other.cancel()

    assert turns >= 4
    assert at_once == [True] * 100


async def test_a_read_neither_waits_for_a_transaction_nor_sees_anything_of_it(database: Database) -> None:
    written, looked = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with transaction():
            await models.User.create(name="Grace", created_at=NOW)
            written.set()
            await looked.wait()
            assert await models.User.all().count() == 2

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        await written.wait()
        with watched() as at_once:
            during = [user.name for user in await models.User.all()]
        looked.set()

    assert (during, at_once) == (["Ada"], [True])
    assert await models.User.all().count() == 2


@pytest.mark.usefixtures("database")
async def test_a_read_sees_what_was_written_before_it() -> None:
    for number in range(20):
        await models.User.create(name=f"User {number}", created_at=NOW)
        assert await models.User.filter(name=f"User {number}").exists()


@pytest.mark.usefixtures("database")
async def test_a_mistake_is_told_as_the_thread_tells_it() -> None:
    with pytest.raises(OperationalError, match="no such table: nowhere"):
        await rows("SELECT * FROM nowhere")


async def test_the_connection_that_reads_cannot_write(database: Database) -> None:
    client = database.context.db()
    assert isinstance(client, Client)
    assert client._reader is not None

    assert client._reader.read("DELETE FROM user_account", None) is None

    assert await models.User.all().count() == 1


async def test_a_statement_that_writes_in_the_end_is_left_to_the_thread(database: Database) -> None:
    with watched() as at_once:
        deleted = await rows("WITH gone AS (SELECT id FROM user_account) DELETE FROM user_account WHERE id IN gone RETURNING name")

    assert (deleted, at_once) == ([{"name": "Ada"}], [False])
    assert await models.User.all().count() == 0


async def test_a_file_that_is_not_there_is_not_made_by_reading(database: Database) -> None:
    missing = database.url.file.with_name("missing.db")

    with pytest.raises(sqlite3.OperationalError):
        Reader(missing)

    assert not missing.exists()
