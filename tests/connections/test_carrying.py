"""Refreshing with a courier: what providers answer outlives the process that asked."""

import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

import models
from api.courier.client import Courier
from api.errors import Conflict
from api.opening import open_patchbay
from api.patchbay import Patchbay
from models import ConnectionEventType, ConnectionStatus, StatusReasonCode
from tests.clock import HeldClock
from tests.connections.trouble import Endpoint, dying_before_the_save, kill, tick
from tests.connections.watching import found, state_of, told
from tests.installation import Installation, installed

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(40)]

DUE = timedelta(seconds=55)
SOON = timedelta(seconds=1)
OVER = timedelta(seconds=21)
REASONS = (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.REAUTHENTICATION_REQUIRED)


@pytest.fixture
async def here(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[Installation]:
    """A whole Patchbay with a courier, once on each database."""
    async with installed(database_url, tmp_path, clock, courier=True) as installation:
        yield installation


@asynccontextmanager
async def started_again(here: Installation) -> AsyncIterator[Patchbay]:
    """A second process of the same server, with the same courier."""
    async with open_patchbay(here.patchbay.settings, clock=here.clock, chance=random.Random(2), courier=True, refreshes=False) as patchbay:
        with here.patchbay.database.entered():
            yield patchbay


def courier_of(here: Installation) -> Courier:
    courier = here.patchbay.refresher._journal._courier
    assert courier is not None
    return courier


async def vanish(here: Installation) -> None:
    """The server dies: its attempts end without a word, and it is not connected to the courier any more."""
    await kill(here)
    courier = courier_of(here)
    courier._start = courier._connect_again = None  # type: ignore[assignment,method-assign]
    courier._lose()


async def test_a_refresh_goes_by_the_courier_and_leaves_nothing_behind(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.asked = 0

    for times in (1, 2, 3):
        await here.tick(after=DUE)
        assert [grant.refreshes for grant in here.sandbox.overview().grants] == [times]

    assert token_endpoint.asked == 3
    assert (await found(connection)).status is ConnectionStatus.CONNECTED
    assert await models.TokenJournal.all().count() == 0
    assert await courier_of(here).unsettled() == []


async def test_what_a_dead_process_has_heard_is_saved_by_the_next_at_once(
    here: Installation, token_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.asked = 0
    async with dying_before_the_save(here, monkeypatch):
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
    await vanish(here)

    async with started_again(here) as patchbay:
        await tick(patchbay)

        # Without asking again, and without waiting for the lease of the dead.
        assert token_endpoint.asked == 1
        row = await found(connection)
        assert (row.status, row.lease_holder, row.last_refreshed_at) == (ConnectionStatus.CONNECTED, None, here.clock.now)
        assert await told(connection) == []
        assert await models.TokenJournal.all().count() == 0
        here.clock.move(DUE)
        await tick(patchbay)
        assert token_endpoint.asked == 2
        assert (await found(connection)).status is ConnectionStatus.CONNECTED


async def test_what_comes_after_the_server_died_is_saved_by_the_next(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.asked = 0
    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await vanish(here)

    async with started_again(here) as patchbay:
        await courier_has_answered(patchbay)
        await tick(patchbay)

        assert token_endpoint.asked == 1
        assert (await found(connection)).last_refreshed_at == here.clock.now
        assert await told(connection) == []


async def courier_has_answered(patchbay: Patchbay) -> None:
    while not await patchbay.refresher._journal.kept(frozenset()):
        pass


async def test_an_answer_that_the_database_did_not_take_is_saved_once_it_does(
    here: Installation, token_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise OSError("the database is away")

    connection = await here.connect_by_consent()
    token_endpoint.asked = 0
    with monkeypatch.context() as patch:
        patch.setattr(here.patchbay.refresher._outcomes, "renewed", away)
        await here.tick(after=DUE)
        await here.tick(after=SOON)
    assert (await found(connection)).last_refreshed_at is None

    await here.tick(after=SOON)

    assert token_endpoint.asked == 1
    assert (await found(connection)).last_refreshed_at == here.clock.now
    assert await told(connection) == []


async def test_an_answer_that_was_saved_without_that_being_known_changes_nothing_more(
    here: Installation, token_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = here.patchbay.refresher._outcomes.renewed

    async def cut_in_commit(*given: object, **more: object) -> None:
        await real(*given, **more)  # type: ignore[arg-type]
        raise OSError("the connection broke")

    connection = await here.connect_by_consent()
    token_endpoint.asked = 0
    with monkeypatch.context() as patch:
        patch.setattr(here.patchbay.refresher._outcomes, "renewed", cut_in_commit)
        await here.tick(after=DUE)
    refreshed_at = (await found(connection)).last_refreshed_at

    await here.tick(after=SOON)

    assert token_endpoint.asked == 1
    assert (await found(connection)).last_refreshed_at == refreshed_at
    assert await courier_of(here).unsettled() == []
    await here.tick(after=DUE)
    assert (token_endpoint.asked, (await found(connection)).status) == (2, ConnectionStatus.CONNECTED)


async def test_what_was_under_way_when_everything_died_is_tried_once_more_when_it_is_certainly_over(
    here: Installation, token_endpoint: Endpoint
) -> None:
    connection = await here.connect_by_consent()
    # What the courier has heard before comes back with its journal, and must not stand in the way.
    await here.tick(after=DUE)
    token_endpoint.asked = 0
    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        os.kill(int((here.patchbay.settings.data_folder / "courier" / "pid").read_text()), signal.SIGKILL)
        await vanish(here)

    async with started_again(here) as patchbay:
        here.clock.move(OVER - SOON)
        await tick(patchbay)
        assert (token_endpoint.asked, (await found(connection)).status) == (1, ConnectionStatus.CONNECTED)
        here.clock.move(SOON)
        await tick(patchbay)

        # The sandbox is strict: it had used the token up. That is told at once, and why.
        assert token_endpoint.asked == 2
        assert await state_of(connection) == REASONS
        reason = (await found(connection)).reason
        assert reason is not None
        assert "interrupted" in reason.message
        assert await told(connection) == [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.ACTION_REQUIRED)]
        here.clock.move(DUE)
        await tick(patchbay)
        assert token_endpoint.asked == 2


async def test_what_never_arrived_when_everything_died_is_renewed(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    # As it is after a death between the intent and the request.
    credential = await models.Credential.get(connection_id=connection.id)
    here.clock.move(DUE)
    until = here.clock.now + timedelta(seconds=60)
    await models.Connection.filter(id=connection.id).update(lease_number=1, lease_holder="dead", lease_until=until, due_at=until)
    await models.TokenJournal.create(
        connection_id=connection.id,
        folder_id=connection.folder_id,
        fingerprint=credential.fingerprint,
        generation=credential.generation,
        lease_number=1,
        courier_id=courier_of(here).id,
        started_at=here.clock.now,
    )
    token_endpoint.asked = 0

    await here.tick(after=OVER)

    assert token_endpoint.asked == 1
    assert (await found(connection)).last_refreshed_at == here.clock.now
    assert await told(connection) == []


async def test_what_another_replica_has_begun_is_left_to_it_as_long_as_it_is_there(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    credential = await models.Credential.get(connection_id=connection.id)
    here.clock.move(DUE)
    await models.TokenJournal.create(
        connection_id=connection.id,
        folder_id=connection.folder_id,
        fingerprint=credential.fingerprint,
        generation=credential.generation,
        lease_number=1,
        courier_id="another",
        started_at=here.clock.now,
    )
    other = await models.Replica.create(
        id=uuid4().hex, started_at=here.clock.now, seen_at=here.clock.now, version="1", refreshes=True, courier_id="another"
    )
    token_endpoint.asked = 0

    await here.tick(after=OVER)
    assert token_endpoint.asked == 0
    with pytest.raises(Conflict):
        await here.patchbay.refresher.verify(connection.id, actor_id=here.ada.user_id)

    other.seen_at = here.clock.now
    await other.save()
    await here.tick(after=timedelta(seconds=60))
    assert token_endpoint.asked == 0

    # It is gone: nobody else will save what it may have heard.
    await here.tick(after=timedelta(seconds=121))
    assert token_endpoint.asked == 1
    assert (await found(connection)).last_refreshed_at == here.clock.now


async def test_without_its_courier_nothing_is_asked_and_nothing_is_said_to_be_broken(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.asked = 0
    await vanish(here)

    await here.tick(after=DUE)

    assert token_endpoint.asked == 0
    row = await found(connection)
    assert (row.status, row.due_at, row.lease_holder) == (ConnectionStatus.CONNECTED, here.clock.now + timedelta(seconds=5), None)
    assert await models.TokenJournal.all().count() == 0
