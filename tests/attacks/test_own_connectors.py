"""Whoever may change a connector points it at a host of theirs: no secret that was given for another host arrives there."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

import models
from api.catalog.definition import FieldDefinition, PlacementDefinition
from api.connections.app_upkeep import AppChanges, NewSecret
from api.errors import AuthenticationTypeUnavailable, Conflict, InvalidInput
from api.organization.policy_wishes import PolicyApp, PolicyWish
from api.secret import Secret
from models import AuthenticationType
from tests.connections.own import CONSENT, MACHINE, OWN_APP, Bench, bench_on
from tests.connections.vendor import CLIENT, TOKEN

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
GIVEN_FOR_ELSEWHERE = "The secret of this OAuth app was given for other addresses than Acme has now, and is not sent there."


@pytest.fixture
async def bench(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_on(sqlite_url, tmp_path) as bench:
        yield bench


@pytest.fixture
async def bench_on_both(database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_on(database_url, tmp_path) as bench:
        yield bench


@pytest.mark.parametrize("type", [AuthenticationType.PERSONAL_ACCESS_TOKEN, MACHINE, CONSENT, OWN_APP])
async def test_a_connection_goes_on_at_the_host_that_it_was_made_for(bench_on_both: Bench, type: AuthenticationType) -> None:
    bench = bench_on_both
    await bench.create()
    await bench.register_app()
    connection = await bench.connect(type)
    await bench.move_to_evil()

    await bench.here.tick(after=HOUR)
    await bench.patchbay.connections.verify(bench.ada, connection.id)
    fates = await bench.patchbay.migrating.migrate(bench.ada, "acme", [connection.id])
    await bench.patchbay.connections.delete(bench.ada, connection.id)

    assert sum(fates.counts.values()) == 1
    assert bench.evil.asked == []
    assert len(bench.acme.asked) >= 2


@pytest.mark.parametrize("type", [AuthenticationType.PERSONAL_ACCESS_TOKEN, MACHINE])
async def test_to_reconnect_without_giving_the_secret_again_is_refused(bench: Bench, type: AuthenticationType) -> None:
    await bench.create()
    connection = await bench.connect(type)
    await bench.move_to_evil()

    with pytest.raises(InvalidInput) as refused:
        await bench.reconnect(connection)

    secret = "client_secret" if type is MACHINE else "token"
    assert refused.value.fields == {f"fields.{secret}": "is required"}
    assert await bench.version_of(connection) == 1
    assert bench.evil.asked == []


async def test_whoever_gives_their_secret_again_means_the_new_host(bench: Bench) -> None:
    await bench.create()
    connection = await bench.connect()
    await bench.move_to_evil()

    await bench.reconnect(connection, fields={"token": Secret(TOKEN)})

    assert await bench.version_of(connection) == 2
    assert bench.evil.paths == ["/v1/me"]


async def test_what_is_typed_into_a_form_goes_to_no_host_that_the_form_did_not_show(bench_on_both: Bench) -> None:
    bench = bench_on_both
    shown = await bench.create()
    connection = await bench.connect(connector_version=shown.version)
    await bench.move_to_evil()

    with pytest.raises(Conflict) as refused:
        await bench.connect(connector_version=shown.version, name="Another")
    with pytest.raises(Conflict) as refused_again:
        await bench.reconnect(connection, fields={"token": Secret(TOKEN)}, connector_version=shown.version)

    assert refused.value.message == refused_again.value.message == "Acme was changed since its form was shown."
    assert await models.Connection.all().count() == 1
    assert await bench.version_of(connection) == 1
    assert bench.evil.asked == []


@pytest.mark.parametrize("target", ["token", "revoke", "path", "consent"])
async def test_the_operators_secret_waits_until_it_is_given_for_the_new_address(bench: Bench, target: str) -> None:
    await bench.create()
    app = await bench.register_app()
    connection = await bench.connect(CONSENT)
    changes = {
        "token": {"token_url": f"{bench.evil.url}/token"},
        "revoke": {"revoke_url": f"{bench.evil.url}/revoke"},
        "consent": {"authorize_url": f"{bench.evil.url}/authorize"},
        "path": {"token_url": f"{bench.acme.url}/attacker/token"},
    }
    await bench.update(oauth2=bench.acme.oauth2(**changes[target]))
    before = len(bench.acme.asked)

    offers = (await bench.patchbay.offers.of(bench.ada.user_id, ["acme"]))["acme"]
    for attempt in (bench.connect(CONSENT, name="New"), bench.reconnect(connection)):
        with pytest.raises(AuthenticationTypeUnavailable, match=GIVEN_FOR_ELSEWHERE):
            await attempt
    with pytest.raises(Conflict, match=GIVEN_FOR_ELSEWHERE):
        await bench.patchbay.app_upkeep.check(bench.ada, app.id)

    consent = next(offer for offer in offers if offer.type is CONSENT)
    assert consent.unavailable_reason == f"{GIVEN_FOR_ELSEWHERE} Look at the connector. If its addresses are right, give the app its " + (
        "secret again (rotateOAuthAppSecret)."
    )
    assert bench.evil.asked == []
    assert len(bench.acme.asked) == before


async def test_an_app_whose_secret_is_given_again_signs_in_at_both(bench_on_both: Bench) -> None:
    bench = bench_on_both
    await bench.create()
    app = await bench.register_app()
    connection = await bench.connect(CONSENT)
    await bench.move_to_evil()

    await bench.patchbay.app_upkeep.rotate(bench.ada, NewSecret(app.id, Secret(CLIENT[1])))
    later = await bench.connect(CONSENT, name="New")
    asked = len(bench.evil.asked)
    await bench.here.tick(after=HOUR)

    assert later.connector_version == 2
    assert (await models.Connection.get(id=connection.id)).last_refreshed_at is not None
    assert len(bench.evil.asked) > asked


async def test_the_secret_before_is_not_tried_at_addresses_that_it_was_not_given_for(bench: Bench) -> None:
    await bench.create()
    app = await bench.patchbay.oauth_apps.register(
        bench.ada, connector_key="acme", client_id=CLIENT[0], client_secret=Secret("former-secret-canary-c0ffee")
    )
    kept = await bench.patchbay.app_upkeep.rotate(bench.ada, NewSecret(app.id, Secret(CLIENT[1])))
    await bench.move_to_evil()

    given = await bench.patchbay.app_upkeep.rotate(bench.ada, NewSecret(app.id, Secret(CLIENT[1])))

    assert kept.app.previous_secret is not None
    assert given.app.previous_secret is None
    assert (await models.OAuthApp.get(id=app.id)).previous_secret is None


async def test_an_app_tells_where_its_secret_goes(bench: Bench) -> None:
    await bench.create()

    app = await bench.register_app()

    assert app.endpoints == [f"{bench.acme.url}/authorize", f"{bench.acme.url}/revoke", f"{bench.acme.url}/token"]


async def test_another_client_id_takes_no_secret_anywhere(bench: Bench) -> None:
    await bench.create()
    app = await bench.register_app()
    await bench.move_to_evil()

    changed = await bench.patchbay.app_upkeep.update(bench.ada, AppChanges(app.id, client_id="another"))

    assert (changed.client_secret, bench.evil.asked) == (None, [])


async def test_the_secret_of_an_app_of_ones_own_or_of_a_policy_is_not_sent_to_another_host(bench: Bench) -> None:
    await bench.create()
    connection = await bench.connect(OWN_APP)
    await bench.patchbay.policies.set(bench.ada, PolicyWish("acme", app=PolicyApp(CLIENT[0], Secret(CLIENT[1]))))
    await bench.move_to_evil()

    with pytest.raises(AuthenticationTypeUnavailable, match=GIVEN_FOR_ELSEWHERE):
        await bench.connect(OWN_APP, name="Kept", own_app=None, oauth_app_id=connection.oauth_app_id)
    with pytest.raises(InvalidInput) as refused:
        await bench.connect(OWN_APP, name="By policy", own_app=None)
    with pytest.raises(InvalidInput) as again:
        await bench.reconnect(connection)
    asked = list(bench.evil.asked)
    await bench.patchbay.policies.set(bench.ada, PolicyWish("acme", app=PolicyApp(CLIENT[0], Secret(CLIENT[1]))))
    given_again = await bench.connect(OWN_APP, name="By policy", own_app=None)

    assert refused.value.fields == {"fields.client_id": "is required", "fields.client_secret": "is required"}
    assert again.value.fields == {"oauthApp": "must be given again, because other fields changed"}
    assert asked == []
    assert given_again.connector_version == 2


async def test_a_wider_pattern_is_another_address(bench: Bench) -> None:
    """The URL stays the same, and what may stand in it does not."""
    oauth2 = bench.acme.oauth2(grants=(CONSENT,), token_url="https://api.{host}.acme.example/token", revoke_url=None)
    await bench.create(fields=(FieldDefinition("host", "Host", pattern="a", example="a"),), oauth2=oauth2)
    app = await bench.register_app()

    updated = await bench.update(fields=(FieldDefinition("host", "Host", pattern="a|b", example="a"),), oauth2=oauth2)

    row = await models.OAuthApp.get(id=app.id)
    assert row.endpoints == [f"{bench.acme.url}/authorize", "https://api.{host}.acme.example/token where host = a"]
    assert set(updated.app_endpoints or ()) - set(row.endpoints) == {"https://api.{host}.acme.example/token where host = a|b"}
    with pytest.raises(AuthenticationTypeUnavailable, match=GIVEN_FOR_ELSEWHERE):
        await bench.connect(CONSENT, fields={"host": Secret("b")})


async def test_where_a_token_goes_in_a_call_may_change_as_long_as_it_goes_to_the_same_host(bench: Bench) -> None:
    await bench.create()
    connection = await bench.connect()
    await bench.update(base_url=f"{bench.acme.url}/v2", personal_access_token=PlacementDefinition(name="X-Token", format="{token}"))

    await bench.patchbay.migrating.migrate(bench.ada, "acme", None)
    await bench.patchbay.connections.verify(bench.ada, connection.id)

    assert bench.acme.paths == ["/v1/me", "/v2/me"]
    assert bench.evil.asked == []
