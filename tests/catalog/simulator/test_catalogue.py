"""Every connector against its vendor, as the vendor's documentation has it: each way to authenticate, from the connecting to the end.

The vendors are in `vendors/`, the rules of their play in `player.py`. A vendor that is asked for anything in another way than it
documents complains, and the test prints what it complained about.
"""

from collections.abc import Iterable
from datetime import timedelta

import pytest

import models
from api.catalog.catalog import CONNECTORS, Catalog
from api.catalog.using import Proof
from api.connections.requests import OwnApp
from api.errors import PatchbayError, ProviderFailure
from api.secret import Secret
from models import AuthorizationStatus, ConnectionStatus, StatusReasonCode
from tests.catalog.simulator.installation import OWN_APP, Simulation
from tests.catalog.simulator.player import CLIENT_ID
from tests.catalog.simulator.routes import Act
from tests.catalog.simulator.vendor import Way, read_vendors

pytestmark = pytest.mark.anyio

CATALOG = Catalog.load(CONNECTORS)
WAYS = read_vendors()

# Logins by another protocol than HTTP, which are tried with servers of theirs.
LOGINS = {("active-directory", "custom"), ("mail", "custom"), ("mail", "smtp_pop3"), ("netiq-edirectory", "custom")}

CREDENTIAL = {StatusReasonCode.CREDENTIAL_REJECTED, StatusReasonCode.INVALID_CLIENT, StatusReasonCode.REAUTHENTICATION_REQUIRED}


