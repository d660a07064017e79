"""Reads of one statement that go to PostgreSQL together.

What goes together is one transaction, so that `now()` is the same for all of it, and for nothing else.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asyncpg import Connection, DataError, DivisionByZeroError, connect
from tortoise.exceptions import OperationalError

from models.database import Database, open_database, records, records_alike, rows, transaction
from models.engines import at_hand
from models.engines.postgresql_engine import Client

pytestmark = pytest.mark.anyio

_SECONDS = 20
NUMBER = "SELECT $1::int AS number, now() AS began, pg_backend_pid() AS pid"
UP_TO = "SELECT number FROM generate_series(1, $1::int) AS number ORDER BY number DESC"
# Who asks waits for as long as this lock is held by another.
WAITS = f"{NUMBER}, pg_advisory_xact_lock_shared(7)"
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
async def database(postgresql_url: str) -> AsyncIterator[Database]:
    async with open_database(postgresql_url) as database:
        yield database


@pytest.fixture
async def other(postgresql_url: str) -> AsyncIterator[Connection]:
    """A connection of somebody else."""
    connection = await connect(postgresql_url)
    try:
        yield connection
    finally:
        await connection.close()


def client_of(database: Database) -> Client:
    client = database.context.db()
    assert isinstance(client, Client)
    return client


async def read(number: object, query: str = NUMBER, **options: int) -> Any:
    [row] = await records_alike(query, [number], **options)
    return row


async def together(*numbers: object, query: str = NUMBER, **options: int) -> list[Any]:
    return await asyncio.gather(*(read(number, query, **options) for number in numbers), return_exceptions=True)


@asynccontextmanager
async def held(other: Connection) -> AsyncIterator[None]:
    """Whoever waits for the lock waits until the end of this."""
    await other.execute("SELECT pg_advisory_lock(7)")
    try:
        yield
    finally:
        await other.execute("SELECT pg_advisory_unlock(7)")


async def blocked(other: Connection, count: int = 1) -> list[int]:
    """Those who wait for the lock, once so many do."""
    async with asyncio.timeout(_SECONDS):
        while len(found := await other.fetch(WAITING)) < count:
            await asyncio.sleep(0)
    return [row["pid"] for row in found]


@pytest.mark.usefixtures("database")
async def test_what_is_asked_in_one_moment_goes_one_way_together_and_each_is_given_their_own() -> None:
    found = await together(3, 1, 2)

    assert [row["number"] for row in found] == [3, 1, 2]
    assert len({row["began"] for row in found}) == 1


@pytest.mark.usefixtures("database")
async def test_what_is_asked_one_after_the_other_goes_by_itself() -> None:
    found = [await read(1), await read(1)]

    assert found[0]["began"] < found[1]["began"]


@pytest.mark.usefixtures("database")
async def test_each_is_given_all_of_their_rows_in_their_order_or_none() -> None:
    counts = [random.randrange(4) for _ in range(200)]

    found = await asyncio.gather(*(records_alike(UP_TO, [count]) for count in counts))

    assert [[row["number"] for row in each] for each in found] == [list(range(count, 0, -1)) for count in counts]


@pytest.mark.usefixtures("database")
async def test_many_at_once_go_in_groups_that_are_not_too_large() -> None:
    found = await together(*range(10), at_most=4)

    groups = [sum(row["began"] == began for row in found) for began in dict.fromkeys(row["began"] for row in found)]
    assert [row["number"] for row in found] == list(range(10))
    assert groups == [4, 4, 2]


@pytest.mark.usefixtures("database")
async def test_no_statement_goes_with_another() -> None:
    found = await asyncio.gather(read(1), read(1, f"{NUMBER}, 'other' AS name"))

    assert found[0]["began"] != found[1]["began"]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("wrong", "error"), [(0, DivisionByZeroError), ("no number", DataError)], ids=["in the database", "on the way to it"]
)
async def test_what_is_wrong_with_one_is_nobody_elses_error(wrong: object, error: type[Exception]) -> None:
    found = await together(1, wrong, 2, query="SELECT 4 / $1::int AS quotient")

    assert [found[0]["quotient"], found[2]["quotient"]] == [4, 2]
    # As Tortoise says it.
    assert isinstance(found[1], OperationalError)
    assert isinstance(found[1].__cause__, error)


@pytest.mark.usefixtures("database")
async def test_what_is_wrong_with_a_single_one_is_said_at_once() -> None:
    with pytest.raises(OperationalError, match="division by zero"):
        await read(0, "SELECT 4 / $1::int AS quotient")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("cancelled", range(3))
async def test_who_is_cancelled_as_it_begins_is_nobody_elses_end(turns: int, cancelled: int) -> None:
    tasks = [asyncio.create_task(read(number)) for number in range(3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    was_under_way = tasks[cancelled].cancel()

    async with asyncio.timeout(_SECONDS):
        found: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(found.pop(cancelled), asyncio.CancelledError) is was_under_way
    assert [row["number"] for row in found] == [number for number in range(3) if number != cancelled]


@pytest.mark.usefixtures("database")
async def test_for_who_is_cancelled_before_it_begins_nothing_is_executed() -> None:
    await rows("CREATE SEQUENCE counted")
    tasks = [asyncio.create_task(read(number, "SELECT nextval('counted') AS place, $1::int AS number")) for number in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()

    found: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)

    assert [found[0]["place"], found[2]["place"]] == [1, 2]


@pytest.mark.parametrize("cancelled", range(3))
async def test_who_is_cancelled_while_it_is_done_is_nobody_elses_end(database: Database, other: Connection, cancelled: int) -> None:
    async with held(other):
        tasks = [asyncio.create_task(read(number, WAITS)) for number in range(3)]
        await blocked(other)
        tasks[cancelled].cancel()
        async with asyncio.timeout(_SECONDS):
            await asyncio.wait([tasks[cancelled]])
    async with asyncio.timeout(_SECONDS):
        found: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(found.pop(cancelled), asyncio.CancelledError)
    assert [row["number"] for row in found] == [number for number in range(3) if number != cancelled]
    assert not client_of(database)._alike._gathering


@pytest.mark.usefixtures("database")
async def test_who_asks_later_goes_by_themselves_and_sees_what_was_written_meanwhile(other: Connection) -> None:
    written = "SELECT count(*) AS users, $1::int AS number, pg_advisory_xact_lock_shared($1::int) FROM user_account"
    async with held(other):
        first = asyncio.create_task(read(7, written))
        await blocked(other)
        await rows("INSERT INTO user_account (id, name, administrator, created_at) VALUES (gen_random_uuid(), 'Ada', false, now())")

        async with asyncio.timeout(_SECONDS):
            second = await read(8, written)

        assert second["users"] == 1
        assert not first.done()
    async with asyncio.timeout(_SECONDS):
        await first


@pytest.mark.usefixtures("database")
async def test_a_connection_that_is_lost_is_lost_for_nobody_who_shared_it(other: Connection) -> None:
    async with held(other):
        tasks = [asyncio.create_task(read(number, WAITS)) for number in range(3)]
        [pid] = await blocked(other)
        await other.execute("SELECT pg_terminate_backend($1)", pid)
        await blocked(other, 3)
    async with asyncio.timeout(_SECONDS):
        found = await asyncio.gather(*tasks)

    assert [row["number"] for row in found] == [0, 1, 2]
    assert pid not in {row["pid"] for row in found}


async def test_those_who_come_while_all_connections_are_at_work_go_together(database: Database) -> None:
    client = client_of(database)
    assert client._pool is not None
    lent = [await client.at_hand.take() for _ in range(client._pool.get_max_size())]
    tasks = []
    for number in range(3):
        tasks.append(asyncio.create_task(read(number)))
        await asyncio.sleep(0)
    for each in lent:
        await client.at_hand.give_back(each, done=True)

    async with asyncio.timeout(_SECONDS):
        found = await asyncio.gather(*tasks)

    assert [row["number"] for row in found] == [0, 1, 2]
    assert len({row["began"] for row in found}) == 1


async def test_where_no_connection_is_to_be_had_in_time_nobody_waits_once_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(database)
    assert client._pool is not None
    lent = [await client.at_hand.take() for _ in range(client._pool.get_max_size())]
    monkeypatch.setattr(at_hand, "ACQUIRE_SECONDS", 0)
    asked, lend = [], client._alike._lend

    def lending() -> Any:
        asked.append("a connection")
        return lend()

    monkeypatch.setattr(client._alike, "_lend", lending)

    found = await together(1, 2, 3)

    assert [type(each) for each in found] == [TimeoutError] * 3
    assert asked == ["a connection"]
    for each in lent:
        await client.at_hand.give_back(each, done=True)
    assert (await read(4))["number"] == 4


@pytest.mark.usefixtures("database")
async def test_in_a_transaction_it_is_read_in_there() -> None:
    async with transaction():
        await rows("INSERT INTO user_account (id, name, administrator, created_at) VALUES (gen_random_uuid(), 'Ada', false, now())")
        inside = asyncio.create_task(_count())
        assert await inside == 1
        [began] = await records("SELECT now() AS began")
        assert (await read(1))["began"] == began["began"]
    assert await _count() == 1


async def _count() -> int:
    [row] = await records_alike("SELECT count(*) AS count FROM user_account")
    count: int = row["count"]
    return count


@pytest.mark.usefixtures("database")
async def test_a_table_that_has_changed_is_read_as_it_is() -> None:
    async def columns() -> Sequence[str]:
        found = await asyncio.gather(*(records_alike("SELECT * FROM thing WHERE id = $1", [number]) for number in (1, 2)))
        return [",".join(row.keys()) for each in found for row in each]

    await rows("CREATE TABLE thing (id integer)")
    await rows("INSERT INTO thing VALUES (1), (2)")
    before = await columns()

    await rows("ALTER TABLE thing ADD COLUMN name text")

    assert before == ["id,asked_as"] * 2
    assert await columns() == ["id,name,asked_as"] * 2


async def test_on_sqlite_it_is_read_like_anything_else(sqlite_url: str) -> None:
    async with open_database(sqlite_url):
        found = await asyncio.gather(*(records_alike("SELECT $1 AS number", [number]) for number in range(3)))

    assert [[tuple(row) for row in each] for each in found] == [[(0,)], [(1,)], [(2,)]]
