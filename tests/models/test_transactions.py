import asyncio
import random
import sys
import time
from asyncio.subprocess import PIPE
from datetime import UTC, datetime

import pytest
from tortoise.exceptions import OperationalError

import models
from models.database import Database, open_database, rows, transaction
from models.engines import postgresql_engine
from models.engines.sqlite_engine import Client

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def add(name: str) -> models.User:
    return await models.User.create(name=name, created_at=NOW)


async def names() -> list[str]:
    return sorted(user.name for user in await models.User.all())


async def nothing_held(database: Database) -> None:
    """No lock, no connection of the pool, no transaction is left over."""
    client = database.context.db()
    if isinstance(client, Client):
        assert not client._lock.locked()
        assert not client.turns.is_held
        assert client._connection is not None
        assert not client._connection.in_transaction
    else:
        assert isinstance(client, postgresql_engine.Client)
        pool = client._pool
        assert pool is not None
        # A connection comes back shortly after the task that was cancelled has ended.
        async with asyncio.timeout(5):
            while pool.get_idle_size() + len(client.at_hand) != pool.get_size():
                await asyncio.sleep(0.001)


async def test_callbacks_run_once_after_the_commit(database: Database) -> None:
    seen: list[str] = []

    async with transaction() as after_commit:
        after_commit(lambda: seen.append("first"))
        after_commit(lambda: seen.append("second"))
        await add("Ada")
        assert seen == []

    assert seen == ["first", "second"]
    assert await names() == ["Ada"]


async def test_callbacks_of_a_rolled_back_transaction_never_run(database: Database) -> None:
    seen: list[str] = []

    with pytest.raises(ZeroDivisionError):
        async with transaction() as after_commit:
            after_commit(lambda: seen.append("never"))
            await add("Ada")
            raise ZeroDivisionError

    assert seen == []
    assert await names() == []
    await nothing_held(database)


async def test_callbacks_of_an_inner_transaction_run_after_the_outer_commit(database: Database) -> None:
    seen: list[str] = []

    async with transaction() as after_commit:
        after_commit(lambda: seen.append("before"))
        async with transaction() as after_inner:
            after_inner(lambda: seen.append("inner"))
            await add("Ada")
        assert seen == []
        after_commit(lambda: seen.append("after"))

    assert seen == ["before", "inner", "after"]


async def test_an_inner_transaction_is_undone_alone(database: Database) -> None:
    seen: list[str] = []

    async with transaction() as after_commit:
        await add("outer")
        with pytest.raises(ZeroDivisionError):
            async with transaction() as after_inner:
                after_inner(lambda: seen.append("inner"))
                await add("inner")
                raise ZeroDivisionError
        await add("later")
        after_commit(lambda: seen.append("outer"))

    assert await names() == ["later", "outer"]
    assert seen == ["outer"]


async def test_a_failing_outer_transaction_takes_the_inner_one_and_its_callbacks_with_it(database: Database) -> None:
    seen: list[str] = []

    with pytest.raises(ZeroDivisionError):
        async with transaction():
            async with transaction() as after_inner:
                after_inner(lambda: seen.append("inner"))
                await add("inner")
            raise ZeroDivisionError

    assert await names() == []
    assert seen == []


async def test_callbacks_run_where_a_cancellation_comes_during_the_commit(database: Database) -> None:
    seen: list[str] = []

    async def write() -> None:
        async with transaction() as after_commit:
            after_commit(lambda: seen.append("committed"))
            await add("Ada")
            # Delivered at the next await, which is the commit.
            asyncio.get_running_loop().call_soon(task.cancel)

    task = asyncio.create_task(write())
    await asyncio.wait([task])

    assert task.cancelled()
    assert await names() == ["Ada"]
    assert seen == ["committed"]
    await nothing_held(database)


