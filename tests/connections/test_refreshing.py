"""Connections that are renewed, and everything that comes in between."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

import api.connections.refresher
import models
from api.connections.requests import OwnApp, ReconnectRequest
from api.connections.secrets import Secrets, credential_place
from api.errors import InvalidInput, ProviderFailure
from api.sandbox.provider import Answer
from api.sandbox.records import Mode
from api.sandbox.sandbox import Switch
from models import (
    AuthenticationType,
    ConnectionEventType,
    ConnectionStatus,
    Fixer,
    Sealed,
    StatusReason,
    StatusReasonCode,
)
from models.leases import Lease
from tests.connections.trouble import NEVER_SEALED, Endpoint, another_server, dying_before_the_save, kill, refuses, tick
from tests.connections.watching import found, state_of, told
from tests.installation import Installation

pytestmark = pytest.mark.anyio

# When every token of a minute is due, and has not ended.
DUE = timedelta(seconds=55)
LEASE = timedelta(seconds=60)


async def secrets_of(here: Installation, connection: models.Connection) -> Secrets:
    credential = await models.Credential.get(connection_id=connection.id)
    return Secrets.open(here.patchbay.vault, credential.secrets, credential_place(credential.id, connection.folder_id))


async def reconnect(here: Installation, connection: models.Connection, **choices: str) -> models.Authorization:
    authorization = await here.patchbay.connecting.reconnect(here.ada, ReconnectRequest(connection.id))
    assert isinstance(authorization, models.Authorization)
    return await here.come_back(authorization, **choices)


def grants(here: Installation) -> list[tuple[Mode, int]]:
    """The consents that the provider knows of, the newest first, and how often each was renewed."""
    return [(grant.mode, grant.refreshes) for grant in here.sandbox.overview().grants]


# As it should be


async def test_a_token_is_renewed_after_half_of_its_life_and_before_four_fifths(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    begun, token_endpoint.asked = here.clock.now, 0

    await here.tick(after=timedelta(seconds=29))
    assert token_endpoint.asked == 0
    await here.tick(after=timedelta(seconds=19))

    renewed = await found(connection)
    assert token_endpoint.asked == 1
    assert (renewed.status, renewed.expires_at) == (ConnectionStatus.CONNECTED, begun + timedelta(seconds=108))
    assert renewed.due_at is not None
    assert begun + timedelta(seconds=78) <= renewed.due_at <= begun + timedelta(seconds=96)
    assert await told(connection) == []


async def test_each_renewal_spends_the_token_of_the_one_before(here: Installation) -> None:
    connection = await here.connect_by_consent()
    seen = [await secrets_of(here, connection)]

    for _ in range(4):
        await here.tick(after=DUE)
        seen.append(await secrets_of(here, connection))

    assert len({secrets.access_token for secrets in seen}) == len({secrets.refresh_token for secrets in seen}) == 5
    assert grants(here) == [(Mode.NORMAL, 4)]
    assert await models.TokenJournal.all().count() == 0


async def test_a_provider_that_gives_no_new_refresh_token_keeps_the_one_before(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    before = await secrets_of(here, connection)
    token_endpoint.edits = without_refresh_token

    await here.tick(after=DUE)

    after = await secrets_of(here, connection)
    assert after.refresh_token == before.refresh_token
    assert after.access_token != before.access_token


async def test_a_token_that_cannot_be_renewed_is_over_at_its_end(here: Installation, token_endpoint: Endpoint) -> None:
    token_endpoint.edits = without_refresh_token
    connection = await here.connect_by_consent()
    assert (connection.renewable, connection.due_at) == (False, connection.expires_at)

    await here.tick(after=DUE)
    assert await told(connection) == []
    await here.tick(after=timedelta(seconds=5))

    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.NO_REFRESH_TOKEN)
    assert (await found(connection)).due_at is None
    assert await told(connection) == [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.ACTION_REQUIRED)]


def without_refresh_token(answer: Answer) -> Answer:
    assert isinstance(answer.body, dict)
    return Answer(answer.status, {name: value for name, value in answer.body.items() if name != "refresh_token"}, answer.headers)


# The grant is dead


async def test_a_dead_grant_is_asked_for_once_and_told_once(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.REVOKE)
    token_endpoint.asked = 0

    for _ in range(5):
        await here.tick(after=DUE)

    assert token_endpoint.asked == 1
    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.REAUTHENTICATION_REQUIRED)
    assert (await found(connection)).due_at is None
    event = await models.ConnectionEvent.get(type=ConnectionEventType.STATUS_CHANGED)
    assert (event.previous_status, event.status, event.actor_id) == (ConnectionStatus.CONNECTED, ConnectionStatus.ACTION_REQUIRED, None)
    assert event.reason == StatusReason(
        StatusReasonCode.REAUTHENTICATION_REQUIRED,
        "Sandbox no longer accepts this connection: the consent was withdrawn, has ended, or was replaced.",
        "Reconnect, and sign in again.",
        Fixer.CONNECTION_OWNER,
        "invalid_grant",
    )
    assert await models.TokenJournal.all().count() == 0


async def test_a_consent_that_dies_again_soon_after_a_new_one_expires_frequently(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.REVOKE)
    await here.tick(after=DUE)
    here.clock.move(timedelta(days=1))
    await reconnect(here, connection)
    here.sandbox.set_lifetime(timedelta(days=4))
    await here.tick(after=DUE)
    await here.throw(Switch.REVOKE)

    await here.tick(after=timedelta(days=4))

    reason = (await found(connection)).reason
    assert reason == StatusReason(
        StatusReasonCode.EXPIRES_FREQUENTLY,
        "Sandbox ended this connection again, 4 days after the last consent.",
        "Ask the owner of the OAuth app to look at it: apps in testing, and short limits on refresh tokens or sessions set at Sandbox, "
        "end consents early. Then reconnect.",
        Fixer.APP_OWNER,
        "invalid_grant",
    )


async def test_a_consent_that_lasted_for_long_does_not_expire_frequently(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.REVOKE)
    await here.tick(after=DUE)
    await reconnect(here, connection)
    here.sandbox.set_lifetime(timedelta(hours=24))
    await here.tick(after=DUE)
    await here.throw(Switch.REVOKE)

    await here.tick(after=timedelta(days=9))

    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.REAUTHENTICATION_REQUIRED)
    assert (await found(connection)).due_at is None


async def test_a_consent_that_died_once_does_not_expire_frequently_by_being_tried_again(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.REVOKE)
    await here.tick(after=DUE)
    await here.patchbay.connections.disable(here.ada, connection.id)

    await here.patchbay.connections.enable(here.ada, connection.id)

    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.REAUTHENTICATION_REQUIRED)
    assert (await found(connection)).due_at is None


# The provider has trouble


async def test_a_providers_trouble_shows_nothing_while_the_token_lasts_and_goes_by_itself(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.ANSWER_503)

    await here.tick(after=timedelta(seconds=50))
    assert await told(connection) == []
    assert (await found(connection)).failures == 1
    # Later and later, but no later than the end of the token, for then the status has to tell.
    await here.tick(after=timedelta(seconds=10))
    assert (await found(connection)).reason == StatusReason(
        StatusReasonCode.PROVIDER_ERROR,
        "Sandbox answered with an error of its own.",
        "Nothing to do: Patchbay goes on trying.",
        Fixer.NOBODY,
        "temporarily_unavailable",
    )
    for _ in range(5):
        await here.tick(after=timedelta(minutes=30))
    await here.throw(Switch.NORMAL)
    await here.tick(after=timedelta(minutes=30))

    row = await found(connection)
    assert (row.status, row.reason, row.failures) == (ConnectionStatus.CONNECTED, None, 0)
    assert await told(connection) == [
        (ConnectionEventType.STATUS_CHANGED, ConnectionStatus.DEGRADED),
        (ConnectionEventType.STATUS_CHANGED, ConnectionStatus.CONNECTED),
    ]
    assert grants(here) == [(Mode.NORMAL, 1)]


async def test_an_outage_of_hours_is_asked_about_later_and_later(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.ANSWER_503)
    token_endpoint.asked = 0

    for _ in range(48):
        await here.tick(after=timedelta(minutes=5))

    # Every quarter of an hour, on average.
    assert 8 < token_endpoint.asked < 32
    assert (await found(connection)).failures == token_endpoint.asked
    assert await told(connection) == [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.DEGRADED)]


async def test_a_host_that_asks_for_fewer_requests_gets_none_until_it_said(here: Installation, token_endpoint: Endpoint) -> None:
    limited = await here.connect_by_consent()
    other = await here.come_back(await here.begin(), account="sam")
    await models.Connection.filter(id=other.connection_id).update(due_at=here.clock.now + timedelta(seconds=41))
    await models.Connection.filter(id=limited.id).update(due_at=here.clock.now + timedelta(seconds=40))
    await here.throw(Switch.ANSWER_429)
    token_endpoint.asked = 0

    await here.tick(after=timedelta(seconds=40))
    for _ in range(9):
        await here.tick(after=timedelta(seconds=1))
    assert token_endpoint.asked == 1
    await here.throw(Switch.NORMAL)
    await here.tick(after=timedelta(seconds=5))

    # The sandbox asked for ten seconds, and neither connection shows anything of it.
    assert token_endpoint.asked == 3
    assert {row.status for row in await models.Connection.all()} == {ConnectionStatus.CONNECTED}
    assert await told(limited) == []
    assert [refreshes for _, refreshes in grants(here)] == [1, 1]


async def test_a_pause_that_outlasts_the_token_shows_and_sends_nothing(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.asked = 0
    token_endpoint.says = Answer(429, {"error": "slow_down"}, [("retry-after", "600")])

    await here.tick(after=DUE)
    await here.tick(after=timedelta(seconds=5))

    assert token_endpoint.asked == 1
    assert await state_of(connection) == (ConnectionStatus.DEGRADED, StatusReasonCode.RATE_LIMITED)
    assert (await found(connection)).due_at == here.clock.now + timedelta(seconds=595)
    # No answer, no question: nothing says that the token may be used up.
    assert await models.TokenJournal.all().count() == 0


# What somebody must mend


async def test_a_wrong_client_secret_shows_at_once_and_stops_the_connection_at_the_end_of_its_token(
    here: Installation, token_endpoint: Endpoint
) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.says = refuses("invalid_client", status=401)

    await here.tick(after=timedelta(seconds=50))
    early = await found(connection)
    await here.tick(after=timedelta(seconds=10))
    late = await found(connection)
    token_endpoint.says = None
    await here.patchbay.connections.verify(here.ada, connection.id)

    assert early.reason == StatusReason(
        StatusReasonCode.INVALID_CLIENT,
        "Sandbox does not accept the OAuth app: its client id or client secret is wrong, or the app was deleted or disabled.",
        "Compare the client id with the one at Sandbox, and give the app a new client secret.",
        Fixer.APP_OWNER,
        "invalid_client",
    )
    assert (early.status, late.status, late.reason) == (ConnectionStatus.CONNECTED, ConnectionStatus.ACTION_REQUIRED, early.reason)
    # It looks again by itself, in case the app is mended at the provider.
    assert late.due_at is not None
    assert [status for _, status in await told(connection)] == ["CONNECTED", "ACTION_REQUIRED", "CONNECTED"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(
            refuses("redirect_uri_mismatch"),
            (StatusReasonCode.REDIRECT_URI_MISMATCH, Fixer.APP_OWNER, "The OAuth app at Sandbox does not have Patchbay's callback URL."),
            id="redirect mismatch",
        ),
        pytest.param(
            refuses("invalid_scope"),
            (StatusReasonCode.INSUFFICIENT_SCOPES, Fixer.CONNECTION_OWNER, "Sandbox refused the scopes asked for."),
            id="insufficient scopes",
        ),
        pytest.param(
            refuses("access_denied", status=403),
            (StatusReasonCode.ACCESS_DENIED, Fixer.CONNECTION_OWNER, "The consent at Sandbox was refused."),
            id="access denied",
        ),
    ],
)
async def test_what_a_person_must_mend_is_told_at_once_and_asked_once(
    here: Installation, token_endpoint: Endpoint, answer: Answer, reason: tuple[StatusReasonCode, Fixer, str]
) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.says, token_endpoint.asked = answer, 0

    await here.tick(after=DUE)
    await here.tick(after=timedelta(hours=1))

    row = await found(connection)
    assert row.reason is not None and row.reason.remedy
    assert (row.reason.code, row.reason.fixable_by, row.reason.message) == reason
    assert (row.status, row.due_at, token_endpoint.asked) == (ConnectionStatus.ACTION_REQUIRED, None, 1)
    assert await told(connection) == [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.ACTION_REQUIRED)]


# One at a time, and the newest counts


async def test_a_late_answer_never_overwrites_a_reconnected_credential(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()

    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await reconnect(here, connection)
        newer = await secrets_of(here, connection)
    await here.patchbay.refresher.settled()

    assert await secrets_of(here, connection) == newer
    assert await told(connection) == [(ConnectionEventType.RECONNECTED, ConnectionStatus.CONNECTED)]
    assert await models.TokenJournal.all().count() == 0
    await here.tick(after=DUE)
    assert grants(here) == [(Mode.NORMAL, 1), (Mode.NORMAL, 1)]


async def test_a_late_refusal_says_nothing_of_a_reconnected_credential(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.REVOKE)

    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await reconnect(here, connection)
        before = await found(connection)
    await here.patchbay.refresher.settled()

    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    assert (await found(connection)).due_at == before.due_at
    assert await told(connection) == [(ConnectionEventType.RECONNECTED, ConnectionStatus.CONNECTED)]


async def test_a_reconnect_and_a_refresh_at_once_both_come_to_an_end(here: Installation) -> None:
    connection = await here.connect_by_consent()

    for _ in range(4):
        await asyncio.gather(here.tick(after=DUE), reconnect(here, connection))

    assert (await found(connection)).status is ConnectionStatus.CONNECTED
    assert await told(connection) == [(ConnectionEventType.RECONNECTED, ConnectionStatus.CONNECTED)] * 4
    assert await models.TokenJournal.all().count() == 0
    await here.tick(after=DUE)
    assert grants(here)[0] == (Mode.NORMAL, 1)


async def test_two_servers_that_find_the_same_due_ask_once(here: Installation, token_endpoint: Endpoint) -> None:
    connections = [await here.connect_by_consent() for _ in range(3)]
    token_endpoint.asked = 0

    async with another_server(here) as other:
        here.clock.move(DUE)
        await asyncio.gather(*(tick(server) for server in (here.patchbay, other) * 2))

    assert token_endpoint.asked == 3
    assert grants(here) == [(Mode.NORMAL, 1)] * 3
    assert [await told(connection) for connection in connections] == [[], [], []]


async def test_one_refresh_runs_at_a_time_whoever_asks(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    verify = here.patchbay.connections.verify
    token_endpoint.asked = 0

    async with another_server(here) as other:
        here.clock.move(DUE)
        await asyncio.gather(
            verify(here.ada, connection.id),
            tick(here.patchbay),
            other.connections.verify(here.ada, connection.id),
            tick(other),
            verify(here.ada, connection.id),
        )

    assert token_endpoint.asked == 1
    assert grants(here) == [(Mode.NORMAL, 1)]
    row = await found(connection)
    assert (row.status, row.lease_holder, row.last_verified_at) == (ConnectionStatus.CONNECTED, None, here.clock.now)


async def test_an_answer_that_comes_after_its_lease_is_saved(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()

    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        here.clock.move(LEASE)
    await here.patchbay.refresher.settled()

    assert (await found(connection)).last_refreshed_at == here.clock.now
    await here.tick(after=DUE)
    assert grants(here) == [(Mode.NORMAL, 2)]


async def test_an_answer_that_comes_after_another_has_tried_is_saved(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()

    async with another_server(here) as other:
        with token_endpoint.holding() as answer:
            here.clock.move(DUE)
            await here.patchbay.refresh_loop.tick()
            await answer.reached()
            here.clock.move(LEASE)
            token_endpoint.says = Answer(503, {"error": "server_error"})
            await tick(other)
            assert (await found(connection)).status is ConnectionStatus.DEGRADED
            token_endpoint.says = None
        await here.patchbay.refresher.settled()

    assert (await found(connection)).status is ConnectionStatus.CONNECTED
    await here.tick(after=DUE)
    assert grants(here) == [(Mode.NORMAL, 2)]


# A process dies


async def test_an_answer_that_a_dead_process_did_not_save_is_recovered(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await here.connect_by_consent()
    before = await secrets_of(here, connection)
    here.clock.move(DUE)
    async with dying_before_the_save(here, monkeypatch):
        await here.patchbay.refresh_loop.tick()
    assert await secrets_of(here, connection) == before

    early = await here.patchbay.refresher.recover()
    here.clock.move(LEASE)
    recovered = await here.patchbay.refresher.recover()

    # Until then the one who asked may be alive.
    assert (early, recovered) == (0, 1)
    assert await secrets_of(here, connection) != before
    assert await models.TokenJournal.all().count() == 0
    await here.tick(after=DUE)
    assert grants(here) == [(Mode.NORMAL, 2)]
    assert await told(connection) == []


async def test_an_answer_that_was_not_saved_is_found_before_its_token_is_sent_again(
    here: Installation, token_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await here.connect_by_consent()
    async with dying_before_the_save(here, monkeypatch):
        with token_endpoint.holding() as answer:
            here.clock.move(DUE)
            await here.patchbay.refresh_loop.tick()
            await answer.reached()
            # The provider takes its time: when the lease is over, the answer is younger than a lease.
            here.clock.move(timedelta(seconds=10))
    token_endpoint.asked = 0

    await here.tick(after=timedelta(seconds=50))

    assert token_endpoint.asked == 0
    assert (await found(connection)).last_refreshed_at == here.clock.now
    assert await models.TokenJournal.all().count() == 0
    await here.tick(after=DUE)
    assert grants(here) == [(Mode.NORMAL, 2)]
    assert await told(connection) == []


async def test_verifying_saves_what_a_dead_process_did_not(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await here.connect_by_consent()
    here.clock.move(DUE)
    async with dying_before_the_save(here, monkeypatch):
        await here.patchbay.refresh_loop.tick()
    here.clock.move(LEASE)

    await here.patchbay.connections.verify(here.ada, connection.id)

    # The recovered token had ended as well, so it was renewed in its turn.
    assert grants(here) == [(Mode.NORMAL, 2)]
    assert await told(connection) == []


async def test_an_answer_whose_process_was_taken_for_dead_and_then_dies_is_recovered(
    here: Installation, token_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await here.connect_by_consent()
    async with another_server(here) as other, dying_before_the_save(here, monkeypatch):
        with token_endpoint.holding() as answer:
            here.clock.move(DUE)
            await here.patchbay.refresh_loop.tick()
            await answer.reached()
            here.clock.move(LEASE)
            token_endpoint.says = Answer(503)
            await tick(other)
            token_endpoint.says = None

    here.clock.move(LEASE)
    recovered = await here.patchbay.refresher.recover()

    assert recovered == 1
    assert (await found(connection)).status is ConnectionStatus.CONNECTED
    await here.tick(after=DUE)
    assert grants(here) == [(Mode.NORMAL, 2)]


async def test_an_answer_left_behind_does_not_overwrite_a_newer_credential(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await here.connect_by_consent()
    here.clock.move(DUE)
    async with dying_before_the_save(here, monkeypatch):
        await here.patchbay.refresh_loop.tick()
    await reconnect(here, connection)
    newer = await secrets_of(here, connection)
    here.clock.move(LEASE)

    recovered = await here.patchbay.refresher.recover()

    assert recovered == 0
    assert await secrets_of(here, connection) == newer
    assert await models.TokenJournal.all().count() == 0


async def test_a_journal_entry_that_does_not_open_is_kept_and_stops_no_other(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, sound = await here.connect_by_consent(), await here.connect_by_consent()
    here.clock.move(DUE)
    async with dying_before_the_save(here, monkeypatch):
        await here.patchbay.refresh_loop.tick()
        while await models.TokenJournal.filter(answer__not_isnull=True).count() < 2:
            await asyncio.sleep(0)
    await models.TokenJournal.filter(connection_id=broken.id).update(answer=NEVER_SEALED)
    here.clock.move(LEASE)

    recovered = await here.patchbay.refresher.recover()

    assert recovered == 1
    assert (await found(sound)).last_refreshed_at == here.clock.now
    assert [row.connection_id for row in await models.TokenJournal.all()] == [broken.id]


async def test_a_process_that_died_before_the_answer_leaves_a_connection_that_is_taken_over(
    here: Installation, token_endpoint: Endpoint
) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.says = Answer(503)
    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await kill(here)
    token_endpoint.says = None

    await here.tick(after=timedelta(seconds=59))
    assert grants(here) == [(Mode.NORMAL, 0)]
    await here.tick(after=timedelta(seconds=1))

    assert grants(here) == [(Mode.NORMAL, 1)]
    assert await told(connection) == []
    assert await models.TokenJournal.all().count() == 0


async def test_a_grant_that_an_interrupted_refresh_used_up_is_told_as_that(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await kill(here)

    await here.tick(after=LEASE)

    reason = (await found(connection)).reason
    assert reason is not None
    assert (reason.code, reason.message) == (
        StatusReasonCode.REAUTHENTICATION_REQUIRED,
        "Sandbox no longer accepts this connection: an earlier refresh was interrupted after its token was used up.",
    )
    assert await told(connection) == [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.ACTION_REQUIRED)]


# Meanwhile


async def test_a_connection_that_is_deleted_meanwhile_stays_deleted_and_its_new_token_is_revoked(
    here: Installation, token_endpoint: Endpoint, revocation_endpoint: Endpoint
) -> None:
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    connection = await here.connect_by_consent(authentication_type=AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP, own_app=own)

    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await here.patchbay.connections.delete(here.ada, connection.id)
    await here.patchbay.refresher.settled()

    # The one that it had, and the one that came afterwards, though its app is gone as well.
    assert revocation_endpoint.asked == 2
    assert await told(connection) == [(ConnectionEventType.DELETED, ConnectionStatus.CONNECTED)]
    assert [await row.all().count() for row in (models.Connection, models.Credential, models.TokenJournal)] == [0, 0, 0]


async def test_a_connection_that_is_deleted_meanwhile_does_not_end_the_grant_of_another(
    here: Installation, token_endpoint: Endpoint, revocation_endpoint: Endpoint
) -> None:
    connection, sibling = await here.connect_by_consent(), await here.connect_by_consent()
    await models.Connection.filter(id=sibling.id).update(due_at=here.clock.now + timedelta(days=1))

    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        deleted = await here.patchbay.connections.delete(here.ada, connection.id)
    await here.patchbay.refresher.settled()

    # Some providers end every grant of the same account and app with one.
    assert (deleted.revoked_at_provider, revocation_endpoint.asked) == (False, 0)
    assert [row.id for row in await models.Connection.all()] == [sibling.id]


async def test_a_connection_that_is_switched_off_meanwhile_stays_off_and_keeps_its_new_token(
    here: Installation, token_endpoint: Endpoint
) -> None:
    connection = await here.connect_by_consent()
    before = await secrets_of(here, connection)

    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await here.patchbay.connections.disable(here.ada, connection.id)
    await here.patchbay.refresher.settled()

    assert await state_of(connection) == (ConnectionStatus.DISABLED, StatusReasonCode.DISABLED_BY_USER)
    assert (await found(connection)).due_at is None
    assert await secrets_of(here, connection) != before
    assert await told(connection) == [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.DISABLED)]


async def test_a_connection_that_is_renamed_meanwhile_keeps_its_new_name(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()

    with token_endpoint.holding() as answer:
        here.clock.move(DUE)
        await here.patchbay.refresh_loop.tick()
        await answer.reached()
        await here.patchbay.connections.rename(here.ada, connection.id, "Production")
    await here.patchbay.refresher.settled()

    row = await found(connection)
    assert (row.name, row.last_refreshed_at) == ("Production", here.clock.now)


async def test_an_interrupted_refresh_of_what_is_replaced_or_gone_is_forgotten(here: Installation, token_endpoint: Endpoint) -> None:
    replaced, deleted, left = [await here.connect_by_consent() for _ in range(3)]
    token_endpoint.says = Answer(503)
    await here.tick(after=DUE)
    token_endpoint.says = None
    await reconnect(here, replaced)
    await here.patchbay.connections.delete(here.ada, deleted.id)
    assert await models.TokenJournal.all().count() == 3

    here.clock.move(LEASE)
    await here.patchbay.refresher.recover()

    assert [row.connection_id for row in await models.TokenJournal.all()] == [left.id]


# Our own side


async def spoil(connection: models.Connection) -> Sealed:
    """Put what was never sealed in the place of a connection's secrets; what they were."""
    credential = await models.Credential.get(connection_id=connection.id)
    await models.Credential.filter(id=credential.id).update(secrets=NEVER_SEALED)
    return credential.secrets


