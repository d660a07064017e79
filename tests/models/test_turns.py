"""Processes that write to one SQLite file take turns, so that none commits while another makes a checkpoint."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tortoise.exceptions import OperationalError

import models
from models.database import Database, DatabaseUrl, migrate, open_database, rows, transaction
from models.engines import sqlite_engine
from models.engines.sqlite_engine import Client
from models.file_lock import FileLock
from tests.clock import HeldClock
from tests.installation import installed

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Many rows, so that it is still under way when it is cancelled.
LONG = """
    INSERT INTO many (number)
    WITH RECURSIVE counted (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counted WHERE number < 200000)
    SELECT number FROM counted
"""


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    async with open_database(sqlite_url) as database:
        await models.User.create(name="Ada", created_at=NOW)
        yield database


@contextmanager
def another_process_writes(database: Database) -> Iterator[None]:
    lock = FileLock(turns_of(database.url))
    assert lock.take()
    try:
        yield
    finally:
        lock.let_go()


def turns_of(url: DatabaseUrl) -> Path:
    return url.file.with_name(f"{url.file.name}.writing")


def client_of(database: Database) -> Client:
    client = database.context.db()
    assert isinstance(client, Client)
    return client


async def in_a_transaction() -> None:
    async with transaction():
        await models.User.create(name="Bob", created_at=NOW)


WRITES: dict[str, Callable[[], Awaitable[object]]] = {
    "insert": lambda: models.User.create(name="Bob", created_at=NOW),
    "update": lambda: models.User.filter(name="Ada").update(name="Bob"),
    "delete": lambda: models.User.all().delete(),
    "many": lambda: models.User.bulk_create([models.User(name="Bob", created_at=NOW)]),
    "sql": lambda: rows(f"UPDATE {models.User._meta.db_table} SET name = 'Bob' RETURNING name"),
    "transaction": in_a_transaction,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_write_waits_while_another_process_writes_and_reads_go_on(
    write: Callable[[], Awaitable[object]], database: Database
) -> None:
    with another_process_writes(database):
        task = asyncio.ensure_future(write())
        await asyncio.sleep(0)

        assert [user.name for user in await models.User.all()] == ["Ada"]
        assert not task.done()

    await task
    assert [user.name for user in await models.User.all()] != ["Ada"]
    assert not client_of(database).turns.is_held


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_write_that_waits_too_long_is_an_error_and_writes_nothing(
    write: Callable[[], Awaitable[object]], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_engine, "TURN_SECONDS", 0.01)

    with another_process_writes(database), pytest.raises(OperationalError, match="another process has been writing"):
        await write()

    assert [user.name for user in await models.User.all()] == ["Ada"]
    assert not client_of(database).turns.is_held


async def test_a_write_that_is_cancelled_while_it_waits_holds_nothing(database: Database) -> None:
    with another_process_writes(database):
        for write in WRITES.values():
            task = asyncio.ensure_future(write())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    assert not client_of(database).turns.is_held
    assert [user.name for user in await models.User.all()] == ["Ada"]


async def test_a_cancelled_write_keeps_its_turn_until_it_has_ended(database: Database) -> None:
    await rows("CREATE TABLE many (number INTEGER)")
    client = client_of(database)

    task = asyncio.ensure_future(rows(LONG))
    while not client._lock.locked():
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    # By another connection: on ours this would wait for the statement.
    with closing(sqlite3.connect(database.url.file)) as other:
        assert other.execute("SELECT count(*) FROM many").fetchone() == (200_000,)
    assert not client.turns.is_held


async def test_every_statement_that_writes_has_its_turn(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In all that an installation does, from the first migration on: looked at by the database, as each statement begins."""
    seen: list[str] = []
    out_of_turn: list[str] = []
    create_connection = Client.create_connection

    async def create_and_watch(client: Client, with_db: bool) -> None:
        await create_connection(client, with_db)
        watched = Path(f"{client.filename}.writing")

        def look(statement: str) -> None:
            seen.append(statement)
            lock = FileLock(watched)
            if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")) and lock.take():
                lock.let_go()
                out_of_turn.append(statement)

        assert client._connection is not None
        await client._connection.set_trace_callback(look)

    monkeypatch.setattr(Client, "create_connection", create_and_watch)
    clock = HeldClock(NOW)
    await migrate(f"sqlite://{tmp_path}/new.db")
    async with installed(f"sqlite://{tmp_path}/new.db", tmp_path, clock) as here:
        connection = await here.connect_by_consent()
        await here.connect_with_token()
        await here.tick(after=timedelta(minutes=2))
        await here.patchbay.connections.rename(here.ada, connection.id, "Renamed")
        await here.patchbay.connections.delete(here.ada, connection.id)

    writes = {
        word for statement in seen for word in ("CREATE", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT") if statement.startswith(word)
    }
    assert writes == {"CREATE", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT"}
    assert out_of_turn == []
