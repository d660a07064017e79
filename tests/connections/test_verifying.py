"""Whether a credential works: asked on schedule, and by people."""

import asyncio
from datetime import timedelta

import pytest

import api.connections.on_request
import api.connections.refresher
import models
from api.connections.requests import ReconnectRequest
from api.errors import Conflict, NotFound, PermissionDenied, ProviderFailure
from api.sandbox.provider import Answer
from api.sandbox.sandbox import Switch
from models import ConnectionEventType, ConnectionStatus, Fixer, Permission, StatusReason, StatusReasonCode
from models.leases import Term, claim
from tests.connections.trouble import Endpoint
from tests.connections.watching import found, state_of, told
from tests.installation import Installation

pytestmark = pytest.mark.anyio

# When every token of a minute is over, or as good as over.
OVER = timedelta(seconds=55)
REJECTED = StatusReason(
    StatusReasonCode.CREDENTIAL_REJECTED,
    "Sandbox rejects this credential: it is wrong, was revoked, or may not do what is asked.",
    "Reconnect with a credential that works.",
    Fixer.CONNECTION_OWNER,
)


async def refusal_of_verify(here: Installation, connection: models.Connection) -> ProviderFailure:
    with pytest.raises(ProviderFailure) as failure:
        await here.patchbay.connections.verify(here.ada, connection.id)
    return failure.value


# On schedule


async def test_a_token_that_is_rejected_is_told_once_and_asked_about_no_more(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_with_token()
    await here.throw(Switch.REVOKE)
    account_endpoint.asked = 0

    for _ in range(3):
        await here.tick(after=timedelta(days=1))

    row = await found(connection)
    assert (row.status, row.reason, row.due_at) == (ConnectionStatus.ACTION_REQUIRED, REJECTED, None)
    assert await told(connection) == [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.ACTION_REQUIRED)]
    assert account_endpoint.asked == 1