async def test_a_secret_that_does_not_open_stops_nobody_else_and_heals(here: Installation, token_endpoint: Endpoint) -> None:
    broken, sound = await here.connect_by_consent(), await here.connect_by_consent()
    sealed = await spoil(broken)
    token_endpoint.asked = 0

    await here.tick(after=DUE)
    assert token_endpoint.asked == 1
    assert (await found(sound)).last_refreshed_at == here.clock.now
    assert (await found(broken)).reason == StatusReason(
        StatusReasonCode.SECRET_UNREADABLE,
        "The stored credential cannot be opened with the keys of this installation.",
        "Start with the key ring that sealed it, or reconnect.",
        Fixer.OPERATOR,
    )
    await models.Credential.filter(connection_id=broken.id).update(secrets=sealed)
    await here.tick(after=timedelta(seconds=10))

    assert [status for _, status in await told(broken)] == ["ACTION_REQUIRED", "CONNECTED"]
    assert await told(sound) == []


async def test_what_does_not_open_is_mended_by_a_new_consent(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await spoil(connection)
    await here.tick(after=DUE)

    await reconnect(here, connection)

    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    await here.tick(after=DUE)
    assert grants(here)[0] == (Mode.NORMAL, 1)


async def test_what_does_not_open_is_mended_by_typing_it_again(here: Installation) -> None:
    connection = await here.connect_with_token()
    await spoil(connection)

    with pytest.raises(InvalidInput) as refusal:
        await here.patchbay.connecting.reconnect(here.ada, ReconnectRequest(connection.id))
    await here.patchbay.connecting.reconnect(here.ada, ReconnectRequest(connection.id, {"token": here.personal_token()}))

    assert refusal.value.fields.keys() == {"fields.token"}
    assert (await secrets_of(here, connection)).fields == {"token": here.personal_token()}
    assert await told(connection) == [(ConnectionEventType.RECONNECTED, ConnectionStatus.CONNECTED)]


async def test_the_secret_of_an_app_that_does_not_open_is_told(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    await models.OAuthApp.filter(id=connection.oauth_app_id).update(client_secret=NEVER_SEALED)
    token_endpoint.asked = 0

    await here.tick(after=DUE)

    due_at = (await found(connection)).due_at
    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.SECRET_UNREADABLE)
    assert due_at is not None and due_at <= here.clock.now + timedelta(seconds=10)
    assert token_endpoint.asked == 0
    assert await models.TokenJournal.all().count() == 0


async def test_what_cannot_be_opened_and_is_switched_off_is_never_due(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.patchbay.connections.disable(here.ada, connection.id)
    await spoil(connection)

    with pytest.raises(ProviderFailure) as failure:
        await here.patchbay.connections.verify(here.ada, connection.id)

    assert failure.value.reason.code is StatusReasonCode.SECRET_UNREADABLE
    assert await state_of(connection) == (ConnectionStatus.DISABLED, StatusReasonCode.DISABLED_BY_USER)
    assert (await found(connection)).due_at is None


async def test_a_connection_whose_connector_is_gone_says_so_until_it_is_back(here: Installation) -> None:
    connection, sound = await here.connect_by_consent(), await here.connect_by_consent()
    await models.Connection.filter(id=connection.id).update(connector_key="gone")

    await here.tick(after=DUE)
    gone = (await found(connection)).reason
    with pytest.raises(ProviderFailure) as failure:
        await here.patchbay.connections.verify(here.ada, connection.id)
    await models.Connection.filter(id=connection.id).update(connector_key="sandbox")
    await here.tick(after=timedelta(seconds=20))

    assert gone == failure.value.reason
    assert gone == StatusReason(
        StatusReasonCode.PROVIDER_ERROR,
        "The connector “gone” is not in this installation.",
        "Add the connector again, or delete the connection.",
        Fixer.OPERATOR,
    )
    assert [status for _, status in await told(connection)] == ["ACTION_REQUIRED", "CONNECTED"]
    assert await told(sound) == []


async def test_a_lease_that_cannot_be_given_back_ends_nothing_else(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    # With new tokens it would be given back as they are saved.
    connections = [await here.connect_with_token() for _ in range(2)]
    ids: list[UUID] = []

    async def away(lease: Lease) -> None:
        ids.append(lease.connection_id)
        raise OSError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(api.connections.refresher, "release", away)
        await models.Connection.all().update(due_at=here.clock.now)
        await here.tick()
    here.clock.move(LEASE)
    await models.Connection.all().update(due_at=here.clock.now)
    await here.tick()

    assert sorted(ids) == sorted(connection.id for connection in connections)
    assert [(await found(connection)).last_verified_at for connection in connections] == [here.clock.now] * 2


# What breaks inside


async def poisoned(here: Installation) -> models.Connection:
    """A connection at which Patchbay itself breaks: its secrets open, and are no secrets."""
    connection = await here.connect_by_consent()
    credential = await models.Credential.get(connection_id=connection.id)
    sealed = here.patchbay.vault.seal(b"[]", credential_place(credential.id, connection.folder_id))
    await models.Credential.filter(id=credential.id).update(secrets=sealed)
    return connection


async def test_a_connection_that_breaks_inside_is_set_aside_and_stops_no_other(
    here: Installation, token_endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = await poisoned(here), await here.connect_by_consent()
    token_endpoint.asked = 0

    await here.tick(after=DUE)
    assert token_endpoint.asked == 1
    assert (await found(other)).last_refreshed_at == here.clock.now
    # Once is not yet worth a word.
    assert await state_of(broken) == (ConnectionStatus.CONNECTED, None)
    for _ in range(2):
        await here.tick(after=timedelta(seconds=41))

    row = await found(broken)
    assert (row.status, row.due_at) == (ConnectionStatus.ACTION_REQUIRED, here.clock.now + timedelta(hours=1))
    assert row.reason is not None
    assert (row.reason.code, row.reason.fixable_by) == (StatusReasonCode.INTERNAL_ERROR, Fixer.OPERATOR)
    assert await told(broken) == [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.ACTION_REQUIRED)]
    assert [record.message for record in caplog.records].count("connection set aside") == 1
    await here.tick(after=timedelta(minutes=59))
    assert [record.message for record in caplog.records].count("connection set aside") == 1


async def test_a_connection_that_was_set_aside_goes_on_once_it_can(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake of our own")

    connection = await here.connect_by_consent()
    with monkeypatch.context() as patch:
        patch.setattr(here.patchbay.refresher, "_keep_alive", breaks)
        for _ in range(3):
            await here.tick(after=DUE)
    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.INTERNAL_ERROR)

    await here.tick(after=timedelta(hours=1))

    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    assert (await found(connection)).internal_failures == 0
    assert [status for _, status in await told(connection)] == [ConnectionStatus.ACTION_REQUIRED, ConnectionStatus.CONNECTED]


async def test_what_the_database_could_not_save_is_not_the_connections_fault(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise OSError("the database is away")

    connection = await here.connect_by_consent()
    with monkeypatch.context() as patch:
        patch.setattr(here.patchbay.refresher, "_keep_alive", away)
        patch.setattr(here.patchbay.refresher._outcomes, "broke_inside", away)
        for _ in range(3):
            await here.tick(after=LEASE)

    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    await here.tick(after=LEASE)
    assert (await found(connection)).last_refreshed_at == here.clock.now
