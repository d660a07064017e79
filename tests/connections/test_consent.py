"""The consent, from its beginning to its end, and everything that must not end in a connection."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

import models
from api.access import Actor
from api.connections.connecting import Departure
from api.connections.consent import BegunByAnother, CallbackRefused, ConsentOver, FlowSecrets
from api.connections.requests import OwnApp
from api.connections.secrets import Secrets, credential_place
from api.errors import AuthenticationTypeUnavailable, InvalidInput, NameTaken, NotFound, PermissionDenied
from api.organization.tokens import hash_of
from api.sandbox.records import Mode
from api.secret import Secret
from models import AuthenticationType, AuthorizationStatus, ConnectionStatus, OAuthAppOrigin, Permission, StatusReasonCode
from models.database import rows
from tests.installation import Installation

pytestmark = pytest.mark.anyio

BYO = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP


@dataclass(frozen=True)
class Return:
    """A browser that is back with the provider's answer, and has not shown it yet."""

    here: Installation
    authorization: models.Authorization
    parameters: list[tuple[str, str]]
    cookies: Mapping[str, str]

    @property
    def state(self) -> str:
        return dict(self.parameters)["state"]

    def but(self, **changes: str | None) -> list[tuple[str, str]]:
        """The same answer, with other values; None leaves one out."""
        return [(name, value) for name, value in (dict(self.parameters) | changes).items() if value is not None]

    async def complete(
        self,
        *,
        actor: Actor | None = None,
        connector_key: str = "sandbox",
        parameters: list[tuple[str, str]] | None = None,
        cookies: Mapping[str, str] | None = None,
    ) -> models.Authorization:
        return await self.here.patchbay.connecting.complete(
            actor or self.here.ada,
            connector_key,
            self.parameters if parameters is None else parameters,
            self.cookies if cookies is None else cookies,
        )


async def returning(here: Installation, authorization: models.Authorization | None = None, **choices: Any) -> Return:
    authorization = authorization or await here.begin()
    departure = await here.patchbay.connecting.depart(here.ada, authorization.id)
    parameters = await here.decide(departure.url, **choices)
    return Return(here, authorization, parameters, cookies_of(departure))


def cookies_of(departure: Departure) -> dict[str, str]:
    return {departure.cookie_name: departure.cookie_value}


def grants(here: Installation) -> list[Mode]:
    """What the provider was made to give: one for each code that was exchanged."""
    return [grant.mode for grant in here.sandbox.overview().grants]


async def assert_nothing_kept(here: Installation) -> None:
    assert await models.Connection.all().count() == 0
    assert await models.Credential.all().count() == 0
    assert await models.ConnectionEvent.all().count() == 0


async def status_of(authorization: models.Authorization) -> AuthorizationStatus:
    return (await models.Authorization.get(id=authorization.id)).status


async def test_an_answer_is_taken_once(here: Installation) -> None:
    back = await returning(here)
    done = await back.complete()

    with pytest.raises(CallbackRefused):
        await back.complete()

    assert done.status is AuthorizationStatus.SUCCEEDED
    assert await models.Connection.all().count() == 1
    assert await status_of(back.authorization) is AuthorizationStatus.SUCCEEDED
    assert grants(here) == [Mode.NORMAL]


async def test_of_twenty_who_bring_the_same_answer_one_connects(here: Installation) -> None:
    back = await returning(here)

    ends = await asyncio.gather(*(back.complete() for _ in range(20)), return_exceptions=True)

    assert sum(isinstance(end, CallbackRefused) for end in ends) == 19
    assert [end.status for end in ends if isinstance(end, models.Authorization)] == [AuthorizationStatus.SUCCEEDED]
    assert await models.Connection.all().count() == 1
    assert grants(here) == [Mode.NORMAL]


