import asyncio
from collections.abc import AsyncIterator

import pytest
from asyncpg import PostgresError
from tortoise.exceptions import OperationalError

from models.database import Database, open_database, records, rows, transaction
from models.engines.at_hand import HANDED_ON_SECONDS, AtHand, Lent
from models.engines.postgresql_engine import Client

pytestmark = pytest.mark.anyio

BACKEND = "SELECT pg_backend_pid() AS pid"


@pytest.fixture
async def client(postgresql_url: str) -> AsyncIterator[Client]:
    """With a clock that stands still, so that however slow the machine is, none goes back for its age."""
    async with open_database(postgresql_url) as database:
        client = client_of(database)
        assert client._pool is not None
        client.at_hand = AtHand(client._pool, lambda: 1000.0)
        yield client


def client_of(database: Database) -> Client:
    client = database.context.db()
    assert isinstance(client, Client)
    return client


async def backend() -> int:
    [row] = await records(BACKEND)
    pid: int = row["pid"]
    return pid


async def test_statements_hand_one_connection_on(client: Client) -> None:
    first = await backend()

    assert [await backend() for _ in range(5)] == [first] * 5
    assert len(client.at_hand) == 1


async def test_a_transaction_takes_what_is_at_hand_and_gives_it_back_to_the_pool(client: Client) -> None:
    assert client._pool is not None
    first = await backend()

    async with transaction():
        assert await backend() == first

    assert len(client.at_hand) == 0
    assert client._pool.get_idle_size() == client._pool.get_size() == 1


async def test_statements_at_once_have_a_connection_each_and_wait_for_one_where_all_are_at_work(client: Client) -> None:
    assert client._pool is not None

    found = await asyncio.gather(*(records("SELECT pg_backend_pid() AS pid, pg_sleep(0.001)") for _ in range(100)))

    assert 1 < len({row["pid"] for [row] in found}) <= client._pool.get_max_size()
    assert client._pool.get_idle_size() + len(client.at_hand) == client._pool.get_size()


async def test_who_waits_is_given_a_connection_before_it_is_handed_on(client: Client) -> None:
    assert client._pool is not None
    lent = [await client.at_hand.take() for _ in range(client._pool.get_max_size())]
    waiting = asyncio.create_task(client.at_hand.take())
    await asyncio.sleep(0)

    await client.at_hand.give_back(lent[0], done=True)
    async with asyncio.timeout(10):
        taken = await waiting

    assert len(client.at_hand) == 0
    for each in [*lent[1:], taken]:
        await client.at_hand.give_back(each, done=True)
    assert len(client.at_hand) == len(lent)


async def test_who_waits_longest_is_given_the_next_one(client: Client) -> None:
    assert client._pool is not None
    lent = [await client.at_hand.take() for _ in range(client._pool.get_max_size())]
    order: list[int] = []

    async def wait(number: int) -> Lent:
        taken = await client.at_hand.take()
        order.append(number)
        return taken

    waiting = [asyncio.create_task(wait(number)) for number in range(4)]
    await asyncio.sleep(0)
    # One of each kind: from hand to hand, and by way of the pool.
    for number, each in enumerate(lent[:4]):
        await client.at_hand.give_back(each, done=number % 2 == 0)
        async with asyncio.timeout(10):
            await waiting[number]

    assert order == [0, 1, 2, 3]
    for each in [*lent[4:], *(task.result() for task in waiting)]:
        await client.at_hand.give_back(each, done=True)
    assert len(client.at_hand) == len(lent)


@pytest.mark.parametrize("done", [True, False], ids=["handed on", "by way of the pool"])
async def test_what_is_given_to_a_task_in_the_moment_it_is_cancelled_goes_to_the_next_one(client: Client, done: bool) -> None:
    assert client._pool is not None
    lent = [await client.at_hand.take() for _ in range(client._pool.get_max_size())]
    cancelled, next_one = (asyncio.create_task(client.at_hand.take()) for _ in range(2))
    await asyncio.sleep(0)

    giving = asyncio.create_task(client.at_hand.give_back(lent[0], done=done))
    while not giving.done():
        await asyncio.sleep(0)
    cancelled.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([cancelled])
        taken = await next_one

    assert cancelled.cancelled()
    for each in [*lent[1:], taken]:
        await client.at_hand.give_back(each, done=True)
    assert len(client.at_hand) == len(lent)


