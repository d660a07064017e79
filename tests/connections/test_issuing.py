"""Credentials that are given out: fresh, to whom they are for, and renewed by one exchange however many ask."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

import models
from api.connections.issued import Issued
from api.errors import Conflict, InvalidInput, NotFound, PatchbayError, PermissionDenied, PolicyViolation, ProviderFailure
from api.organization.policy_wishes import PolicyWish
from api.patchbay import Patchbay
from api.sandbox.provider import Answer
from api.sandbox.sandbox import Switch
from models import AuditOutcome, AuthenticationType, ConnectionStatus, Permission, PolicyEnforcement, StatusReasonCode
from tests.connections.test_refreshing import reconnect, secrets_of, spoil
from tests.connections.trouble import Endpoint, another_server, refuses
from tests.connections.watching import found, state_of
from tests.installation import Installation

pytestmark = pytest.mark.anyio

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
TTL = 30 * SECOND
CALLERS = 100
SUSPENDED = PolicyWish("sandbox", allowed=False, enforcement=PolicyEnforcement.SUSPEND)


async def issue(here: Installation, connection: models.Connection, ttl: timedelta = TTL) -> Issued:
    return await here.patchbay.issuing.issue(here.ada, connection.id, ttl)


async def refused(here: Installation, connection: models.Connection, error: type[PatchbayError], ttl: timedelta = TTL) -> Any:
    """The error, with which nothing was handed out and nothing metered."""
    issued, used_at = await models.AuditEntry.filter(outcome=AuditOutcome.DONE, action="credential.issue").count(), await used(connection)
    with pytest.raises(error) as raised:
        await issue(here, connection, ttl)
    assert await models.AuditEntry.filter(outcome=AuditOutcome.DONE, action="credential.issue").count() == issued
    assert await used(connection) == used_at
    return raised.value


async def used(connection: models.Connection) -> object:
    row = await models.Connection.get_or_none(id=connection.id)
    return None if row is None else row.last_used_at


async def is_taken(here: Installation, issued: Issued) -> bool:
    """Whether the provider takes what was issued, as it was issued."""
    answer = await here.browser.get(f"{issued.base_url}/me", headers=dict(issued.headers), params=dict(issued.query))
    return answer.status_code == 200


@pytest.fixture
async def connection(here: Installation, token_endpoint: Endpoint) -> models.Connection:
    """One whose tokens live for a minute."""
    connection = await here.connect_by_consent()
    token_endpoint.asked = 0
    return connection


# What is handed out


async def test_a_token_is_issued_as_a_call_needs_it(here: Installation, connection: models.Connection) -> None:
    secrets = await secrets_of(here, connection)
    assert secrets.access_token is not None

    issued = await issue(here, connection)

    assert dict(issued.headers) == {"Authorization": f"Bearer {secrets.access_token.reveal()}"}
    assert (dict(issued.query), issued.access_token, issued.token_type) == ({}, secrets.access_token, "Bearer")
    assert (issued.base_url, issued.expires_at) == (f"{here.sandbox.issuer}/api", here.clock.now + MINUTE)
    assert (issued.generation, issued.connection.id) == (1, connection.id)
    assert await is_taken(here, issued)


async def test_a_static_credential_is_issued_where_it_goes_and_has_no_token(here: Installation) -> None:
    connection = await here.connect_with_token()

    issued = await issue(here, connection, timedelta(hours=1))

    assert dict(issued.headers) == {"Authorization": f"Bearer {here.personal_token().reveal()}"}
    assert (issued.access_token, issued.token_type, issued.expires_at) == (None, None, None)
    assert await is_taken(here, issued)


async def test_what_is_issued_shows_nothing_of_itself(here: Installation, connection: models.Connection) -> None:
    issued = await issue(here, connection)

    assert issued.access_token is not None
    assert issued.access_token.reveal() not in repr(issued) + repr([issued]) + str(issued)


async def test_each_issue_is_one_entry_of_the_audit_log(here: Installation, connection: models.Connection) -> None:
    for _ in range(3):
        await issue(here, connection)

    entries = await models.AuditEntry.filter(action="credential.issue")
    told = {(entry.outcome, entry.actor_id, entry.subject_id, entry.subject_name, entry.folder_id, entry.detail) for entry in entries}
    assert len(entries) == 3
    assert told == {(AuditOutcome.DONE, here.ada.user_id, str(connection.id), "Sandbox", here.workspace, "generation 1")}


async def test_use_is_metered_once_a_minute(here: Installation, connection: models.Connection) -> None:
    here.sandbox.set_lifetime(timedelta(hours=1))
    began = here.clock.now

    seen = []
    for after in (0, 59, 1, 30):
        here.clock.move(after * SECOND)
        shown = (await issue(here, connection)).connection.last_used_at
        seen.append(((await found(connection)).last_used_at, shown))

    assert seen == [(began, began), (began, began), (began + MINUTE, began + MINUTE), (began + MINUTE, began + MINUTE)]


async def test_a_use_that_a_clock_ahead_wrote_down_does_not_stop_the_meter(here: Installation, connection: models.Connection) -> None:
    await models.Connection.filter(id=connection.id).update(last_used_at=here.clock.now + timedelta(days=1))

    await issue(here, connection)

    assert (await found(connection)).last_used_at == here.clock.now


# Who may


async def test_it_needs_use(here: Installation) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    connection = await here.connect_with_token(folder_id=folder.id)
    ben = await here.add_person("Ben")
    issuing = here.patchbay.issuing

    with pytest.raises(NotFound):
        await issuing.issue(ben, connection.id, TTL)
    await models.FolderGrant.create(folder_id=folder.id, user_id=ben.user_id, permissions=int(Permission.VIEW | Permission.EDIT))
    with pytest.raises(PermissionDenied):
        await issuing.issue(ben, connection.id, TTL)
    with pytest.raises(PermissionDenied):
        await issuing.report_rejected(ben, connection.id, 1)

    outcomes = await models.AuditEntry.filter(actor_id=ben.user_id).values_list("action", "outcome")
    assert sorted(outcomes) == [
        ("credential.issue", AuditOutcome.REFUSED),
        ("credential.issue", AuditOutcome.REFUSED),
        ("credential.report_rejected", AuditOutcome.REFUSED),
    ]
    assert (await found(connection)).last_used_at is None


@pytest.mark.parametrize("ttl", [-SECOND, timedelta(seconds=3601)])
async def test_an_unreasonable_time_is_refused(here: Installation, connection: models.Connection, ttl: timedelta) -> None:
    error = await refused(here, connection, InvalidInput, ttl)

    assert error.fields == {"minimumTtl": "must be 0 to 3600 seconds"}


# Fresh


async def test_what_lasts_is_issued_without_asking_anybody(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    here.clock.move(29 * SECOND)

    issued = [await issue(here, connection, ttl) for ttl in (0 * SECOND, SECOND, 31 * SECOND)]

    assert [each.generation for each in issued] == [1, 1, 1]
    assert token_endpoint.asked == 0


@pytest.mark.parametrize("later", [31, 59, 60, 3600])
async def test_what_does_not_last_is_renewed_first(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint, later: int
) -> None:
    here.clock.move(later * SECOND)

    issued = await issue(here, connection)

    assert (issued.generation, issued.expires_at, token_endpoint.asked) == (2, here.clock.now + MINUTE, 1)
    assert await is_taken(here, issued)


async def test_what_has_ended_is_never_issued(here: Installation, connection: models.Connection, token_endpoint: Endpoint) -> None:
    here.clock.move(MINUTE)

    issued = await issue(here, connection, timedelta(0))

    assert (issued.generation, token_endpoint.asked) == (2, 1)


async def test_tokens_that_live_for_less_are_said_to_and_not_renewed_for_it(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    for _ in range(3):
        error = await refused(here, connection, InvalidInput, 5 * MINUTE)

    assert error.fields == {"minimumTtl": "must be at most 60 seconds: a token of Sandbox lives no longer"}
    assert token_endpoint.asked == 0


async def test_how_long_tokens_live_is_learnt_from_one_exchange(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    here.sandbox.set_lifetime(10 * SECOND)
    here.clock.move(MINUTE)

    for _ in range(3):
        error = await refused(here, connection, InvalidInput)

    assert error.fields == {"minimumTtl": "must be at most 10 seconds: a token of Sandbox lives no longer"}
    assert token_endpoint.asked == 1


async def test_a_token_that_cannot_be_renewed_is_issued_until_it_ends(here: Installation, connection: models.Connection) -> None:
    await models.Connection.filter(id=connection.id).update(renewable=False)
    here.clock.move(40 * SECOND)

    issued = await issue(here, connection, 20 * SECOND)
    short = await refused(here, connection, InvalidInput, 21 * SECOND)
    here.clock.move(20 * SECOND)
    over = await refused(here, connection, ProviderFailure, timedelta(0))

    assert issued.generation == 1
    assert short.fields == {
        "minimumTtl": "must be at most 20 seconds: this credential of Sandbox lasts that much longer, and cannot be renewed"
    }
    assert over.reason.code is StatusReasonCode.NO_REFRESH_TOKEN


# Many at once


async def test_a_hundred_callers_cause_one_exchange_and_get_one_answer(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    here.clock.move(MINUTE)

    issued = await asyncio.gather(*(issue(here, connection) for _ in range(CALLERS)))

    assert token_endpoint.asked == 1
    assert {(each.generation, each.access_token) for each in issued} == {(2, issued[0].access_token)}
    assert await models.AuditEntry.filter(action="credential.issue", outcome=AuditOutcome.DONE).count() == CALLERS
    assert (await found(connection)).last_used_at == here.clock.now
    assert await is_taken(here, issued[0])


async def test_a_hundred_callers_of_two_servers_cause_one_exchange(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    here.clock.move(MINUTE)

    async with another_server(here) as other:
        servers = [here.patchbay, other] * (CALLERS // 2)
        issued = await asyncio.gather(*(server.issuing.issue(here.ada, connection.id, TTL) for server in servers))

    assert token_endpoint.asked == 1
    assert {(each.generation, each.access_token) for each in issued} == {(2, issued[0].access_token)}


async def test_a_failure_is_told_to_all_who_waited(here: Installation, connection: models.Connection, token_endpoint: Endpoint) -> None:
    here.clock.move(MINUTE)
    token_endpoint.says = Answer(503, {"error": "temporarily_unavailable"})

    answers = await asyncio.gather(*(issue(here, connection) for _ in range(CALLERS)), return_exceptions=True)

    assert token_endpoint.asked == 1
    assert {type(answer) for answer in answers} == {ProviderFailure}
    assert await state_of(connection) == (ConnectionStatus.DEGRADED, StatusReasonCode.PROVIDER_ERROR)


async def test_a_caller_who_goes_away_cuts_nothing_off(here: Installation, connection: models.Connection, token_endpoint: Endpoint) -> None:
    here.clock.move(MINUTE)
    with token_endpoint.holding() as answer:
        first = asyncio.ensure_future(issue(here, connection))
        await answer.reached()
        second = asyncio.ensure_future(issue(here, connection))
        first.cancel()
        await asyncio.wait([first])
        answer.release()
        issued = await second

    assert first.cancelled()
    assert (issued.generation, token_endpoint.asked) == (2, 1)
    assert await is_taken(here, issued)


async def test_an_exchange_that_nobody_waits_for_any_more_is_saved(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    here.clock.move(MINUTE)
    with token_endpoint.holding() as answer:
        only = asyncio.ensure_future(issue(here, connection))
        await answer.reached()
        only.cancel()
        await asyncio.wait([only])
    await here.patchbay.refresher.settled()

    assert (await issue(here, connection)).generation == 2
    assert token_endpoint.asked == 1
    assert await models.Connection.filter(lease_holder__not_isnull=True).count() == 0


# Something else at the same time


@asynccontextmanager
async def renewing(here: Installation, connection: models.Connection, endpoint: Endpoint) -> AsyncIterator["asyncio.Future[Issued]"]:
    """Somebody waits for a credential while its new token is on its way."""
    here.clock.move(MINUTE)
    with endpoint.holding() as answer:
        asked = asyncio.ensure_future(issue(here, connection))
        await answer.reached()
        yield asked
    await asyncio.wait([asked])


async def test_what_is_deleted_meanwhile_is_not_found(here: Installation, connection: models.Connection, token_endpoint: Endpoint) -> None:
    async with renewing(here, connection, token_endpoint) as asked:
        await here.patchbay.connections.delete(here.ada, connection.id)

    assert isinstance(asked.exception(), NotFound)
    assert await models.AuditEntry.filter(action="credential.issue", outcome=AuditOutcome.DONE).count() == 0


async def test_what_is_switched_off_meanwhile_is_not_issued(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    async with renewing(here, connection, token_endpoint) as asked:
        await here.patchbay.connections.disable(here.ada, connection.id)

    assert isinstance(asked.exception(), Conflict)
    assert await used(connection) is None


async def test_what_is_moved_meanwhile_is_issued_from_where_it_is(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)

    async with renewing(here, connection, token_endpoint) as asked:
        await here.patchbay.moving.move(here.ada, connection.id, folder.id)

    assert (asked.result().generation, asked.result().connection.folder_id) == (2, folder.id)
    assert await is_taken(here, asked.result())


async def test_who_loses_the_right_meanwhile_is_given_nothing(here: Installation, token_endpoint: Endpoint) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    connection = await here.connect_by_consent(folder_id=folder.id)
    ben = await here.add_person("Ben")
    grant = await models.FolderGrant.create(folder_id=folder.id, user_id=ben.user_id, permissions=int(Permission.VIEW | Permission.USE))
    here.clock.move(MINUTE)

    with token_endpoint.holding() as answer:
        asked = asyncio.ensure_future(here.patchbay.issuing.issue(ben, connection.id, TTL))
        await answer.reached()
        await grant.delete()
    await asyncio.wait([asked])

    assert isinstance(asked.exception(), NotFound)
    assert await used(connection) is None


async def test_of_what_is_reconnected_meanwhile_the_new_credential_is_issued(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    async with renewing(here, connection, token_endpoint) as asked:
        await reconnect(here, connection)

    issued = asked.result()
    assert issued.access_token == (await secrets_of(here, connection)).access_token
    assert issued.generation == (await models.Credential.get(connection_id=connection.id)).generation
    assert await is_taken(here, issued)


# As the status is


async def test_what_a_person_switched_off_says_who_and_how_on(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    await here.patchbay.connections.disable(here.ada, connection.id)
    here.clock.move(MINUTE)

    error = await refused(here, connection, Conflict)

    assert error.message == "This connection was switched off by Ada."
    assert error.remedy == "Whoever has EDIT in its folder can switch it on again, by enableConnection."
    assert token_endpoint.asked == 0


async def test_what_a_policy_suspends_is_a_violation(here: Installation, connection: models.Connection) -> None:
    await here.patchbay.policies.set(here.ada, SUSPENDED)

    await refused(here, connection, PolicyViolation)


async def test_a_dead_grant_leaves_its_last_token_until_that_ends(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    here.clock.move(20 * SECOND)
    token_endpoint.says = refuses("invalid_grant")
    with pytest.raises(ProviderFailure):
        await issue(here, connection, 50 * SECOND)
    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.REAUTHENTICATION_REQUIRED)
    token_endpoint.asked = 0

    issued = await issue(here, connection, 40 * SECOND)
    error = await refused(here, connection, ProviderFailure, 41 * SECOND)

    assert issued.generation == 1
    assert (error.reason.code, error.retryable) == (StatusReasonCode.REAUTHENTICATION_REQUIRED, False)
    assert token_endpoint.asked == 0


async def test_a_credential_that_the_provider_rejects_is_not_issued(here: Installation) -> None:
    connection = await here.connect_with_token()
    await here.throw(Switch.REVOKE)
    await here.tick(after=timedelta(days=1))

    error = await refused(here, connection, ProviderFailure)

    assert (error.reason.code, error.reason) == (StatusReasonCode.CREDENTIAL_REJECTED, (await found(connection)).reason)


async def test_a_degraded_connection_is_tried_anew_and_issued_once_it_works(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    here.clock.move(MINUTE)
    token_endpoint.says = Answer(503, {"error": "temporarily_unavailable"})
    error = await refused(here, connection, ProviderFailure)
    assert (error.retryable, await state_of(connection)) == (True, (ConnectionStatus.DEGRADED, StatusReasonCode.PROVIDER_ERROR))
    token_endpoint.says = None

    issued = await issue(here, connection)

    assert (issued.generation, issued.connection.status) == (2, ConnectionStatus.CONNECTED)


async def test_a_provider_that_wants_a_pause_is_left_alone_for_it(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint
) -> None:
    here.clock.move(MINUTE)
    token_endpoint.says = Answer(429, {"error": "slow_down"}, [("retry-after", "20")])

    first, second = [await refused(here, connection, ProviderFailure) for _ in range(2)]

    assert [first.retry_after, second.retry_after] == [20 * SECOND, 20 * SECOND]
    assert token_endpoint.asked == 1


async def test_a_secret_that_does_not_open_is_said_and_handed_to_nobody(here: Installation, connection: models.Connection) -> None:
    await spoil(connection)

    error = await refused(here, connection, ProviderFailure)

    assert error.reason.code is StatusReasonCode.SECRET_UNREADABLE


async def test_a_connector_that_is_gone_is_said(here: Installation, connection: models.Connection) -> None:
    await models.Connection.filter(id=connection.id).update(connector_key="gone")

    error = await refused(here, connection, ProviderFailure)

    assert error.message == "The connector “gone” is not in this installation."


async def test_a_signature_is_not_issued_and_the_way_is_shown(here: Installation) -> None:
    connection = await here.connect_with_token()
    await models.Connection.filter(id=connection.id).update(
        connector_key="amazon-ses", authentication_type=AuthenticationType.AWS_ACCESS_KEY, option_key=None
    )

    error = await refused(here, connection, Conflict)

    assert error.message == "Amazon Simple Email Service takes no credential along with a call: each call is signed as a whole."
    assert error.remedy == "Call it through Patchbay, which puts the credential in: send the request to /proxy/{connection id}/{path}."


# By folder and connector


async def test_the_default_of_a_folder_is_issued(here: Installation, connection: models.Connection) -> None:
    other = await here.connect_with_token(name="Second")
    issuing = here.patchbay.issuing

    first = await issuing.issue_default(here.ada, here.workspace, "sandbox", TTL)
    await here.patchbay.connections.set_default(here.ada, other.id)
    second = await issuing.issue_default(here.ada, here.workspace, "sandbox", TTL)

    assert [first.connection.id, second.connection.id] == [connection.id, other.id]
    subjects = await models.AuditEntry.filter(action="credential.issue").order_by("id").values_list("subject_id", flat=True)
    assert list(map(str, subjects)) == [str(connection.id), str(other.id)]


async def test_where_there_is_no_default_it_is_said_what_is_missing(here: Installation) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Empty", parent_id=None)
    ben, issuing = await here.add_person("Ben"), here.patchbay.issuing
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "default connection": lambda: issuing.issue_default(here.ada, folder.id, "sandbox", TTL),
        "connector": lambda: issuing.issue_default(here.ada, folder.id, "nothing", TTL),
        "folder": lambda: issuing.issue_default(ben, folder.id, "sandbox", TTL),
    }

    for noun, ask in asked.items():
        with pytest.raises(NotFound) as error:
            await ask()
        assert error.value.noun == noun


# Reported as rejected


@pytest.fixture
def report(here: Installation) -> Callable[..., Awaitable[models.Connection]]:
    async def report(connection: models.Connection, generation: int = 1, server: Patchbay | None = None) -> models.Connection:
        return await (server or here.patchbay).issuing.report_rejected(here.ada, connection.id, generation)

    return report


Report = Callable[..., Awaitable[models.Connection]]


async def test_a_rejected_credential_is_renewed_and_proven_once_however_many_report_it(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint, account_endpoint: Endpoint, report: Report
) -> None:
    answers = await asyncio.gather(*(report(connection) for _ in range(CALLERS)))

    assert (token_endpoint.asked, account_endpoint.asked) == (1, 1)
    assert {(answer.status, answer.last_verified_at) for answer in answers} == {(ConnectionStatus.CONNECTED, here.clock.now)}
    assert await models.AuditEntry.filter(action="credential.report_rejected", outcome=AuditOutcome.DONE).count() == CALLERS
    assert (await issue(here, connection)).generation == 2


async def test_reported_to_two_servers_it_is_renewed_once(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint, account_endpoint: Endpoint, report: Report
) -> None:
    async with another_server(here) as other:
        servers = [here.patchbay, other] * 20
        answers = await asyncio.gather(*(report(connection, server=server) for server in servers))

    assert (token_endpoint.asked, account_endpoint.asked) == (1, 1)
    assert {(answer.status, answer.last_verified_at) for answer in answers} == {(ConnectionStatus.CONNECTED, here.clock.now)}


async def test_within_a_minute_it_is_not_looked_into_again(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint, account_endpoint: Endpoint, report: Report
) -> None:
    asked = []
    for generation, later in ((1, 0), (2, 1), (2, 58), (2, 1), (3, 0)):
        here.clock.move(later * SECOND)
        await report(connection, generation)
        asked.append((token_endpoint.asked, account_endpoint.asked))

    assert asked == [(1, 1), (1, 1), (1, 1), (2, 2), (2, 2)]


async def test_a_credential_that_was_replaced_is_reported_for_nothing(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint, account_endpoint: Endpoint, report: Report
) -> None:
    here.clock.move(MINUTE)
    await issue(here, connection)
    token_endpoint.asked = account_endpoint.asked = 0

    answer = await report(connection, 1)

    assert (token_endpoint.asked, account_endpoint.asked) == (0, 0)
    assert answer.status is ConnectionStatus.CONNECTED


@pytest.mark.parametrize("generation", [0, -1, 2])
async def test_a_credential_that_was_never_issued_cannot_be_reported(
    connection: models.Connection, token_endpoint: Endpoint, report: Report, generation: int
) -> None:
    with pytest.raises(InvalidInput) as error:
        await report(connection, generation)

    assert error.value.fields == {"generation": "must be one that was issued: 1 to 1"}
    assert token_endpoint.asked == 0


async def test_a_static_credential_is_proven_and_the_status_tells_the_truth(
    here: Installation, account_endpoint: Endpoint, report: Report
) -> None:
    connection = await here.connect_with_token()
    account_endpoint.asked = 0

    before = await report(connection)
    await here.throw(Switch.REVOKE)
    here.clock.move(MINUTE)
    after = await report(connection)

    assert (before.status, after.status) == (ConnectionStatus.CONNECTED, ConnectionStatus.ACTION_REQUIRED)
    assert after.reason is not None
    assert after.reason.code is StatusReasonCode.CREDENTIAL_REJECTED
    assert account_endpoint.asked == 2
    await refused(here, connection, ProviderFailure)


async def test_a_grant_that_was_withdrawn_shows_when_its_token_is_reported(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint, report: Report
) -> None:
    await here.throw(Switch.REVOKE)

    answer = await report(connection)

    assert answer.reason is not None
    assert (answer.status, answer.reason.code) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.REAUTHENTICATION_REQUIRED)
    assert token_endpoint.asked == 1
    # Nor is its last token, which the provider does not take either, although its end had not come.
    await refused(here, connection, ProviderFailure, timedelta(0))


async def test_a_token_that_ended_early_and_cannot_be_renewed_now_is_not_issued(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint, account_endpoint: Endpoint, report: Report
) -> None:
    await here.throw(Switch.EXPIRE)
    token_endpoint.says = Answer(503, {"error": "temporarily_unavailable"})

    answer = await report(connection)

    assert answer.reason is not None
    assert (answer.status, answer.reason.code) == (ConnectionStatus.DEGRADED, StatusReasonCode.PROVIDER_ERROR)
    assert (token_endpoint.asked, account_endpoint.asked) == (1, 1)
    await refused(here, connection, ProviderFailure, timedelta(0))


async def test_a_report_of_a_token_that_works_changes_nothing_while_the_provider_cannot_renew_it(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint, report: Report
) -> None:
    token_endpoint.says = Answer(503, {"error": "temporarily_unavailable"})

    answer = await report(connection)

    assert (answer.status, answer.reason) == (ConnectionStatus.CONNECTED, None)
    assert (await issue(here, connection)).generation == 1


async def test_what_is_switched_off_is_not_looked_into(
    here: Installation, connection: models.Connection, token_endpoint: Endpoint, report: Report
) -> None:
    await here.patchbay.connections.disable(here.ada, connection.id)

    with pytest.raises(Conflict):
        await report(connection)

    assert token_endpoint.asked == 0
    assert (await found(connection)).status is ConnectionStatus.DISABLED
