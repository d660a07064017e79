"""Faults of an OAuth app, and secrets that change while connections live."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

import models
from api.connections.app_check import Verdict
from api.connections.app_upkeep import AppChanges, NewSecret
from api.errors import ProviderFailure
from api.sandbox.provider import Answer
from api.sandbox.records import Mode
from api.sandbox.sandbox import ClientSwitch, Switch
from api.secret import Secret
from models import ConnectionEventType, ConnectionStatus, Fixer, StatusReasonCode
from tests.connections.trouble import Endpoint, another_server, refuses, tick
from tests.connections.watching import found, state_of, told
from tests.installation import Installation

pytestmark = pytest.mark.anyio

# When every token of a minute is due, and has not ended.
DUE = timedelta(seconds=55)
MINUTE = timedelta(minutes=1)
BLOCKED = (ConnectionStatus.CONNECTED, StatusReasonCode.INVALID_CLIENT)
STOPPED = (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.INVALID_CLIENT)
WORKS = (ConnectionStatus.CONNECTED, None)


async def the_app() -> models.OAuthApp:
    return await models.OAuthApp.get(connector_key="sandbox")


async def entries(action: str) -> int:
    return await models.AuditEntry.filter(action=action, actor_id=None).count()


async def on_previous_secret(here: Installation) -> int:
    app = await the_app()
    return (await here.patchbay.oauth_apps.previous_secret_counts([app.id]))[app.id]


async def rotate(here: Installation, secret: Secret | None = None, *, retires_previous: bool = False) -> Verdict:
    """Give the app its newest secret, or another one."""
    new = NewSecret((await the_app()).id, secret or here.sandbox.client_secret, retires_previous=retires_previous)
    return (await here.patchbay.app_upkeep.rotate(here.ada, new)).accepted


def refreshes(here: Installation) -> list[int]:
    return [grant.refreshes for grant in here.sandbox.overview().grants]


# A new secret


async def test_a_rotation_reaches_every_connection_and_asks_nobody_to_consent(here: Installation) -> None:
    connections = [await here.connect_by_consent() for _ in range(3)]
    here.clock.move(timedelta(seconds=1))
    here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)

    accepted = await rotate(here)
    waiting = await on_previous_secret(here)
    await here.tick(after=DUE)
    renewed = await on_previous_secret(here)
    here.sandbox.throw_for_client(ClientSwitch.RETIRE_SECRETS)
    await here.patchbay.app_upkeep.retire_previous_secret(here.ada, (await the_app()).id)
    await here.tick(after=DUE)

    assert (accepted, waiting, renewed) == (Verdict.YES, 3, 0)
    assert refreshes(here) == [2, 2, 2]
    assert [await told(connection) for connection in connections] == [[], [], []]
    assert (await the_app()).incident is None


async def test_the_secret_before_is_tried_while_the_provider_does_not_take_the_new_one(
    here: Installation, token_endpoint: Endpoint
) -> None:
    connection = await here.connect_by_consent()
    here.clock.move(timedelta(seconds=1))
    token_endpoint.says = Answer(503)
    accepted = await rotate(here, Secret("not active yet"))
    token_endpoint.says, token_endpoint.asked = None, 0

    await here.tick(after=DUE)

    # The new one is tried first; what it was refused for has used nothing up.
    assert (accepted, token_endpoint.asked) == (Verdict.UNKNOWN, 2)
    assert await state_of(connection) == WORKS
    assert await told(connection) == []
    assert await on_previous_secret(here) == 1
    assert (await the_app()).incident is None


async def test_a_consent_under_way_ends_well_with_the_secret_before(here: Installation, token_endpoint: Endpoint) -> None:
    authorization = await here.begin()
    token_endpoint.says = Answer(503)
    await rotate(here, Secret("not active yet"))
    token_endpoint.says = None

    done = await here.come_back(authorization)

    assert done.connection_id is not None
    connection = await models.Connection.get(id=done.connection_id)
    assert (connection.status, connection.app_secret_at) == (ConnectionStatus.CONNECTED, None)


async def test_a_dead_grant_is_seen_by_the_secret_before(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.says = Answer(503)
    await rotate(here, Secret("not active yet"))
    token_endpoint.says = None
    await here.throw(Switch.REVOKE)

    await here.tick(after=DUE)

    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.REAUTHENTICATION_REQUIRED)
    assert (await the_app()).incident is None


async def test_a_token_that_is_on_its_way_during_a_rotation_is_saved(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)

    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await rotate(here, retires_previous=True)
        here.sandbox.throw_for_client(ClientSwitch.RETIRE_SECRETS)
    await here.patchbay.refresher.settled()
    await here.tick(after=DUE)

    assert refreshes(here) == [2]
    assert await told(connection) == []


async def test_a_refusal_that_is_on_its_way_during_a_rotation_blames_nobody(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)
    here.sandbox.throw_for_client(ClientSwitch.RETIRE_SECRETS)

    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await rotate(here, retires_previous=True)
    await here.patchbay.refresher.settled()

    assert refreshes(here) == [1]
    assert await told(connection) == []
    assert await entries("oauth_app.incident") == 0


async def test_rotations_and_refreshes_at_once_lose_nothing(here: Installation) -> None:
    connections = [await here.connect_by_consent() for _ in range(3)]

    async with another_server(here) as other:
        for _ in range(4):
            here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)
            here.clock.move(DUE)
            await asyncio.gather(tick(here.patchbay), rotate(here), tick(other), rotate(here))

    assert {row.status for row in await models.Connection.all()} == {ConnectionStatus.CONNECTED}
    assert [await told(connection) for connection in connections] == [[], [], []]
    assert [grant.mode for grant in here.sandbox.overview().grants] == [Mode.NORMAL] * 3
    app = await the_app()
    assert here.patchbay.oauth_apps.secret_of(app) == here.sandbox.client_secret
    assert app.incident is None


# An incident


async def test_a_fault_of_the_app_is_one_incident_and_its_connections_keep_their_health(
    here: Installation, token_endpoint: Endpoint
) -> None:
    connections = [await here.connect_by_consent() for _ in range(12)]
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)
    token_endpoint.asked = 0

    await here.tick(after=DUE)

    app, blocked = await the_app(), await found(connections[0])
    assert app.incident is not None
    assert (app.incident.code, app.incident.fixable_by, app.incident_since) == (
        StatusReasonCode.INVALID_CLIENT,
        Fixer.APP_OWNER,
        here.clock.now,
    )
    assert blocked.reason == app.incident
    assert [await state_of(connection) for connection in connections] == [BLOCKED] * 12
    assert [await told(connection) for connection in connections] == [
        [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.CONNECTED)]
    ] * 12
    # Those that were under way already, four at a time however many there are, and one question about the app itself.
    assert token_endpoint.asked <= 5
    assert await entries("oauth_app.incident") == 1
    assert await models.TokenJournal.all().count() == 0


async def test_a_connection_that_is_not_due_yet_says_at_once_that_its_app_blocks_it(here: Installation) -> None:
    due, later = await here.connect_by_consent(), await here.connect_by_consent()
    await models.Connection.filter(id=later.id).update(
        due_at=here.clock.now + timedelta(hours=1), expires_at=here.clock.now + timedelta(hours=2)
    )
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)

    await here.tick(after=DUE)

    assert [await state_of(connection) for connection in (due, later)] == [BLOCKED, BLOCKED]


async def test_an_incident_shows_as_a_status_once_the_token_has_ended_and_is_told_once(here: Installation) -> None:
    connection = await here.connect_by_consent()
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)

    await here.tick(after=DUE)
    await here.tick(after=timedelta(seconds=5))
    for _ in range(5):
        await here.tick(after=timedelta(minutes=30))

    assert await state_of(connection) == STOPPED
    assert [status for _, status in await told(connection)] == [ConnectionStatus.CONNECTED, ConnectionStatus.ACTION_REQUIRED]
    assert await entries("oauth_app.incident") == 1


async def test_of_many_that_wait_one_at_a_time_asks_later_and_later(here: Installation, token_endpoint: Endpoint) -> None:
    for _ in range(6):
        await here.connect_by_consent()
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)
    await here.tick(after=DUE)
    asked = []

    async with another_server(here) as other:
        for _ in range(128):
            token_endpoint.asked = 0
            here.clock.move(MINUTE)
            await asyncio.gather(tick(here.patchbay), tick(other))
            asked.append(token_endpoint.asked)

    # After 1, 2, 4, 8, 16, 32, 64 and, since it is never longer than an hour, 124 minutes.
    assert [minute for minute, count in enumerate(asked, start=1) if count] == [1, 2, 4, 8, 16, 32, 64, 124]
    assert max(asked) == 1


async def test_all_go_on_after_the_provider_is_mended(here: Installation) -> None:
    connections = [await here.connect_by_consent() for _ in range(4)]
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)
    await here.tick(after=DUE)
    await here.tick(after=MINUTE)
    here.sandbox.throw_for_client(ClientSwitch.ENABLE)

    await here.tick(after=MINUTE)
    await here.tick(after=timedelta(seconds=1))

    assert [await state_of(connection) for connection in connections] == [WORKS] * 4
    assert refreshes(here) == [1] * 4
    assert (await the_app()).incident is None
    assert (await entries("oauth_app.incident"), await entries("oauth_app.incident_over")) == (1, 1)


async def test_all_go_on_after_one_new_secret(here: Installation) -> None:
    connections = [await here.connect_by_consent() for _ in range(4)]
    here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)
    here.sandbox.throw_for_client(ClientSwitch.RETIRE_SECRETS)
    await here.tick(after=DUE)
    await here.tick(after=MINUTE)
    stopped = [await state_of(connection) for connection in connections]

    await rotate(here)
    await here.tick(after=timedelta(seconds=1))

    assert stopped == [STOPPED] * 4
    assert [await state_of(connection) for connection in connections] == [WORKS] * 4
    assert refreshes(here) == [1] * 4
    assert [[status for _, status in await told(connection)] for connection in connections] == [
        [ConnectionStatus.CONNECTED, ConnectionStatus.ACTION_REQUIRED, ConnectionStatus.CONNECTED]
    ] * 4


async def test_a_check_that_finds_the_app_taken_ends_its_incident(here: Installation) -> None:
    connection = await here.connect_by_consent()
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)
    await here.tick(after=DUE)
    app = await the_app()

    await here.patchbay.app_upkeep.check(here.ada, app.id)
    lasting = (await the_app()).incident
    here.sandbox.throw_for_client(ClientSwitch.ENABLE)
    await here.patchbay.app_upkeep.check(here.ada, app.id)
    await here.tick(after=timedelta(seconds=1))

    assert lasting == app.incident
    assert (await the_app()).incident is None
    assert await state_of(connection) == WORKS


async def test_a_person_who_asks_is_let_through_and_a_script_is_not(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)
    await here.tick(after=DUE)
    here.clock.move(timedelta(seconds=5))
    verify, token_endpoint.asked = here.patchbay.connections.verify, 0

    for _ in range(5):
        with pytest.raises(ProviderFailure) as failure:
            await verify(here.ada, connection.id)
        assert failure.value.reason == (await the_app()).incident
    asked = token_endpoint.asked
    here.sandbox.throw_for_client(ClientSwitch.ENABLE)
    here.clock.move(timedelta(seconds=5))
    await verify(here.ada, connection.id)

    assert asked == 1
    assert await state_of(connection) == WORKS
    assert (await the_app()).incident is None


async def test_a_proof_of_the_token_says_nothing_of_the_app(here: Installation) -> None:
    connection = await here.connect_by_consent()
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)
    await here.tick(after=timedelta(seconds=48))

    await here.patchbay.connections.verify(here.ada, connection.id)

    assert await state_of(connection) == BLOCKED
    assert (await found(connection)).last_verified_at == here.clock.now


async def test_what_a_person_must_do_about_the_connection_is_not_hidden_by_its_app(here: Installation) -> None:
    dead, off, alive = [await here.connect_by_consent() for _ in range(3)]
    here.sandbox.throw(Switch.REVOKE, id=here.sandbox.overview().grants[-1].id)
    await models.Connection.filter(id=dead.id).update(due_at=here.clock.now)
    await here.patchbay.connections.disable(here.ada, off.id)
    await here.tick()
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)

    await here.tick(after=DUE)

    assert await state_of(alive) == BLOCKED
    assert await state_of(dead) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.REAUTHENTICATION_REQUIRED)
    assert await state_of(off) == (ConnectionStatus.DISABLED, StatusReasonCode.DISABLED_BY_USER)


async def test_what_the_provider_takes_from_others_is_no_fault_of_the_app(here: Installation, token_endpoint: Endpoint) -> None:
    connection, other = await here.connect_by_consent(), await here.connect_by_consent()
    await models.Connection.filter(id=other.id).update(due_at=here.clock.now + timedelta(hours=1))
    token_endpoint.edits = lambda answer: refuses("invalid_client", status=401) if answer.status == 200 else answer

    await here.tick(after=DUE)

    assert (await the_app()).incident is None
    assert (await state_of(connection), await state_of(other)) == (BLOCKED, WORKS)
    assert await entries("oauth_app.incident") == 0


async def test_a_secret_that_was_known_to_end_is_named_as_the_reason(here: Installation) -> None:
    connection = await here.connect_by_consent()
    app = await the_app()
    ends_at = here.clock.now + timedelta(seconds=50)
    await here.patchbay.app_upkeep.update(here.ada, AppChanges(app.id, changes_expiry=True, secret_expires_at=ends_at))
    here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)
    here.sandbox.throw_for_client(ClientSwitch.RETIRE_SECRETS)

    await here.tick(after=DUE)

    reason = (await found(connection)).reason
    assert reason is not None
    assert reason.message == "Sandbox does not accept the OAuth app: its client secret ended on 2026-01-05."


async def test_two_servers_that_meet_the_same_fault_tell_of_one(here: Installation) -> None:
    for _ in range(4):
        await here.connect_by_consent()
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)

    async with another_server(here) as other:
        here.clock.move(DUE)
        await asyncio.gather(*(tick(server) for server in (here.patchbay, other) * 2))

    assert await entries("oauth_app.incident") == 1
    assert await models.ConnectionEvent.filter(type=ConnectionEventType.STATUS_CHANGED).count() == 4


async def test_a_connection_that_is_deleted_while_its_app_fails_is_gone(here: Installation) -> None:
    connections = [await here.connect_by_consent() for _ in range(4)]
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)
    delete = here.patchbay.connections.delete

    await asyncio.gather(here.tick(after=DUE), *(delete(here.ada, connection.id) for connection in connections[:2]))

    assert await models.Connection.all().count() == 2
    assert await entries("oauth_app.incident") == 1


async def test_more_connections_than_one_transaction_changes_are_all_told_and_all_go_on(here: Installation) -> None:
    app, first = await the_app(), await here.connect_by_consent()
    (columns,) = await models.Connection.filter(id=first.id).values()
    own = ("id", "name", "name_key", "is_default")
    columns = {name: value for name, value in columns.items() if name not in own}
    names = [f"Copy {number}" for number in range(450)]
    await models.Connection.bulk_create([models.Connection(**columns, id=uuid4(), name=name, name_key=name.lower()) for name in names])
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)
    here.clock.move(DUE)
    await models.Connection.exclude(id=first.id).update(
        due_at=here.clock.now + timedelta(hours=1), expires_at=here.clock.now + timedelta(hours=2)
    )

    await here.tick()
    blocked = await models.Connection.filter(oauth_app_id=app.id)
    here.sandbox.throw_for_client(ClientSwitch.ENABLE)
    await here.patchbay.app_upkeep.check(here.ada, app.id)
    ready = await models.Connection.filter(oauth_app_id=app.id)

    assert {row.reason and row.reason.code for row in blocked} == {StatusReasonCode.INVALID_CLIENT}
    assert await models.ConnectionEvent.filter(type=ConnectionEventType.STATUS_CHANGED).count() == 451
    # A tenth of a second for each, so that they do not come all at once.
    soon = {row.due_at for row in ready if row.due_at is not None}
    assert len(soon) > 400
    assert max(soon) <= here.clock.now + timedelta(seconds=46)


# Consents


async def test_a_consent_that_meets_a_wrong_secret_begins_the_incident_and_one_that_succeeds_ends_it(here: Installation) -> None:
    blocked = await here.connect_by_consent()
    await models.Connection.filter(id=blocked.id).update(
        due_at=here.clock.now + timedelta(minutes=50), expires_at=here.clock.now + timedelta(hours=1)
    )
    first, second = await here.begin(), await here.begin()
    here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)
    departure = await here.patchbay.connecting.depart(here.ada, first.id)
    parameters, cookies = await here.decide(departure.url), {departure.cookie_name: departure.cookie_value}
    here.sandbox.throw_for_client(ClientSwitch.RETIRE_SECRETS)
    failed = await here.patchbay.connecting.complete(here.ada, "sandbox", parameters, cookies)
    incident, state = (await the_app()).incident, await state_of(blocked)

    await rotate(here)
    succeeded = await here.come_back(second)

    assert (failed.reason, state) == (incident, BLOCKED)
    assert incident is not None
    assert succeeded.connection_id is not None
    assert (await the_app()).incident is None


async def test_an_error_that_a_browser_brings_stops_nobody_elses_connections(here: Installation) -> None:
    connection, authorization = await here.connect_by_consent(), await here.begin()
    departure = await here.patchbay.connecting.depart(here.ada, authorization.id)
    state = departure.url.partition("state=")[2].partition("&")[0]
    cookies, forged = (
        {departure.cookie_name: departure.cookie_value},
        [("error", "invalid_client"), ("state", state), ("iss", here.sandbox.issuer)],
    )
    here.sandbox.throw_for_client(ClientSwitch.DISABLE)

    failed = await here.patchbay.connecting.complete(here.ada, "sandbox", forged, cookies)

    assert failed.reason is not None and failed.reason.code is StatusReasonCode.INVALID_CLIENT
    assert (await the_app()).incident is None
    assert await state_of(connection) == WORKS


# Another client


async def test_an_app_with_another_client_id_sends_nothing_until_it_has_its_secret(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    app = await the_app()
    token_endpoint.asked = 0

    await here.patchbay.app_upkeep.update(here.ada, AppChanges(app.id, client_id="another"))
    await here.tick(after=DUE)

    assert token_endpoint.asked == 0
    assert await state_of(connection) == BLOCKED
    now = await the_app()
    assert (now.client_id, now.client_secret, now.previous_secret, now.secret_set_at) == ("another", None, None, None)
    assert now.incident is not None and now.incident.remedy == "Give the app its new client secret."