def each(ways: Iterable[Way]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", [pytest.param(way, id=str(way)) for way in ways])


def test_every_option_of_every_connector_is_played() -> None:
    options = {(connector.key, option.key) for connector in CATALOG.all for option in connector.options}

    assert options - {(way.vendor, way.key) for way in WAYS} == LOGINS
    assert {(way.vendor, way.key) for way in WAYS} - options == set()


def test_what_is_left_out_are_logins_by_other_protocols() -> None:
    logins = {(connector.key, option.key) for connector in CATALOG.all for option in connector.options if option.proof is Proof.LOGIN}

    assert logins == LOGINS


@each(WAYS)
async def test_connects(simulation: Simulation, way: Way) -> None:
    stage = simulation.play(way)

    connection = await stage.connected()

    assert (connection.status, connection.account) == (ConnectionStatus.CONNECTED, way.account)
    assert {name: connection.site.get(name) for name in way.site} == way.site
    assert (set(connection.scopes), connection.missing_scopes) == (set(way.all_scopes) or set(connection.scopes), [])
    assert (connection.last_verified_at is None) is way.is_silent
    assert stage.player.acts[Act.EXCHANGE] == (0 if way.token is None else 1)
    assert (stage.player.acts[Act.CALL] > 0) is bool(way.calls)
    assert stage.player.acts[Act.LOOK_UP] == len(way.lookups)
    assert connection.renewable is way.is_renewed
    if way.token is not None and way.token.lifetime is not None and (way.refresh is None or not way.refresh.at_once):
        assert connection.expires_at == simulation.clock.now + timedelta(seconds=way.token.lifetime)


@each(way for way in WAYS if way.authorize is not None)
async def test_asks_for_scopes_that_the_vendor_knows(simulation: Simulation, way: Way) -> None:
    """Where nobody chooses: the scopes by default."""
    stage = simulation.play(way)

    connection = await stage.connected(scopes=None)

    assert not way.all_scopes or set(connection.scopes) <= set(way.all_scopes)


@each(way for way in WAYS if way.calls)
async def test_verifies(simulation: Simulation, way: Way) -> None:
    stage = simulation.play(way)
    connection = await stage.connected()
    before = stage.player.acts[Act.CALL]
    simulation.clock.move(timedelta(seconds=1))

    verified = await simulation.patchbay.connections.verify(simulation.ada, connection.id)

    stage.assert_content()
    assert verified.connection.last_verified_at == simulation.clock.now
    assert stage.player.acts[Act.CALL] == before + 1


@each(way for way in WAYS if way.is_renewed)
async def test_renews(simulation: Simulation, way: Way) -> None:
    """Twice, since a refresh token that was good once must have been replaced; and then the new token is used."""
    stage = simulation.play(way)
    connection = await stage.connected()

    for _ in range(2):
        connection = await stage.come_due(connection)

    stage.assert_content()
    assert (connection.status, connection.last_refreshed_at) == (ConnectionStatus.CONNECTED, simulation.clock.now)
    at_once = way.refresh is not None and way.refresh.at_once
    renewals = stage.player.acts[Act.RENEW] + stage.player.acts[Act.EXCHANGE] - (0 if way.token is None else 1)
    assert renewals == (0 if way.token is None else 3 if at_once else 2)
    await simulation.patchbay.connections.verify(simulation.ada, connection.id)
    stage.assert_content()


@each(way for way in WAYS if way.secret and not way.is_silent)
async def test_refuses_a_wrong_credential(simulation: Simulation, way: Way) -> None:
    stage = simulation.play(way)

    with pytest.raises(PatchbayError) as refusal:
        await stage.connect(fields=stage.player.typed_wrongly())

    assert isinstance(refusal.value, ProviderFailure), refusal.value.message
    assert (refusal.value.reason.code, refusal.value.retryable) == (stage.player.reason, False)
    assert refusal.value.reason.code in CREDENTIAL
    await assert_nothing_kept(stage.player.complaints)


@each(way for way in WAYS if way.authorize is not None and way.token is not None and way.token.client not in ("public", "none"))
async def test_refuses_a_wrong_app(simulation: Simulation, way: Way) -> None:
    stage = simulation.play(way)

    done = await stage.connect(own_app=OwnApp(CLIENT_ID, Secret("not-the-secret")), authentication_type=OWN_APP)

    assert isinstance(done, models.Authorization)
    assert done.status is AuthorizationStatus.FAILED
    # Where the vendor signs what it sends back, a wrong secret shows before anything is asked of it.
    expected = StatusReasonCode.PROVIDER_ERROR if way.callback_signature else stage.player.reason
    assert done.reason is not None and done.reason.code == expected
    await assert_nothing_kept(stage.player.complaints)


@each(way for way in WAYS if way.token is not None and way.calls)
async def test_refuses_a_token_that_is_good_for_nothing(simulation: Simulation, way: Way) -> None:
    """The vendor gives a token, and does not take it."""
    stage = simulation.play(way)
    stage.player.kill_access()

    try:
        done = await stage.connect()
    except ProviderFailure as failure:
        reason = failure.reason
    else:
        assert isinstance(done, models.Authorization) and done.reason is not None
        reason = done.reason

    assert reason.code == stage.player.reason
    await assert_nothing_kept(stage.player.complaints)


@each(way for way in WAYS if (way.is_renewed or way.calls) and (way.secret or way.token))
async def test_notices_that_the_credential_has_died(simulation: Simulation, way: Way) -> None:
    """Once it is due and its token is over: until then it may still work."""
    stage = simulation.play(way)
    connection = await stage.connected()
    stage.player.kill()

    connection = await stage.come_due(connection, later_than=connection.expires_at)

    assert not stage.player.complaints, stage.player.complaints
    assert connection.status is ConnectionStatus.ACTION_REQUIRED
    assert connection.reason is not None and connection.reason.code == stage.player.reason
    assert connection.reason.code in CREDENTIAL


@each(way for way in WAYS if way.revoke is not None)
async def test_revokes(simulation: Simulation, way: Way) -> None:
    stage = simulation.play(way)
    connection = await stage.connected()

    deleted = await simulation.patchbay.connections.delete(simulation.ada, connection.id)

    stage.assert_content()
    assert deleted.revoked_at_provider
    assert stage.player.acts[Act.REVOKE] == 1


@each(way for way in WAYS if way.revoke is None and way.token is not None)
async def test_revokes_nothing_where_the_vendor_has_no_way_to(simulation: Simulation, way: Way) -> None:
    stage = simulation.play(way)
    connection = await stage.connected()

    deleted = await simulation.patchbay.connections.delete(simulation.ada, connection.id)

    stage.assert_content()
    assert not deleted.revoked_at_provider


async def assert_nothing_kept(complaints: list[str]) -> None:
    assert not complaints, "\n".join(complaints)
    assert await models.Connection.all().count() == 0
    assert await models.Credential.all().count() == 0
    assert await models.OAuthApp.all().count() == 0