async def test_a_state_that_is_not_the_one_is_refused(here: Installation) -> None:
    back = await returning(here)
    other = await returning(here)
    state = back.state
    forged = [
        None, "", "0", state[:-1], state + "A", state.swapcase(), state[::-1], f" {state}", f"{state}\0", "\0", "\ud800",
        hash_of(Secret(state)), str(back.authorization.id), other.state, "A" * 10_000,
    ]  # fmt: skip

    for value in forged:
        with pytest.raises(CallbackRefused):
            await back.complete(parameters=back.but(state=value))

    await assert_nothing_kept(here)
    assert grants(here) == []
    assert (await back.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_a_browser_that_did_not_depart_is_refused(here: Installation) -> None:
    back = await returning(here)
    other = await returning(here)
    name = next(iter(back.cookies))
    foreign = [{}, other.cookies, {name: next(iter(other.cookies.values()))}, {name: "1"}, {name: ""}, {name: back.state}]

    for cookies in foreign:
        with pytest.raises(CallbackRefused):
            await back.complete(cookies=cookies)

    await assert_nothing_kept(here)
    assert grants(here) == []
    assert (await back.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_another_person_cannot_depart(here: Installation) -> None:
    eve = await here.add_person("Eve")
    back = await returning(here)

    with pytest.raises(BegunByAnother) as refusal:
        await here.patchbay.connecting.depart(eve, back.authorization.id)

    assert refusal.value.name == "Ada"
    # Her visit did not void the departure of the right person.
    assert (await back.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_another_person_cannot_complete(here: Installation) -> None:
    eve = await here.add_person("Eve", administrator=True)
    back = await returning(here)

    with pytest.raises(BegunByAnother):
        await back.complete(actor=eve)
    with pytest.raises(BegunByAnother):
        await here.patchbay.connecting.complete(None, "sandbox", back.parameters, back.cookies)

    await assert_nothing_kept(here)
    assert grants(here) == []
    assert (await back.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_another_person_can_neither_see_nor_cancel_a_consent(here: Installation) -> None:
    eve = await here.add_person("Eve", administrator=True)
    back = await returning(here)

    with pytest.raises(NotFound):
        await here.patchbay.connecting.cancel(eve, back.authorization.id)

    assert await here.patchbay.connecting.find(eve, back.authorization.id) is None
    assert (await back.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_an_answer_at_the_callback_of_another_connector_is_refused(here: Installation) -> None:
    back = await returning(here)

    for connector_key in ("github", "Sandbox", "sandbox ", "sandbox\0", "\ud800", "", "no-such-connector"):
        with pytest.raises(CallbackRefused):
            await back.complete(connector_key=connector_key)

    await assert_nothing_kept(here)
    assert grants(here) == []
    assert (await back.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_a_repeated_parameter_is_refused(here: Installation) -> None:
    back = await returning(here)

    for name, value in back.parameters:
        with pytest.raises(CallbackRefused):
            await back.complete(parameters=[*back.parameters, (name, value)])

    await assert_nothing_kept(here)
    assert grants(here) == []
    assert (await back.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_a_consent_expires_after_ten_minutes(here: Installation) -> None:
    back = await returning(here)
    here.clock.move(timedelta(minutes=10))

    with pytest.raises(CallbackRefused):
        await back.complete()
    with pytest.raises(ConsentOver):
        await here.patchbay.connecting.depart(here.ada, back.authorization.id)

    await assert_nothing_kept(here)
    assert grants(here) == []
    found = await here.patchbay.connecting.find(here.ada, back.authorization.id)
    assert found is not None and here.patchbay.connecting.status_of(found) is AuthorizationStatus.EXPIRED


async def test_a_consent_lasts_until_ten_minutes_are_over(here: Installation) -> None:
    authorization = await here.begin()
    here.clock.move(timedelta(minutes=9, seconds=59))

    done = await here.come_back(authorization)

    assert done.status is AuthorizationStatus.SUCCEEDED


async def test_a_second_departure_voids_the_first(here: Installation) -> None:
    first = await returning(here)
    second = await returning(here, first.authorization)

    with pytest.raises(CallbackRefused):
        await first.complete()
    with pytest.raises(CallbackRefused):
        await first.complete(cookies=second.cookies)

    await assert_nothing_kept(here)
    assert (await second.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_a_cancelled_consent_stays_cancelled(here: Installation) -> None:
    back = await returning(here)
    connecting = here.patchbay.connecting
    cancelled = await connecting.cancel(here.ada, back.authorization.id)

    with pytest.raises(CallbackRefused):
        await back.complete()
    with pytest.raises(ConsentOver):
        await connecting.cancel(here.ada, back.authorization.id)
    with pytest.raises(ConsentOver):
        await connecting.depart(here.ada, back.authorization.id)

    assert cancelled.status is AuthorizationStatus.CANCELLED
    assert await status_of(back.authorization) is AuthorizationStatus.CANCELLED
    await assert_nothing_kept(here)
    assert grants(here) == []


async def test_what_is_cancelled_while_it_completes_leaves_no_connection(here: Installation) -> None:
    back = await returning(here)

    done, cancelled = await asyncio.gather(
        back.complete(), here.patchbay.connecting.cancel(here.ada, back.authorization.id), return_exceptions=True
    )

    status = await status_of(back.authorization)
    connections = await models.Connection.all().count()
    if isinstance(cancelled, models.Authorization):
        assert (status, connections) == (AuthorizationStatus.CANCELLED, 0)
        assert isinstance(done, CallbackRefused) or (isinstance(done, models.Authorization) and done.status is status)
        assert Mode.NORMAL not in grants(here)
    else:
        assert isinstance(cancelled, ConsentOver)
        assert (status, connections) == (AuthorizationStatus.SUCCEEDED, 1)


async def test_two_departures_that_complete_at_once_make_one_connection(here: Installation) -> None:
    first = await returning(here)

    async def again() -> models.Authorization:
        return await (await returning(here, first.authorization)).complete()

    ends = await asyncio.gather(first.complete(), again(), return_exceptions=True)

    assert all(isinstance(end, models.Authorization | CallbackRefused | ConsentOver) for end in ends), ends
    assert await models.Connection.all().count() == 1
    assert await status_of(first.authorization) is AuthorizationStatus.SUCCEEDED


async def test_a_consent_that_is_refused_is_denied(here: Installation) -> None:
    back = await returning(here, decision="deny")

    done = await back.complete()

    assert done.status is AuthorizationStatus.DENIED
    assert done.reason is not None
    assert (done.reason.code, done.reason.provider_error) == (StatusReasonCode.ACCESS_DENIED, "access_denied")
    await assert_nothing_kept(here)
    assert grants(here) == []
    with pytest.raises(CallbackRefused):
        await back.complete()


async def test_a_code_that_comes_with_an_error_is_not_exchanged(here: Installation) -> None:
    for error, status in (("access_denied", AuthorizationStatus.DENIED), ("server_error", AuthorizationStatus.FAILED)):
        back = await returning(here)

        done = await back.complete(parameters=back.but(error=error))

        assert done.status is status
        assert await status_of(back.authorization) is status
    await assert_nothing_kept(here)
    assert grants(here) == []


async def test_an_answer_without_a_code_fails(here: Installation) -> None:
    for code in (None, ""):
        back = await returning(here)

        done = await back.complete(parameters=back.but(code=code))

        assert done.status is AuthorizationStatus.FAILED
    await assert_nothing_kept(here)
    assert grants(here) == []


async def test_an_answer_of_another_issuer_fails(here: Installation) -> None:
    issuer = here.sandbox.issuer
    for iss in (None, "", f"{issuer}/", issuer.upper(), "https://accounts.example.com"):
        back = await returning(here)

        done = await back.complete(parameters=back.but(iss=iss))

        assert done.status is AuthorizationStatus.FAILED
        assert done.reason is not None and done.reason.code is StatusReasonCode.PROVIDER_ERROR
    await assert_nothing_kept(here)
    assert grants(here) == []


async def test_an_error_of_another_issuer_is_not_believed(here: Installation) -> None:
    back = await returning(here, decision="deny")

    done = await back.complete(parameters=back.but(iss="https://accounts.example.com"))

    assert done.status is AuthorizationStatus.FAILED
    assert done.reason is not None and done.reason.code is StatusReasonCode.PROVIDER_ERROR


async def test_a_code_of_another_consent_fails(here: Installation) -> None:
    back, other = await returning(here), await returning(here)

    done = await back.complete(parameters=back.but(code=dict(other.parameters)["code"]))

    # The verifier is another one (RFC 7636 section 4.6).
    assert done.status is AuthorizationStatus.FAILED
    await assert_nothing_kept(here)
    assert grants(here) == []
    assert (await other.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_a_wrong_secret_of_the_app_is_its_owners_to_mend(here: Installation) -> None:
    await here.patchbay.oauth_apps.keep_registered("sandbox", client_id=here.sandbox.client_id, client_secret=Secret("wrong"))

    done = await here.come_back(await here.begin())

    assert done.status is AuthorizationStatus.FAILED
    assert done.reason is not None and done.reason.code is StatusReasonCode.INVALID_CLIENT
    await assert_nothing_kept(here)
    assert grants(here) == []


async def test_a_mandatory_scope_that_is_not_granted_makes_the_consent_fail(here: Installation) -> None:
    done = await here.come_back(await here.begin(), scopes=["write"])

    assert done.status is AuthorizationStatus.FAILED
    assert done.reason is not None and done.reason.code is StatusReasonCode.INSUFFICIENT_SCOPES
    assert "read" in done.reason.message
    await assert_nothing_kept(here)
    assert grants(here) == [Mode.REVOKED]


async def test_a_grant_that_leads_to_nothing_stays_where_others_sign_in_with_the_same_app(here: Installation) -> None:
    connection = await here.connect_by_consent()

    done = await here.come_back(await here.begin(), scopes=["write"])

    assert done.status is AuthorizationStatus.FAILED
    assert [row.id for row in await models.Connection.all()] == [connection.id]
    assert grants(here) == [Mode.NORMAL, Mode.NORMAL]


async def test_an_optional_scope_that_is_not_granted_is_missing(here: Installation) -> None:
    done = await here.come_back(await here.begin(scopes=("read", "write", "admin")), scopes=["read", "admin"])

    connection = await models.Connection.get(id=done.connection_id)
    assert connection.status is ConnectionStatus.CONNECTED
    assert (connection.scopes, connection.missing_scopes) == (["read", "admin"], ["write"])


async def test_scopes_without_a_mandatory_one_are_refused(here: Installation) -> None:
    for scopes in ((), ("write",), ("READ",), ("read", "wri te"), ("read", "")):
        with pytest.raises(InvalidInput) as refusal:
            await here.begin(scopes=scopes)
        assert list(refusal.value.fields) == ["scopes"]

    assert await models.Authorization.all().count() == 0


async def test_an_app_of_ones_own_is_kept_with_the_connection(here: Installation) -> None:
    secret = here.sandbox.client_secret
    connection = await here.connect_by_consent(authentication_type=BYO, own_app=OwnApp(here.sandbox.client_id, secret))

    app = await models.OAuthApp.get(id=connection.oauth_app_id)
    assert (app.origin, app.folder_id, app.client_id) == (OAuthAppOrigin.CONNECTION, here.workspace, here.sandbox.client_id)
    assert app.client_secret is not None and secret.reveal().encode() not in bytes(app.client_secret)
    assert here.patchbay.oauth_apps.secret_of(app) == secret
    await here.tick(after=timedelta(seconds=55))
    renewed = await models.Connection.get(id=connection.id)
    assert (renewed.status, renewed.last_refreshed_at) == (ConnectionStatus.CONNECTED, here.clock.now)


async def test_an_app_of_ones_own_may_come_among_the_fields(here: Installation) -> None:
    fields = {"client_id": Secret(here.sandbox.client_id), "client_secret": here.sandbox.client_secret}
    connection = await here.connect_by_consent(authentication_type=BYO, fields=fields)

    app = await models.OAuthApp.get(id=connection.oauth_app_id)
    assert (app.origin, app.folder_id) == (OAuthAppOrigin.CONNECTION, here.workspace)
    assert connection.site == {}
    assert here.sandbox.client_secret.reveal() not in repr((vars(connection), vars(app)))
    await here.tick(after=timedelta(seconds=55))
    assert (await models.Connection.get(id=connection.id)).last_refreshed_at == here.clock.now


async def test_an_app_of_ones_own_is_used_again_by_its_id(here: Installation) -> None:
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    first = await here.connect_by_consent(authentication_type=BYO, own_app=own)

    second = await here.connect_by_consent(authentication_type=BYO, oauth_app_id=first.oauth_app_id)

    assert second.oauth_app_id == first.oauth_app_id
    assert await models.OAuthApp.filter(origin=OAuthAppOrigin.CONNECTION).count() == 1


async def test_a_kept_app_that_one_may_not_use_is_refused(here: Installation) -> None:
    first = await here.connect_by_consent(authentication_type=BYO, own_app=OwnApp(here.sandbox.client_id, here.sandbox.client_secret))
    eve = await here.add_person("Eve")
    theirs = await models.Folder.get(owner_id=eve.user_id)
    request = here.consent_request(authentication_type=BYO, oauth_app_id=first.oauth_app_id, folder_id=theirs.id)

    with pytest.raises(InvalidInput) as refusal:
        await here.patchbay.connecting.connect(eve, request)

    assert "oauthAppId" in refusal.value.fields
    assert await models.Authorization.filter(user_id=eve.user_id).count() == 0


async def test_an_app_that_came_to_nothing_is_not_kept(here: Installation) -> None:
    done = await here.come_back(await here.begin(authentication_type=BYO, own_app=OwnApp(here.sandbox.client_id, Secret("wrong"))))

    assert done.status is AuthorizationStatus.FAILED
    assert done.reason is not None and done.reason.code is StatusReasonCode.INVALID_CLIENT
    assert await models.OAuthApp.filter(origin=OAuthAppOrigin.CONNECTION).count() == 0
    await assert_nothing_kept(here)


async def test_signing_in_needs_an_app_of_the_operator(here: Installation) -> None:
    with pytest.raises(AuthenticationTypeUnavailable) as refusal:
        await here.begin(connector_key="github")

    assert refusal.value.message == "No OAuth app is registered here for GitHub."
    assert await models.Authorization.all().count() == 0


async def test_an_own_app_goes_with_its_own_authentication_type_only(here: Installation) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await here.begin(own_app=OwnApp(here.sandbox.client_id, here.sandbox.client_secret))

    assert list(refusal.value.fields) == ["oauthApp"]
    assert await models.Authorization.all().count() == 0


async def test_who_lost_the_permission_while_consenting_connects_nothing(here: Installation) -> None:
    bob = await here.add_person("Bob")
    folders = here.patchbay.folders
    folder = await folders.create(here.ada, name="Sales", parent_id=None)
    await folders.set_access(here.ada, folder.id, bob.user_id, Permission.CREATE)
    theirs = await here.patchbay.connecting.connect(bob, here.consent_request(folder_id=folder.id))
    departure = await here.patchbay.connecting.depart(bob, theirs.id)
    parameters = await here.decide(departure.url)
    await folders.set_access(here.ada, folder.id, bob.user_id, Permission.VIEW)

    done = await here.patchbay.connecting.complete(bob, "sandbox", parameters, cookies_of(departure))

    assert done.status is AuthorizationStatus.FAILED
    assert done.reason is not None and "CREATE" in done.reason.message
    await assert_nothing_kept(here)
    assert grants(here) == [Mode.REVOKED]


async def test_a_folder_without_create_takes_no_consent(here: Installation) -> None:
    bob = await here.add_person("Bob")
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    await here.patchbay.folders.set_access(here.ada, folder.id, bob.user_id, Permission.USE)

    with pytest.raises(PermissionDenied):
        await here.patchbay.connecting.connect(bob, here.consent_request(folder_id=folder.id))
    with pytest.raises(NotFound):
        await here.patchbay.connecting.connect(bob, here.consent_request())

    assert await models.Authorization.all().count() == 0


async def test_a_name_that_was_taken_meanwhile_gets_a_number(here: Installation) -> None:
    authorization = await here.begin(name="Production")
    await here.connect_with_token(name="PRODUCTION")

    done = await here.come_back(authorization)

    connection = await models.Connection.get(id=done.connection_id)
    assert (connection.name, connection.is_default) == ("Production 2", False)


async def test_a_name_that_is_taken_begins_no_consent(here: Installation) -> None:
    await here.connect_with_token(name="Production")

    with pytest.raises(NameTaken):
        await here.begin(name="production")

    assert await models.Authorization.all().count() == 0


async def test_a_consent_that_is_over_keeps_no_secrets(here: Installation) -> None:
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    ends = [await returning(here, await here.begin(authentication_type=BYO, own_app=own), decision=word) for word in ("allow", "deny")]
    ends += [await returning(here, scopes=["write"]), await returning(here), await returning(here)]
    assert all(row.secrets for row in await models.Authorization.all())

    for back in ends[:3]:
        await back.complete()
    await here.patchbay.connecting.cancel(here.ada, ends[3].authorization.id)
    await here.tick(after=timedelta(minutes=10))

    kept = {row.id: row for row in await models.Authorization.all()}
    assert [kept[back.authorization.id].status for back in ends] == ["SUCCEEDED", "DENIED", "FAILED", "CANCELLED", "EXPIRED"]
    assert [(row.secrets, row.state_hash) for row in kept.values()] == [(None, None)] * 5


async def test_an_old_link_to_a_consent_whose_app_is_forgotten_is_over(here: Installation) -> None:
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    first = await here.connect_by_consent(authentication_type=BYO, own_app=own)
    authorization = await here.begin(authentication_type=BYO, oauth_app_id=first.oauth_app_id)
    await here.patchbay.connecting.cancel(here.ada, authorization.id)
    await here.patchbay.connections.delete(here.ada, first.id)

    with pytest.raises(ConsentOver):
        await here.patchbay.connecting.depart(here.ada, authorization.id)

    assert await models.OAuthApp.filter(origin=OAuthAppOrigin.CONNECTION).count() == 0


async def test_no_secret_of_a_consent_is_in_the_database_or_in_the_log(here: Installation, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    back = await returning(here, await here.begin(authentication_type=BYO, own_app=own))
    flow = await models.Authorization.get(id=back.authorization.id)
    verifier = FlowSecrets.open(here.patchbay.vault, flow.secrets, flow.id, flow.folder_id).code_verifier
    assert verifier is not None
    hidden = [back.state, *back.cookies.values(), verifier.reveal(), dict(back.parameters)["code"], here.sandbox.client_secret.reveal()]
    assert not [text for text in hidden if text in await dump(here)]

    done = await back.complete()
    hidden += await tokens_of(here, done)
    await here.tick(after=timedelta(seconds=55))
    hidden += await tokens_of(here, done)

    assert len(set(hidden)) == 9
    everything = await dump(here)
    assert not [text for text in hidden if text in everything]
    logged = json.dumps([vars(record) for record in caplog.records if not record.name.startswith(TEST_LOGGERS)], default=repr)
    assert "token refreshed" in logged
    assert not [text for text in hidden if text in logged]


# What the test's own browser and the sandbox's own server write.
TEST_LOGGERS = ("httpx2", "httpcore", "uvicorn")


async def dump(here: Installation) -> str:
    """Every row of every table."""
    if here.patchbay.database.dialect == "sqlite":
        tables = await rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        tables = await rows("SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'")
    assert len(tables) > 15
    return repr([await rows(f'SELECT * FROM "{table["name"]}"') for table in tables])


async def tokens_of(here: Installation, authorization: models.Authorization) -> list[str]:
    connection = await models.Connection.get(id=authorization.connection_id)
    credential = await models.Credential.get(connection_id=connection.id)
    secrets = Secrets.open(here.patchbay.vault, credential.secrets, credential_place(credential.id, connection.folder_id))
    assert secrets.access_token is not None and secrets.refresh_token is not None
    return [secrets.access_token.reveal(), secrets.refresh_token.reveal()]