async def test_transactions_cancelled_at_any_moment_leave_nothing_behind(database: Database) -> None:
    """300 nested transactions and bulk writes, cancelled at random: each wrote all or nothing, and nothing stays locked."""
    chance = random.Random(7)
    committed: list[str] = []

    async def write(name: str) -> None:
        async with transaction() as after_commit:
            after_commit(lambda: committed.append(name))
            await add(name)
            async with transaction():
                await add(name)

    async def write_many(name: str) -> None:
        await models.User.bulk_create([models.User(name=name, created_at=NOW) for _ in range(20)])

    # How long a round takes that nobody cancels, on this machine and now.
    began = time.perf_counter()
    await asyncio.gather(*(write(f"two undisturbed {number}") for number in range(6)))
    longest = 2 * (time.perf_counter() - began)

    async def cancelled(number: int) -> None:
        act = write_many(f"many {number}") if number % 5 == 0 else write(f"two {number}")
        task = asyncio.create_task(act)
        loop = asyncio.get_running_loop()
        handle = loop.call_later(chance.uniform(0, longest), task.cancel)
        await asyncio.wait([task])
        handle.cancel()
        assert task.cancelled() or task.exception() is None

    for start in range(0, 300, 6):
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for number in range(start, start + 6):
                group.create_task(cancelled(number))

    await nothing_held(database)
    written = await names()
    counts = {name: written.count(name) for name in written}
    assert {name: count for name, count in counts.items() if count != (20 if name.startswith("many") else 2)} == {}
    assert {name for name in counts if name.startswith("two")} == set(committed)
    assert 6 < len(committed) < 246
    async with asyncio.timeout(5):
        await add("after all")


async def test_a_task_cancelled_while_it_waits_for_its_turn_takes_nothing(database: Database) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with transaction():
            await add("holder")
            entered.set()
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(hold())
        await entered.wait()
        waiting = [asyncio.create_task(write_one(number)) for number in range(30)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        leave.set()

    assert await names() == ["holder"]
    await nothing_held(database)


async def write_one(number: int) -> None:
    async with transaction():
        await add(f"waiter {number}")


async def test_a_deadline_inside_a_transaction_undoes_it(database: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), transaction():
            await add("late")
            await asyncio.Event().wait()

    assert await names() == []
    await nothing_held(database)


async def test_a_connection_that_the_server_ends_does_not_stay_in_the_pool(postgresql_url: str) -> None:
    async with open_database(postgresql_url) as database:
        with pytest.raises(Exception, match="terminat|closed"):
            async with transaction():
                await add("lost")
                await rows("SELECT pg_terminate_backend(pg_backend_pid())")

        await nothing_held(database)
        await add("kept")
        assert await names() == ["kept"]


async def test_an_update_counts_only_its_own_rows_after_another_was_cancelled(sqlite_url: str) -> None:
    """Who wins a conditional update is told by the count: rows of a statement whose task has gone must not be in it."""
    async with open_database(sqlite_url):
        await add("Ada")
        for _ in range(50):
            lost = asyncio.ensure_future(models.User.filter(name="Ada").update(administrator=True))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            lost.cancel()
            assert await models.User.filter(name="nobody").update(administrator=True) == 0
            await asyncio.wait([lost])


async def test_a_commit_that_sqlite_has_already_undone_is_an_error(sqlite_url: str) -> None:
    seen: list[str] = []

    async with open_database(sqlite_url) as database:
        with pytest.raises(OperationalError, match="no transaction is active"):
            async with transaction() as after_commit:
                after_commit(lambda: seen.append("never"))
                await add("Ada")
                # What SQLite does by itself when its disk is full.
                await rows("ROLLBACK")

        assert await names() == []
        assert seen == []
        await nothing_held(database)


INCREMENT = """
import asyncio, sys
import models
from models.database import open_database, rows, transaction

async def main():
    async with open_database(sys.argv[1]):
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(100):
            async with transaction():
                [user] = await rows("SELECT name FROM user_account")
                await rows("UPDATE user_account SET name = $1", [str(int(user["name"]) + 1)])

asyncio.run(main())
"""


async def test_three_processes_that_read_then_write_an_sqlite_file_never_fail(sqlite_url: str) -> None:
    async with open_database(sqlite_url):
        await add("0")
        processes = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", INCREMENT, sqlite_url, stdin=PIPE, stdout=PIPE, stderr=PIPE)
            for _ in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"

        ends = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))

        assert [error.decode() for _, error in ends] == ["", "", ""]
        assert [process.returncode for process in processes] == [0, 0, 0]
        assert await names() == ["300"]


async def test_a_full_disk_is_told_and_undone_and_reads_go_on_until_there_is_room_again(sqlite_url: str) -> None:
    """SQLite is given no more pages, and then says what it says of a disk."""
    async with open_database(sqlite_url) as database:
        pages = (await rows("PRAGMA page_count"))[0]["page_count"]
        await rows(f"PRAGMA max_page_count = {pages}")

        with pytest.raises(OperationalError, match="database or disk is full"):
            async with transaction():
                for number in range(10_000):
                    await add(f"user {number}")
        assert await names() == []
        await nothing_held(database)

        await rows(f"PRAGMA max_page_count = {pages + 100}")
        await add("Ada")
        assert await names() == ["Ada"]