async def test_a_task_cancelled_while_it_waits_for_a_connection_holds_nothing(client: Client) -> None:
    assert client._pool is not None
    lent = [await client.at_hand.take() for _ in range(client._pool.get_max_size())]
    waiting = asyncio.create_task(client.at_hand.take())
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.wait([waiting])
    for each in lent:
        await client.at_hand.give_back(each, done=True)

    assert waiting.cancelled()
    assert len(client.at_hand) == len(lent)


async def test_a_connection_whose_statement_was_not_done_goes_back_to_the_pool(client: Client) -> None:
    assert client._pool is not None
    with pytest.raises(OperationalError):
        await records("SELECT nothing")
    assert len(client.at_hand) == 0
    assert client._pool.get_idle_size() == client._pool.get_size()

    asleep = asyncio.create_task(records("SELECT pg_sleep(20)"))
    await asyncio.sleep(0)
    assert client._pool.get_idle_size() == client._pool.get_size() - 1
    asleep.cancel()
    await asyncio.wait([asleep])

    assert asleep.cancelled()
    assert len(client.at_hand) == 0
    assert await backend() > 0


async def test_a_connection_in_a_transaction_is_not_handed_on(client: Client) -> None:
    await records("BEGIN")

    assert len(client.at_hand) == 0
    lent = await client.at_hand.take()
    assert not lent.connection.is_in_transaction()
    await client.at_hand.give_back(lent, done=True)


async def test_a_connection_that_the_server_ended_meanwhile_is_replaced(client: Client) -> None:
    lost = await client.at_hand.take()
    ended = await lost.connection.fetchval(BACKEND)
    closed = asyncio.Event()
    lost.connection.add_termination_listener(lambda _: closed.set())
    other = await client.at_hand.take()
    await client.at_hand.give_back(lost, done=True)
    await other.connection.fetch("SELECT pg_terminate_backend($1)", ended)
    async with asyncio.timeout(10):
        await closed.wait()
    assert len(client.at_hand) == 1

    taken = await client.at_hand.take()
    assert await taken.connection.fetchval(BACKEND) != ended
    for each in (other, taken):
        await client.at_hand.give_back(each, done=True)
    assert len(client.at_hand) == 2


async def test_a_connection_lost_with_its_own_statement_is_not_handed_on(client: Client) -> None:
    with pytest.raises((PostgresError, OSError)):
        await rows("SELECT pg_terminate_backend(pg_backend_pid())")

    assert len(client.at_hand) == 0
    assert await backend() > 0


async def test_the_pool_sees_a_connection_again_after_a_while(client: Client) -> None:
    assert client._pool is not None
    now = 1000.0
    at_hand = AtHand(client._pool, lambda: now)

    async def at_once(count: int) -> list[Lent]:
        lent = [await at_hand.take() for _ in range(count)]
        for each in lent:
            await at_hand.give_back(each, done=True)
        return lent

    await at_once(3)
    assert len(at_hand) == 3

    now += HANDED_ON_SECONDS
    await at_once(1)
    assert len(at_hand) == 1
    await at_once(1)
    assert len(at_hand) == 0
    assert client._pool.get_idle_size() == client._pool.get_size()


async def test_closing_takes_back_what_is_at_hand_and_what_is_given_back_later(postgresql_url: str) -> None:
    async with open_database(postgresql_url) as database:
        client = client_of(database)
        lent = [await client.at_hand.take() for _ in range(3)]
        await client.at_hand.give_back(lent[0], done=True)

        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        for each in lent[1:]:
            await client.at_hand.give_back(each, done=True)
        async with asyncio.timeout(10):
            await closing

        assert len(client.at_hand) == 0
        assert [each.connection._con for each in lent] == [None] * 3
