"""The loop: what is due is begun, as much as there are places for, for as long as the process lives."""

import asyncio
from datetime import timedelta

import pytest

import models
from api.connections.refresh_loop import RefreshLoop
from api.sandbox.provider import Answer
from models import AuthorizationStatus, ConnectionStatus
from tests.connections.trouble import Endpoint, another_server
from tests.installation import Installation

pytestmark = pytest.mark.anyio

# Every static credential is due by then.
DUE = timedelta(hours=7)
NEVER = "0 0 0 1 1 *"
EACH_SECOND = "* * * * * *"


def loop_of(here: Installation, *, concurrency: int, schedule: str = NEVER) -> RefreshLoop:
    patchbay = here.patchbay
    return RefreshLoop(
        patchbay.refresher,
        patchbay.vault,
        patchbay.audit_log,
        patchbay.incidents,
        patchbay.app_warnings,
        patchbay.refresh_loop._watch,
        patchbay.replicas,
        schedule=schedule,
        concurrency=concurrency,
        clock=here.clock,
    )


async def looked_after(here: Installation) -> int:
    return await models.Connection.filter(last_verified_at=here.clock.now).count()


async def test_a_tick_begins_no_more_than_there_are_places_for(here: Installation, account_endpoint: Endpoint) -> None:
    for _ in range(3):
        await here.connect_with_token()
    loop, refresher = loop_of(here, concurrency=2), here.patchbay.refresher
    here.clock.move(DUE)

    with account_endpoint.holding() as first, account_endpoint.holding() as second:
        more = await loop.tick()
        await first.reached()
        await second.reached()
        assert (more, refresher.under_way) == (True, 2)
        assert await loop.tick()
        assert refresher.under_way == 2
    await refresher.settled()

    assert await looked_after(here) == 2
    assert not await loop.tick()
    await refresher.settled()
    assert await looked_after(here) == 3


async def test_what_is_due_longest_comes_first(here: Installation) -> None:
    for minutes, name in ((2, "Second"), (3, "Third"), (1, "First")):
        connection = await here.connect_with_token(name=name)
        await models.Connection.filter(id=connection.id).update(due_at=here.clock.now + timedelta(minutes=minutes))
    loop, order = loop_of(here, concurrency=1), []
    here.clock.move(DUE)

    for _ in range(3):
        here.clock.move(timedelta(seconds=1))
        await loop.tick()
        await here.patchbay.refresher.settled()
        order += [connection.name for connection in await models.Connection.filter(last_verified_at=here.clock.now)]

    assert order == ["First", "Second", "Third"]


async def test_one_beat_looks_after_all_that_is_due(here: Installation) -> None:
    for _ in range(5):
        await here.connect_with_token()
    here.clock.move(DUE)

    await loop_of(here, concurrency=2).catch_up(asyncio.Event())
    await here.patchbay.refresher.settled()

    assert await looked_after(here) == 5


async def test_a_loop_survives_a_tick_that_fails(
    here: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await here.connect_with_token()
    loop, start_due = loop_of(here, concurrency=2, schedule=EACH_SECOND), here.patchbay.refresher.start_due
    failures = iter([OSError("the database is away"), None])
    begun = asyncio.Event()

    async def fails_once(*, limit: int) -> int:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        count = await start_due(limit=limit)
        begun.set()
        return count

    monkeypatch.setattr(here.patchbay.refresher, "start_due", fails_once)
    here.clock.move(DUE)
    async with loop.running(), asyncio.timeout(10):
        await begun.wait()
    await here.patchbay.refresher.settled()

    assert [record.message for record in caplog.records if record.name == "api.connections.refresh_loop"] == ["tick failed"]
    assert loop.last_tick_at == here.clock.now
    assert (await models.Connection.get(id=connection.id)).status is ConnectionStatus.CONNECTED


async def test_a_process_that_ends_waits_for_the_tokens_that_it_asked_for(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    here.clock.move(timedelta(seconds=55))

    with token_endpoint.holding() as answer:
        async with another_server(here) as other:
            with other.database.entered():
                await other.refresh_loop.tick()
            await answer.reached()
            assert other.refresher.under_way == 1
            answer.release()

    row = await models.Connection.get(id=connection.id)
    assert (row.last_refreshed_at, row.lease_holder) == (here.clock.now, None)
    assert await models.TokenJournal.all().count() == 0


async def test_one_that_hangs_does_not_hold_the_others_up(here: Installation, account_endpoint: Endpoint) -> None:
    for _ in range(4):
        await here.connect_with_token()
    here.clock.move(DUE)

    with account_endpoint.holding() as answer:
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await here.patchbay.refresher.settled(at_most=1)
        assert await looked_after(here) == 3
    await here.patchbay.refresher.settled()

    assert await looked_after(here) == 4


async def test_the_chores_are_done_once_a_minute(here: Installation, token_endpoint: Endpoint) -> None:
    await here.tick()
    authorization = await here.begin()
    await models.Authorization.filter(id=authorization.id).update(expires_at=here.clock.now)

    await here.tick(after=timedelta(seconds=59))
    early = await models.Authorization.get(id=authorization.id)
    await here.tick(after=timedelta(seconds=1))
    late = await models.Authorization.get(id=authorization.id)

    assert early.secrets is not None
    assert (early.status, late.status, late.secrets) == (AuthorizationStatus.PENDING, AuthorizationStatus.EXPIRED, None)


async def test_many_that_fail_are_all_told_of(here: Installation, account_endpoint: Endpoint) -> None:
    for _ in range(5):
        await here.connect_with_token()
    account_endpoint.says = Answer(401)

    await here.tick(after=DUE)

    assert await models.Connection.filter(status=ConnectionStatus.ACTION_REQUIRED, due_at=None).count() == 5


async def test_by_a_clock_that_leases_cannot_rely_on_nothing_is_refreshed(here: Installation, account_endpoint: Endpoint) -> None:
    await here.connect_with_token()
    account_endpoint.asked = 0
    here.patchbay.replicas.clock_deviates = True

    await here.tick(after=DUE)
    assert account_endpoint.asked == 0
    assert await looked_after(here) == 0

    here.patchbay.replicas.clock_deviates = False
    await here.tick()
    assert await looked_after(here) == 1