async def test_a_token_is_verified_about_every_six_hours(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_with_token()
    account_endpoint.asked = 0

    for _ in range(24):
        await here.tick(after=timedelta(hours=1))

    assert account_endpoint.asked in (3, 4)
    assert await told(connection) == []


async def test_a_provider_that_cannot_say_is_in_trouble_until_it_can(here: Installation) -> None:
    connection = await here.connect_with_token()
    await here.throw(Switch.ANSWER_503)

    await here.tick(after=timedelta(hours=7))
    assert await state_of(connection) == (ConnectionStatus.DEGRADED, StatusReasonCode.PROVIDER_ERROR)
    await here.throw(Switch.NORMAL)
    await here.tick(after=timedelta(seconds=10))

    assert [status for _, status in await told(connection)] == ["DEGRADED", "CONNECTED"]


async def test_a_token_that_does_not_end_and_meets_a_limit_shows_nothing(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_with_token()
    await here.throw(Switch.ANSWER_429)
    account_endpoint.asked = 0

    await here.tick(after=timedelta(hours=7))
    await here.tick(after=timedelta(seconds=9))

    assert account_endpoint.asked == 1
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    assert await told(connection) == []


# By people


async def test_verifying_says_that_it_works_and_when(here: Installation) -> None:
    connection = await here.connect_with_token()
    here.clock.move(timedelta(hours=1))

    verified = await here.patchbay.connections.verify(here.ada, connection.id)

    assert 0 <= verified.latency_ms < 5000
    assert (verified.connection.status, verified.connection.last_verified_at) == (ConnectionStatus.CONNECTED, here.clock.now)
    assert verified.connection.due_at is not None and verified.connection.due_at > here.clock.now + timedelta(hours=5)
    assert verified.connection.lease_holder is None
    assert await told(connection) == []


async def test_verifying_tells_of_a_rejection_who_found_it(here: Installation) -> None:
    connection = await here.connect_with_token()
    await here.throw(Switch.REVOKE)

    failure = await refusal_of_verify(here, connection)

    assert (failure.reason, failure.retryable) == (REJECTED, False)
    row = await found(connection)
    assert (row.status, row.reason, row.lease_holder) == (ConnectionStatus.ACTION_REQUIRED, REJECTED, None)
    event = await models.ConnectionEvent.get(type=ConnectionEventType.STATUS_CHANGED)
    assert event.actor_id == here.ada.user_id


async def test_verifying_in_a_providers_trouble_says_so_and_changes_nothing_while_the_token_lasts(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.ANSWER_503)

    failure = await refusal_of_verify(here, connection)

    assert (failure.reason.code, failure.retryable) == (StatusReasonCode.PROVIDER_ERROR, True)
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    assert await told(connection) == []


async def test_verifying_renews_first_what_is_over(here: Installation) -> None:
    connection = await here.connect_by_consent()
    here.clock.move(OVER)

    verified = (await here.patchbay.connections.verify(here.ada, connection.id)).connection

    assert (verified.last_refreshed_at, verified.last_verified_at) == (here.clock.now, here.clock.now)
    assert verified.expires_at == here.clock.now + timedelta(seconds=60)
    assert await told(connection) == []


async def test_verifying_leaves_alone_what_lasts(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.asked = 0

    await here.patchbay.connections.verify(here.ada, connection.id)

    assert token_endpoint.asked == 0


async def test_verifying_renews_what_the_provider_ended_early(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.EXPIRE)

    verified = (await here.patchbay.connections.verify(here.ada, connection.id)).connection

    assert (verified.status, verified.last_refreshed_at) == (ConnectionStatus.CONNECTED, here.clock.now)
    assert await told(connection) == []


async def test_what_ended_early_and_cannot_be_renewed_does_not_pass_for_working(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.EXPIRE)
    token_endpoint.says = Answer(503)

    await refusal_of_verify(here, connection)
    assert await state_of(connection) == (ConnectionStatus.DEGRADED, StatusReasonCode.PROVIDER_ERROR)
    token_endpoint.says = None
    await here.tick(after=timedelta(seconds=10))

    assert [status for _, status in await told(connection)] == ["DEGRADED", "CONNECTED"]


async def test_a_token_that_is_rejected_though_it_is_new_is_told(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    account_endpoint.says = Answer(403)
    here.clock.move(OVER)

    failure = await refusal_of_verify(here, connection)

    assert failure.reason == REJECTED
    row = await found(connection)
    assert (row.status, row.reason, row.last_refreshed_at) == (ConnectionStatus.ACTION_REQUIRED, REJECTED, here.clock.now)
    assert await told(connection) == [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.ACTION_REQUIRED)]


async def test_what_a_person_must_mend_is_not_hidden_by_a_providers_trouble(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.REVOKE)
    await here.tick(after=OVER)
    token_endpoint.says = Answer(503)
    here.clock.move(timedelta(hours=1))

    failure = await refusal_of_verify(here, connection)

    assert failure.retryable
    row = await found(connection)
    assert (row.status, row.reason and row.reason.code, row.due_at) == (
        ConnectionStatus.ACTION_REQUIRED,
        StatusReasonCode.REAUTHENTICATION_REQUIRED,
        None,
    )
    assert len(await told(connection)) == 1


async def test_what_was_mended_is_found_by_verifying(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_with_token()
    account_endpoint.says = Answer(401)
    await here.tick(after=timedelta(days=1))
    account_endpoint.says = None

    verified = await here.patchbay.connections.verify(here.ada, connection.id)

    assert (verified.connection.status, verified.connection.reason) == (ConnectionStatus.CONNECTED, None)
    assert [status for _, status in await told(connection)] == ["ACTION_REQUIRED", "CONNECTED"]
    assert verified.connection.due_at is not None


async def test_a_proof_of_the_credential_before_says_nothing_of_the_one_after(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_with_token()
    request = ReconnectRequest(connection.id, fields={"token": here.personal_token("sam")}, allow_account_change=True)
    here.clock.move(timedelta(hours=1))

    with account_endpoint.holding() as answer:
        verifying = asyncio.ensure_future(here.patchbay.connections.verify(here.ada, connection.id))
        await answer.reached()
        await here.patchbay.connecting.reconnect(here.ada, request)
    await verifying

    assert (await found(connection)).account == "sam"
    assert await told(connection) == [(ConnectionEventType.RECONNECTED, ConnectionStatus.CONNECTED)]


async def test_a_rejection_of_the_credential_before_says_nothing_of_the_one_after(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_with_token()
    await here.throw(Switch.REVOKE)
    request = ReconnectRequest(connection.id, fields={"token": here.personal_token()})

    with account_endpoint.holding() as answer:
        verifying = asyncio.ensure_future(here.patchbay.connections.verify(here.ada, connection.id))
        await answer.reached()
        await here.patchbay.connecting.reconnect(here.ada, request)
    with pytest.raises(ProviderFailure):
        await verifying

    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    assert await told(connection) == [(ConnectionEventType.RECONNECTED, ConnectionStatus.CONNECTED)]


async def test_whoever_stops_waiting_does_not_stop_the_refresh(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    here.clock.move(OVER)

    with token_endpoint.holding() as answer:
        verifying = asyncio.ensure_future(here.patchbay.connections.verify(here.ada, connection.id))
        await answer.reached()
        verifying.cancel()
        await asyncio.wait([verifying])
    await here.patchbay.refresher.settled()

    row = await found(connection)
    assert (row.last_refreshed_at, row.last_verified_at, row.lease_holder) == (here.clock.now, here.clock.now, None)


async def test_verifying_does_not_wait_for_ever(here: Installation, account_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.connections.refresher, "_WAIT_FOR_LEASE_SECONDS", 0.01)
    connection = await here.connect_with_token()
    await claim(connection.id, Term("another", here.clock.now, here.clock.now + timedelta(seconds=60), send_before=0))
    account_endpoint.asked = 0

    with pytest.raises(Conflict):
        await here.patchbay.connections.verify(here.ada, connection.id)

    assert account_endpoint.asked == 0
    row = await found(connection)
    assert (row.status, row.lease_holder) == (ConnectionStatus.CONNECTED, "another")


async def test_a_provider_that_takes_too_long_is_a_conflict(
    here: Installation, account_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await here.connect_with_token()

    with account_endpoint.holding(), monkeypatch.context() as patch, pytest.raises(Conflict):
        patch.setattr(api.connections.on_request, "ATTEMPT_SECONDS", 0.1)
        await here.patchbay.connections.verify(here.ada, connection.id)

    row = await found(connection)
    assert (row.status, row.lease_holder) == (ConnectionStatus.CONNECTED, None)
    assert await told(connection) == []


async def test_what_is_deleted_while_somebody_waits_to_verify_it_is_not_found(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_with_token()
    verify = here.patchbay.connections.verify

    with account_endpoint.holding() as answer:
        first = asyncio.ensure_future(verify(here.ada, connection.id))
        await answer.reached()
        second = asyncio.ensure_future(verify(here.ada, connection.id))
        await here.patchbay.connections.delete(here.ada, connection.id)
    ends = await asyncio.gather(first, second, return_exceptions=True)

    assert [type(end) for end in ends] == [NotFound, NotFound]
    assert await told(connection) == [(ConnectionEventType.DELETED, ConnectionStatus.CONNECTED)]


async def test_verifying_needs_use(here: Installation, account_endpoint: Endpoint) -> None:
    bob = await here.add_person("Bob")
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    connection = await here.connect_with_token(folder_id=folder.id)
    await here.throw(Switch.REVOKE)
    account_endpoint.asked = 0
    with pytest.raises(NotFound):
        await here.patchbay.connections.verify(bob, connection.id)
    await here.patchbay.folders.set_access(here.ada, folder.id, bob.user_id, Permission.every() & ~Permission.USE)

    with pytest.raises(PermissionDenied):
        await here.patchbay.connections.verify(bob, connection.id)

    assert account_endpoint.asked == 0
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
