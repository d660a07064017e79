"""A provider that fails, wants fewer requests, or seems to, because the clock was set: the whole way, from what is due to its status."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

import models
from api.errors import ProviderFailure
from api.sandbox.provider import Answer
from api.sandbox.sandbox import Switch
from models import AuthorizationStatus, ConnectionEventType, ConnectionStatus, StatusReasonCode
from tests.connections.test_clock_watch import JUMPS, Time
from tests.connections.trouble import Endpoint
from tests.connections.watching import found, state_of, told
from tests.installation import Installation, installed

pytestmark = pytest.mark.anyio

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
# When every token of a minute is due, and has not ended.
DUE = 55 * SECOND
WORKS = (ConnectionStatus.CONNECTED, None)


async def test_a_provider_that_is_away_is_asked_by_few_and_all_say_so_once_their_tokens_end(
    here: Installation, token_endpoint: Endpoint
) -> None:
    connections = [await here.connect_by_consent() for _ in range(8)]
    await here.throw(Switch.ANSWER_503)
    token_endpoint.asked = 0

    await here.tick(after=DUE)
    # Those that were let in before the fifth failed.
    assert token_endpoint.asked <= 8
    assert [await told(connection) for connection in connections] == [[]] * 8
    for _ in range(20):
        await here.tick(after=3 * MINUTE)

    # Eight that ask for themselves, later and later, would ask nine times each.
    assert token_endpoint.asked < 40
    assert {(row.status, row.reason and row.reason.fixable_by) for row in await models.Connection.all()} == {
        (ConnectionStatus.DEGRADED, models.Fixer.NOBODY)
    }
    await here.throw(Switch.NORMAL)
    # The last is tried within half an hour.
    for _ in range(11):
        await here.tick(after=3 * MINUTE)

    assert [await told(connection) for connection in connections] == [
        [
            (ConnectionEventType.STATUS_CHANGED, ConnectionStatus.DEGRADED),
            (ConnectionEventType.STATUS_CHANGED, ConnectionStatus.CONNECTED),
        ]
    ] * 8
    assert await models.TokenJournal.all().count() == 0


async def test_a_person_is_told_that_the_provider_is_away_and_nothing_is_sent(here: Installation, token_endpoint: Endpoint) -> None:
    connections = [await here.connect_by_consent() for _ in range(6)]
    await here.throw(Switch.ANSWER_503)
    await here.tick(after=DUE)
    token_endpoint.asked = 0
    await models.Connection.all().update(expires_at=here.clock.now)

    with pytest.raises(ProviderFailure) as failure:
        await here.patchbay.connections.verify(here.ada, connections[0].id)

    assert token_endpoint.asked == 0
    assert failure.value.reason.code is StatusReasonCode.PROVIDER_ERROR
    assert await state_of(connections[0]) == (ConnectionStatus.DEGRADED, StatusReasonCode.PROVIDER_ERROR)
    assert len(await told(connections[0])) == 1


NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
# A header, and for how long nothing is sent: at least and at most.
RETRY_AFTER: dict[str, tuple[float, float]] = {
    "0": (1, 1),
    "-1": (1, 1),
    "-999999999999": (1, 1),
    "1": (1, 1),
    "7": (7, 7),
    " 30 ": (30, 30),
    "1.5": (1.5, 1.5),
    "3599": (3599, 3599),
    "3600": (3600, 3600),
    "3601": (3600, 3600),
    "1000000000": (3600, 3600),
    "9" * 200: (3600, 3600),
    format_datetime(NOW + 2 * MINUTE, usegmt=True): (120, 120),
    format_datetime(NOW - HOUR, usegmt=True): (1, 1),
    format_datetime(NOW + 9000 * HOUR, usegmt=True): (3600, 3600),
    "Monday, 05-Jan-26 12:02:00 GMT": (120, 120),
    # Nothing that can be read: a second for all, and ten at most for this connection.
    "": (1, 10),
    "soon": (1, 10),
    "1e9": (1, 10),
    "1, 2": (1, 10),
}


async def test_what_a_429_asks_for_is_done_between_a_second_and_an_hour(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    met = {}

    for header in RETRY_AFTER:
        here.clock.now = NOW
        await models.Connection.all().update(due_at=NOW, expires_at=NOW + 12 * HOUR, failures=0)
        token_endpoint.asked, token_endpoint.says = 0, Answer(429, {"error": "slow_down"}, [("retry-after", header)])
        here.patchbay.refresher._pacing._lanes.clear()
        await here.tick()
        row = await found(connection)
        assert row.due_at is not None
        lane = next(lane for lane in here.patchbay.refresher._pacing._lanes.values() if lane.held_until(NOW.timestamp()))
        paused = (lane.held_until(NOW.timestamp()) or 0) - NOW.timestamp()
        met[header] = (token_endpoint.asked, paused, (row.due_at - NOW).total_seconds(), await state_of(connection))

    assert len(met) == 20
    for header, (least, most) in RETRY_AFTER.items():
        asked, paused, wait, state = met[header]
        assert (asked, paused, state) == (1, least, WORKS), header
        # By chance up to ten seconds, as after any first failure, but not sooner than was asked for.
        assert least <= wait <= max(most, 10), (header, wait)
    assert await told(connection) == []


# A clock that is set


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
async def test_a_clock_that_is_set_and_set_right_again_ends_nothing(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, jump: timedelta
) -> None:
    time = Time()
    async with installed(sqlite_url, tmp_path, time.clock, steady=time.steady, PATCHBAY_AUDIT_DAYS="30") as here:
        connections = [await here.connect_by_consent() for _ in range(3)]
        ending = await here.connect_with_token()
        await models.Connection.filter(id=ending.id).update(expires_at=time.clock.now + HOUR)
        pending = await here.begin()
        entries = await models.AuditEntry.all().count()
        await here.tick()

        time.clock.move(jump)
        for _ in range(3):
            time.move(61)
            await here.tick()
        time.clock.move(-jump)
        time.move(5)
        # Once what came due by the wrong clock has come to be looked at; and with it what was saved by that clock.
        for _ in range(40):
            await here.tick()
            time.move(5)

        assert [record.__dict__["seconds"] for record in caplog.records if record.message == "clock jumped"] == [
            jump.total_seconds(),
            -jump.total_seconds(),
        ]
        assert {row.status for row in await models.Connection.all()} == {ConnectionStatus.CONNECTED}
        assert await models.ConnectionEvent.filter(type=ConnectionEventType.STATUS_CHANGED).count() == 0
        assert await models.AuditEntry.all().count() >= entries
        assert (await models.Authorization.get(id=pending.id)).status is AuthorizationStatus.PENDING
        for connection in connections:
            row = await found(connection)
            assert row.due_at is not None and row.expires_at is not None
            assert time.clock.now - MINUTE < row.due_at < row.expires_at <= time.clock.now + MINUTE
