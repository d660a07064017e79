"""Policies where connections are made, renewed and switched on; and a policy that changes in the middle of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

import models
from api.access import Actor
from api.connections.offers import Offer
from api.connections.requests import OwnApp, ReconnectRequest
from api.errors import AuthenticationTypeUnavailable, InvalidInput, NotFound, PolicyViolation
from api.organization.policy_wishes import PolicyApp, PolicyWish
from api.secret import Secret
from models import (
    AuthenticationType,
    AuthorizationStatus,
    ConnectionStatus,
    OAuthAppOrigin,
    Permission,
    PolicyEnforcement,
    StatusReasonCode,
    fold,
)
from tests.connections.trouble import Endpoint, another_server, tick
from tests.connections.watching import found, state_of, told
from tests.installation import Installation

pytestmark = pytest.mark.anyio

TOKEN = AuthenticationType.PERSONAL_ACCESS_TOKEN
CONSENT = AuthenticationType.OAUTH2_AUTHORIZATION_CODE
BYO = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
NOTHING = PolicyWish("sandbox", allowed=False)
SUSPENDED = replace(NOTHING, enforcement=PolicyEnforcement.SUSPEND)
OVER = timedelta(seconds=55)


async def put(here: Installation, wish: PolicyWish) -> models.ConnectorPolicy:
    return await here.patchbay.policies.set(here.ada, wish)


async def lift(here: Installation) -> None:
    await here.patchbay.policies.delete(here.ada, "sandbox")


async def offers(here: Installation, actor: Actor, key: str = "sandbox") -> dict[AuthenticationType, Offer]:
    return {offer.type: offer for offer in (await here.patchbay.offers.of(actor.user_id, [key]))[key]}


async def group_of(here: Installation, name: str, *members: Actor) -> UUID:
    group = await models.Group.create(name=name, name_key=fold(name), created_at=here.clock.now)
    for member in members:
        await models.GroupMember.create(group_id=group.id, user_id=member.user_id)
    return group.id


async def shared_folder(here: Installation, *, among: list[Actor]) -> UUID:
    folder = await here.patchbay.folders.create(here.ada, name="Shared", parent_id=None)
    for actor in among:
        await here.patchbay.folders.set_access(here.ada, folder.id, actor.user_id, Permission.every())
    return folder.id


@asynccontextmanager
async def nothing_made() -> AsyncIterator[None]:
    before = [await table.all().count() for table in (models.Connection, models.Credential, models.ConnectionEvent, models.Authorization)]
    yield
    after = [await table.all().count() for table in (models.Connection, models.Credential, models.ConnectionEvent, models.Authorization)]
    assert after == before


# Connecting


async def test_what_a_policy_refuses_is_not_connected_and_nothing_is_asked_of_the_provider(
    here: Installation, account_endpoint: Endpoint
) -> None:
    policy = await put(here, PolicyWish("sandbox", allowed_types=(CONSENT,)))

    async with nothing_made():
        with pytest.raises(PolicyViolation) as refusal:
            await here.connect_with_token()

    assert refusal.value.policy_id == policy.id
    assert "The policy for everybody does not allow PERSONAL_ACCESS_TOKEN for Sandbox" in refusal.value.message
    assert account_endpoint.asked == 0
    assert (await here.connect_by_consent()).status is ConnectionStatus.CONNECTED


async def test_a_policy_that_only_warns_refuses_nothing(here: Installation) -> None:
    await put(here, replace(NOTHING, enforcement=PolicyEnforcement.WARN))

    assert (await here.connect_with_token()).status is ConnectionStatus.CONNECTED
    offer = (await offers(here, here.ada))[TOKEN]
    assert (offer.available, offer.is_against_policy, offer.policy) == (True, True, "the policy for everybody")


async def test_a_policy_is_in_force_on_the_very_next_request_and_no_longer_than_it_is_there(here: Installation) -> None:
    await put(here, NOTHING)
    with pytest.raises(PolicyViolation):
        await here.connect_with_token()

    await lift(here)

    assert (await here.connect_with_token()).status is ConnectionStatus.CONNECTED


async def test_an_exception_for_a_group_or_a_user_is_one(here: Installation) -> None:
    ben, cleo = await here.add_person("Ben"), await here.add_person("Cleo")
    folder = await shared_folder(here, among=[ben, cleo])
    await put(here, NOTHING)
    await put(here, PolicyWish("sandbox", group_id=await group_of(here, "Sales", ben), is_exempt=True))

    made = await here.patchbay.connecting.connect(ben, here.token_request(folder_id=folder))
    with pytest.raises(PolicyViolation):
        await here.patchbay.connecting.connect(cleo, here.token_request(folder_id=folder))

    assert isinstance(made, models.Connection)
    assert await models.Connection.all().count() == 1
    assert [(offer.available, offer.policy) for offer in (await offers(here, ben)).values() if offer.type is TOKEN] == [(True, None)]
    refused = (await offers(here, cleo))[TOKEN]
    assert (refused.available, refused.is_against_policy, refused.policy) == (False, True, "the policy for everybody")
    assert refused.unavailable_reason == (
        "The policy for everybody does not allow connections to Sandbox. Ask an administrator to allow it, or to make an exception."
    )


# What a policy gives


async def test_the_app_of_a_policy_stands_in_for_one_of_ones_own(here: Installation) -> None:
    app = PolicyApp(here.sandbox.client_id, here.sandbox.client_secret)
    policy = await put(here, PolicyWish("sandbox", app=app, default_scopes=("admin",)))

    connection = await here.connect_by_consent(authentication_type=BYO)
    as_shown = await here.connect_by_consent(authentication_type=BYO, fields={"client_id": Secret(app.client_id)}, name="As shown")
    by_id = await here.connect_by_consent(authentication_type=BYO, oauth_app_id=policy.default_app_id, name="By id", scopes=("read",))

    assert {each.oauth_app_id for each in (connection, as_shown, by_id)} == {policy.default_app_id}
    assert (connection.scopes, by_id.scopes) == (["read", "admin"], ["read"])
    assert await models.OAuthApp.filter(origin=OAuthAppOrigin.CONNECTION).count() == 0
    here.clock.move(timedelta(minutes=1))
    await here.tick()
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)


async def test_an_app_of_ones_own_comes_before_that_of_a_policy(here: Installation) -> None:
    await put(here, PolicyWish("sandbox", app=PolicyApp("policy", Secret("hush"))))

    connection = await here.connect_by_consent(authentication_type=BYO, own_app=OwnApp(here.sandbox.client_id, here.sandbox.client_secret))

    app = await models.OAuthApp.get(id=connection.oauth_app_id)
    assert (app.origin, app.client_id) == (OAuthAppOrigin.CONNECTION, here.sandbox.client_id)


async def test_the_app_of_a_policy_is_for_those_whom_it_is_given_to(here: Installation) -> None:
    ben = await here.add_person("Ben")
    folder = await shared_folder(here, among=[ben])
    app = PolicyApp(here.sandbox.client_id, here.sandbox.client_secret)
    policy = await put(here, PolicyWish("sandbox", user_id=here.ada.user_id, app=app))

    for chosen in (None, policy.default_app_id):
        async with nothing_made():
            with pytest.raises(InvalidInput):
                await here.patchbay.connecting.connect(
                    ben, here.consent_request(folder_id=folder, authentication_type=BYO, oauth_app_id=chosen)
                )


async def test_the_app_of_a_policy_outlives_it_while_somebody_signs_in_with_it(here: Installation) -> None:
    app = PolicyApp(here.sandbox.client_id, here.sandbox.client_secret)
    policy = await put(here, PolicyWish("sandbox", app=app))
    connection = await here.connect_by_consent(authentication_type=BYO)

    await lift(here)

    assert await models.OAuthApp.exists(id=policy.default_app_id)
    here.clock.move(timedelta(minutes=1))
    await here.tick()
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    await here.patchbay.connections.delete(here.ada, connection.id)
    assert not await models.OAuthApp.exists(id=policy.default_app_id)


async def test_a_form_shows_what_a_policy_gives_and_no_secret(here: Installation) -> None:
    given = PolicyWish(
        "zendesk",
        app=PolicyApp("zd-client", Secret("hush")),
        default_scopes=("write", "tickets:read"),
        default_fields={"subdomain": "acme"},
    )
    await put(here, given)

    offer = (await offers(here, here.ada, "zendesk"))[BYO]
    other = (await offers(here, here.ada, "zendesk"))[AuthenticationType.API_KEY]

    defaults = {field.name: (field.default, field.required) for field in offer.fields}
    assert defaults == {"subdomain": ("acme", True), "client_id": ("zd-client", False), "client_secret": (None, False)}
    assert {scope.name for scope in offer.scopes if scope.default} == {"write", "tickets:read"}
    assert {field.name: field.default for field in other.fields} == {"subdomain": "acme", "email": None, "api_token": None}
    assert "hush" not in repr(offer)


async def test_a_default_stands_in_for_a_field_that_is_not_given(here: Installation) -> None:
    app = PolicyApp("zd-client", Secret("hush"))
    await put(here, PolicyWish("zendesk", app=app, default_fields={"subdomain": "acme"}))

    default = await here.begin(connector_key="zendesk", authentication_type=BYO)
    chosen = await here.begin(connector_key="zendesk", authentication_type=BYO, fields={"subdomain": Secret("globex")})

    assert (default.site, chosen.site) == ({"subdomain": "acme"}, {"subdomain": "globex"})
    departure = await here.patchbay.connecting.depart(here.ada, default.id)
    assert departure.url.startswith("https://acme.zendesk.com/oauth/authorizations/new?")
    assert "client_id=zd-client" in departure.url


# Connecting again


async def test_a_new_credential_is_refused_and_the_old_one_lives(here: Installation) -> None:
    connection = await here.connect_with_token()
    credential = await models.Credential.get(connection_id=connection.id)
    await put(here, NOTHING)

    with pytest.raises(PolicyViolation):
        await here.patchbay.connecting.reconnect(here.ada, ReconnectRequest(connection.id, fields={"token": here.personal_token()}))

    assert (await models.Credential.get(connection_id=connection.id)).generation == credential.generation
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)


async def test_whoever_reconnects_and_whose_it_is_must_both_be_allowed(here: Installation) -> None:
    ben = await here.add_person("Ben")
    folder = await shared_folder(here, among=[ben])
    mine = await here.connect_with_token(folder_id=folder)
    theirs = await here.patchbay.connecting.connect(ben, here.token_request(folder_id=folder))
    await put(here, replace(NOTHING, user_id=ben.user_id))

    for actor, connection in ((ben, mine), (here.ada, theirs)):
        with pytest.raises(PolicyViolation) as refusal:
            await here.patchbay.connecting.reconnect(actor, ReconnectRequest(connection.id, fields={"token": here.personal_token()}))
        assert "the user “Ben”" in refusal.value.message

    assert [credential.generation for credential in await models.Credential.all()] == [1, 1]


async def test_a_milder_policy_lets_a_connection_be_switched_on(here: Installation) -> None:
    connection = await here.connect_with_token()
    await here.patchbay.connections.disable(here.ada, connection.id)
    await put(here, NOTHING)

    assert (await here.patchbay.connections.enable(here.ada, connection.id)).status is ConnectionStatus.CONNECTED


# Suspended


async def test_a_suspended_connection_is_not_refreshed_not_verified_and_not_switched_on(
    here: Installation, token_endpoint: Endpoint, account_endpoint: Endpoint
) -> None:
    connection = await here.connect_by_consent()
    asked = token_endpoint.asked, account_endpoint.asked
    await put(here, SUSPENDED)

    await here.tick(after=timedelta(minutes=2))
    for act in (here.patchbay.connections.verify, here.patchbay.connections.enable):
        with pytest.raises(PolicyViolation):
            await act(here.ada, connection.id)

    assert (token_endpoint.asked, account_endpoint.asked) == asked
    assert await state_of(connection) == (ConnectionStatus.DISABLED, StatusReasonCode.DISALLOWED_BY_POLICY)


async def test_what_came_due_while_it_was_suspended_is_done_when_it_goes_on(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    await put(here, SUSPENDED)
    await here.tick(after=timedelta(minutes=2))
    asked = token_endpoint.asked

    await lift(here)
    await here.tick()

    assert token_endpoint.asked == asked + 1
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    assert (await found(connection)).last_refreshed_at == here.clock.now


async def test_switched_off_by_a_person_it_is_not_switched_on_against_a_policy(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_with_token()
    await here.patchbay.connections.disable(here.ada, connection.id)
    await put(here, SUSPENDED)
    asked = account_endpoint.asked

    with pytest.raises(PolicyViolation):
        await here.patchbay.connections.enable(here.ada, connection.id)

    assert account_endpoint.asked == asked
    assert await state_of(connection) == (ConnectionStatus.DISABLED, StatusReasonCode.DISABLED_BY_USER)
    await lift(here)
    assert (await here.patchbay.connections.enable(here.ada, connection.id)).status is ConnectionStatus.CONNECTED


# In the middle of it


async def test_a_refresh_under_way_saves_its_token_and_the_connection_stays_suspended(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    generation = (await models.Credential.get(connection_id=connection.id)).generation

    with token_endpoint.holding() as hold:
        here.clock.move(OVER)
        await here.patchbay.refresh_loop.tick()
        await hold.reached()
        await put(here, SUSPENDED)
    await here.patchbay.refresher.settled()

    assert await state_of(connection) == (ConnectionStatus.DISABLED, StatusReasonCode.DISALLOWED_BY_POLICY)
    assert (await models.Credential.get(connection_id=connection.id)).generation == generation + 1
    await lift(here)
    await here.tick(after=OVER)
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)


async def test_switched_on_while_a_policy_comes_into_force_it_is_suspended(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_with_token()
    await here.patchbay.connections.disable(here.ada, connection.id)

    with account_endpoint.holding() as hold:
        enabling = asyncio.ensure_future(here.patchbay.connections.enable(here.ada, connection.id))
        await hold.reached()
        await put(here, SUSPENDED)
    enabled = await enabling

    assert (enabled.status, enabled.is_suspended) == (ConnectionStatus.DISABLED, True)
    await lift(here)
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)


@pytest.mark.parametrize("wish", [NOTHING, SUSPENDED], ids=lambda wish: wish.enforcement)
async def test_a_policy_that_comes_while_the_provider_is_asked_wins(
    here: Installation, account_endpoint: Endpoint, wish: PolicyWish
) -> None:
    with account_endpoint.holding() as hold:
        connecting = asyncio.ensure_future(here.connect_with_token())
        await hold.reached()
        await put(here, wish)

    with pytest.raises(PolicyViolation):
        await connecting
    assert await models.Connection.all().count() == 0
    assert await models.Credential.all().count() == 0


async def test_a_policy_that_comes_while_a_new_credential_is_proven_wins(here: Installation, account_endpoint: Endpoint) -> None:
    connection = await here.connect_with_token()

    with account_endpoint.holding() as hold:
        request = ReconnectRequest(connection.id, fields={"token": here.personal_token()})
        reconnecting = asyncio.ensure_future(here.patchbay.connecting.reconnect(here.ada, request))
        await hold.reached()
        await put(here, NOTHING)

    with pytest.raises(PolicyViolation):
        await reconnecting
    assert (await models.Credential.get(connection_id=connection.id)).generation == 1
    assert await told(connection) == []


async def test_a_consent_that_a_policy_forbids_meanwhile_does_not_depart(here: Installation) -> None:
    authorization = await here.begin()
    await put(here, NOTHING)

    with pytest.raises(PolicyViolation):
        await here.patchbay.connecting.depart(here.ada, authorization.id)

    await lift(here)
    assert (await here.come_back(authorization)).status is AuthorizationStatus.SUCCEEDED


async def test_a_consent_that_comes_back_to_a_policy_against_it_is_over(here: Installation, token_endpoint: Endpoint) -> None:
    authorization = await here.begin()
    departure = await here.patchbay.connecting.depart(here.ada, authorization.id)
    parameters = await here.decide(departure.url)
    await put(here, NOTHING)

    over = await here.patchbay.connecting.complete(here.ada, "sandbox", parameters, {departure.cookie_name: departure.cookie_value})

    assert over.status is AuthorizationStatus.FAILED
    assert over.reason is not None
    assert (over.reason.code, over.reason.message) == (
        StatusReasonCode.DISALLOWED_BY_POLICY,
        "The policy for everybody does not allow connections to Sandbox.",
    )
    assert token_endpoint.asked == 0
    assert await models.Connection.all().count() == 0


async def test_a_policy_that_comes_while_the_code_is_exchanged_wins_and_the_grant_is_ended(
    here: Installation, token_endpoint: Endpoint, revocation_endpoint: Endpoint
) -> None:
    authorization = await here.begin()

    with token_endpoint.holding() as hold:
        returning = asyncio.ensure_future(here.come_back(authorization))
        await hold.reached()
        await put(here, SUSPENDED)
    over = await returning

    assert over.status is AuthorizationStatus.FAILED
    assert over.reason is not None
    assert over.reason.code is StatusReasonCode.DISALLOWED_BY_POLICY
    assert revocation_endpoint.asked == 1
    assert await models.Connection.all().count() == 0
    assert (await models.Authorization.get(id=authorization.id)).secrets is None


async def test_however_they_meet_no_connection_goes_on_against_a_policy(here: Installation) -> None:
    """Many connect on two servers while the policy comes, goes and comes again."""

    async def policies() -> None:
        for wish in (SUSPENDED, None, SUSPENDED):
            await (lift(here) if wish is None else put(here, wish))

    async with another_server(here) as other:
        servers = [here.patchbay, other] * 10
        requests = [here.token_request(name=f"Connection {number}") for number in range(len(servers))]
        attempts = (server.connecting.connect(here.ada, request) for server, request in zip(servers, requests, strict=True))
        ends = await asyncio.gather(policies(), *attempts, return_exceptions=True)

    made = [end for end in ends[1:] if isinstance(end, models.Connection)]
    assert len(made) + sum(isinstance(end, PolicyViolation) for end in ends[1:]) == len(servers)
    assert await models.Connection.all().count() == len(made)
    assert {await state_of(connection) for connection in made} <= {(ConnectionStatus.DISABLED, StatusReasonCode.DISALLOWED_BY_POLICY)}


async def test_what_is_suspended_on_one_server_is_left_alone_by_the_other(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    asked = token_endpoint.asked

    async with another_server(here) as other:
        await put(here, SUSPENDED)
        here.clock.move(OVER)
        await tick(other)

    assert token_endpoint.asked == asked
    assert await state_of(connection) == (ConnectionStatus.DISABLED, StatusReasonCode.DISALLOWED_BY_POLICY)


# Not installed


async def test_a_connector_that_is_not_installed_is_not_offered_and_its_connections_go_on(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.patchbay.installed.set(here.ada, "sandbox", installed=False)

    async with nothing_made():
        with pytest.raises(AuthenticationTypeUnavailable) as refusal:
            await here.connect_with_token()

    assert (refusal.value.message, refusal.value.remedy) == ("Sandbox is not installed here.", "Ask an administrator to install it.")
    reasons = {offer.unavailable_reason for offer in (await offers(here, here.ada)).values()}
    assert reasons == {"Sandbox is not installed here. An administrator can install it."}
    await here.tick(after=OVER)
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    again = await here.patchbay.connecting.reconnect(here.ada, ReconnectRequest(connection.id))
    assert isinstance(again, models.Authorization)
    assert (await here.come_back(again)).status is AuthorizationStatus.SUCCEEDED


async def test_a_consent_for_a_connector_that_is_not_installed_any_more_makes_no_connection(
    here: Installation, revocation_endpoint: Endpoint
) -> None:
    authorization = await here.begin()
    await here.patchbay.installed.set(here.ada, "sandbox", installed=False)

    over = await here.come_back(authorization)

    assert over.status is AuthorizationStatus.FAILED
    assert over.reason is not None
    assert over.reason.message == "Sandbox is not installed here."
    assert revocation_endpoint.asked == 1
    assert await models.Connection.all().count() == 0


async def test_an_unseen_folder_is_refused_before_any_policy(here: Installation) -> None:
    """So that nobody can tell from a policy that a folder is there."""
    ben = await here.add_person("Ben")
    await put(here, NOTHING)

    with pytest.raises(NotFound):
        await here.patchbay.connecting.connect(ben, here.token_request())
