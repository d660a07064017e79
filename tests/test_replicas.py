import asyncio
from datetime import UTC, datetime, timedelta

import pytest

import models
from api.replicas import Replicas
from api.vault.following import RingFollower
from api.vault.keys import MasterKeys
from api.vault.opening import open_vault
from models import CryptoKeyState
from models.rows import database_time
from tests.clock import HeldClock
from tests.vault.ringing import K1, add_data_key

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]


async def replica(name: str, clock: HeldClock, time_of_all: HeldClock | None = None) -> Replicas:
    vault = await open_vault(MasterKeys([K1]), clock)

    async def told() -> datetime:
        assert time_of_all is not None
        return time_of_all()

    follower = RingFollower(vault, lambda: MasterKeys([K1]))
    return Replicas(vault, follower, clock, id=name, time_of_all=None if time_of_all is None else told)


async def ids() -> list[str]:
    return [row.id for row in await models.Replica.all().order_by("id")]


async def test_a_process_is_among_the_replicas_while_it_runs() -> None:
    clock = HeldClock()
    one, two = await replica("one", clock), await replica("two", clock)
    two.courier_id = "courier"

    async with one.running(), two.running():
        rows = [(row.id, row.started_at, row.seen_at, row.courier_id, row.refreshes, row.data_keys) for row in await one.alive()]
        assert rows == [("one", clock.now, clock.now, None, True, [1]), ("two", clock.now, clock.now, "courier", True, [1])]

    assert await ids() == []


async def test_a_beat_tells_what_changed() -> None:
    clock = HeldClock()
    one = await replica("one", clock)
    started_at = clock.now

    async with one.running():
        clock.move(timedelta(seconds=15))
        await add_data_key(K1, state=CryptoKeyState.PENDING)
        await one.beat()

        row = await models.Replica.get(id="one")
        assert (row.started_at, row.seen_at, row.data_keys) == (started_at, clock.now, [1, 3])


async def test_a_process_that_died_is_not_alive_after_a_while_and_forgotten_after_a_day() -> None:
    clock = HeldClock()
    died, lives = await replica("died", clock), await replica("lives", clock)
    await died.beat()

    for later, alive, known in ((60, ["died"], ["died"]), (15, [], ["died"]), (86_400, [], [])):
        clock.move(timedelta(seconds=later))
        assert [row.id for row in await lives.alive()] == alive
        await models.Replica.forget_gone(clock())
        assert await ids() == known


async def test_a_database_that_is_away_stops_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def away(*_: object) -> None:
        raise OSError("no route")

    one = await replica("one", HeldClock())
    with monkeypatch.context() as patched:
        patched.setattr(models.Replica, "tell", away)
        patched.setattr(models.Replica, "filter", lambda **_: (_ for _ in ()).throw(OSError("no route")))
        async with one.running():
            assert [record.message for record in caplog.records] == ["heartbeat failed"]

    assert [record.message for record in caplog.records] == ["heartbeat failed", "heartbeat not ended"]


async def test_a_key_that_is_asked_for_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.replicas._APART_SECONDS", 0)
    one = await replica("one", HeldClock())

    async with one.running():
        await add_data_key(K1, state=CryptoKeyState.PENDING)
        one._follower.wanted.set()
        async with asyncio.timeout(5):
            while one._vault.ring.key_ids != [1, 3]:
                await asyncio.sleep(0)


async def test_a_cancelled_process_takes_its_row_away() -> None:
    one = await replica("one", HeldClock())
    begun = asyncio.Event()

    async def live() -> None:
        async with one.running():
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(live())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert task.cancelled()
    assert await ids() == []


@pytest.mark.parametrize(("seconds", "deviates"), [(0, False), (5, False), (-5, False), (6, True), (-6, True), (3600, True)])
async def test_a_clock_is_compared_with_that_of_all(seconds: int, deviates: bool) -> None:
    clock, time_of_all = HeldClock(), HeldClock()
    one = await replica("one", clock, time_of_all)
    clock.move(timedelta(seconds=seconds))

    await one.beat()
    assert one.clock_deviates is deviates

    clock.move(timedelta(seconds=-seconds))
    await one.beat()
    assert not one.clock_deviates


async def test_the_database_tells_the_time() -> None:
    before = datetime.now(UTC)
    told = await database_time()

    # SQLite tells it to the millisecond.
    assert before - timedelta(milliseconds=1) <= told <= datetime.now(UTC)
