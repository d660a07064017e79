"""Connectors of one's own: made, used, changed in versions, and taken away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import models
from api.catalog.definition import FieldDefinition, PlacementDefinition, VerifyDefinition
from api.connections.consent import CallbackRefused
from api.connections.versions import Effect
from api.errors import Conflict, InvalidInput, NotFound, PermissionDenied, ProviderFailure
from api.organization.policy_wishes import PolicyWish
from api.secret import Secret
from models import AuthenticationType, AuthorizationStatus, OrganizationPermission, Permission
from tests.connections.own import CLIENT_FIELDS, CONSENT, MACHINE, Bench, bench_on
from tests.connections.vendor import TOKEN, Asked

pytestmark = pytest.mark.anyio

MANAGE = OrganizationPermission.MANAGE_CONNECTORS


@pytest.fixture
async def bench(database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_on(database_url, tmp_path) as bench:
        yield bench


@pytest.fixture
async def bench_on_sqlite(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_on(sqlite_url, tmp_path) as bench:
        yield bench


async def test_a_new_connector_is_offered_and_connects(bench: Bench) -> None:
    created = await bench.create()

    connection = await bench.connect()

    assert (created.key, created.version) == ("acme", 1)
    assert bench.patchbay.catalog.find("acme") == created
    assert await bench.patchbay.installed.among(["acme"]) == {"acme"}
    assert (connection.status, connection.account, connection.connector_version) == ("CONNECTED", "alex@acme.example", 1)
    assert bench.acme.paths == ["/v1/me"]


async def test_a_new_connector_is_offered_where_few_are_installed(sqlite_url: str, tmp_path: Path) -> None:
    async with bench_on(sqlite_url, tmp_path, PATCHBAY_INSTALLED_CONNECTORS="github") as bench:
        await bench.create()

        assert await bench.patchbay.installed.all() == {"acme", "github"}


@pytest.mark.parametrize("type", [CONSENT, AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP, MACHINE])
async def test_each_grant_connects_and_is_ended_at_the_provider(bench_on_sqlite: Bench, type: AuthenticationType) -> None:
    bench = bench_on_sqlite
    await bench.create()
    await bench.register_app()

    connection = await bench.connect(type)
    await bench.patchbay.connections.verify(bench.ada, connection.id)
    deleted = await bench.patchbay.connections.delete(bench.ada, connection.id)

    assert (connection.status, connection.account) == ("CONNECTED", "alex@acme.example")
    assert deleted.revoked_at_provider
    assert len(bench.acme.revoked) == 1


async def test_a_password_connects_as_the_client_that_was_typed(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite
    await bench.create(oauth2=bench.acme.oauth2(AuthenticationType.OAUTH2_PASSWORD))
    typed = {"username": Secret("alex"), "password": Secret("password-canary-90ae")}

    connection = await bench.connect(AuthenticationType.OAUTH2_PASSWORD, fields=CLIENT_FIELDS | typed)

    assert (connection.status, connection.account) == ("CONNECTED", "alex@acme.example")
    assert (bench.acme.asked[0].form["grant_type"], bench.acme.asked[0].form["username"]) == ("password", "alex")


async def test_a_signed_assertion_connects_without_a_client_secret(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite
    await bench.create(oauth2=bench.acme.oauth2(AuthenticationType.OAUTH2_JWT_BEARER))
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    typed = {"client_id": Secret("robot"), "subject": Secret("alex"), "private_key": Secret(pem)}

    connection = await bench.connect(AuthenticationType.OAUTH2_JWT_BEARER, fields=typed)

    (claims,) = bench.acme.claims
    assert (connection.status, connection.account) == ("CONNECTED", "alex@acme.example")
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("robot", "alex", f"{bench.acme.url}/token")


async def test_a_connection_keeps_its_version_and_new_ones_have_the_newest(bench: Bench) -> None:
    await bench.create()
    former = await bench.connect()

    updated = await bench.update(personal_access_token=PlacementDefinition(name="X-Token", format="{token}"))
    later = await bench.connect(name="Later")
    await bench.patchbay.connections.verify(bench.ada, former.id)

    assert updated.version == 2
    assert (await bench.version_of(former), await bench.version_of(later)) == (1, 2)
    assert ["x-token" in asked.headers for asked in bench.acme.asked] == [False, True, False]


async def test_the_same_definition_again_is_no_new_version(bench: Bench) -> None:
    await bench.create()

    again = await bench.update()

    assert again.version == 1
    assert await models.ConnectorVersion.all().count() == 1


async def test_preview_says_what_would_change_and_for_whom_and_changes_nothing(bench: Bench) -> None:
    await bench.create()
    await bench.register_app()
    await bench.connect(name="By token")
    await bench.connect(CONSENT, name="By consent")
    await bench.connect(MACHINE, name="Machine")
    definition = bench.acme.definition(
        personal_access_token=PlacementDefinition(name="X-Token", format="{token}"),
        oauth2=bench.acme.oauth2(grants=(CONSENT,), token_url=f"{bench.evil.url}/token"),
    )

    preview = await bench.patchbay.migrating.preview(bench.ada, definition)

    assert [(change.field, change.before, change.after) for change in preview.changes] == [
        ("oauth2.grants", "OAUTH2_AUTHORIZATION_CODE, OAUTH2_BRING_YOUR_OWN_APP, OAUTH2_CLIENT_CREDENTIALS", "OAUTH2_AUTHORIZATION_CODE"),
        ("oauth2.tokenUrl", f"{bench.acme.url}/token", f"{bench.evil.url}/token"),
        ("personalAccessToken.name", "Authorization", "X-Token"),
        ("personalAccessToken.format", "Bearer {token}", "{token}"),
    ]
    assert [(fate.connection.name, fate.effect, fate.reason) for fate in preview.fates.seen] == [
        ("By consent", Effect.MUST_RECONNECT, f"Its credential would go to other addresses: {bench.evil.url}/token."),
        ("By token", Effect.MIGRATES, None),
        ("Machine", Effect.STAYS, "OAUTH2_CLIENT_CREDENTIALS is not offered any more."),
    ]
    assert (preview.version, preview.apps_to_give_again) == (1, 1)
    assert await models.ConnectorVersion.all().count() == 1
    found = bench.patchbay.catalog.find("acme")
    assert found is not None
    assert found.version == 1


async def test_migrating_moves_what_can_be_moved_and_leaves_the_rest(bench: Bench) -> None:
    await bench.create()
    by_token, machine = await bench.connect(name="By token"), await bench.connect(MACHINE, name="Machine")
    await bench.update(
        personal_access_token=PlacementDefinition(name="X-Token", format="{token}"),
        oauth2=bench.acme.oauth2(token_url=f"{bench.evil.url}/token"),
    )

    fates = await bench.patchbay.migrating.migrate(bench.ada, "acme", None)
    await bench.patchbay.connections.verify(bench.ada, by_token.id)

    assert dict(fates.counts) == {Effect.MIGRATES: 1, Effect.MUST_RECONNECT: 1}
    assert (await bench.version_of(by_token), await bench.version_of(machine)) == (2, 1)
    assert bench.acme.asked[-1].headers["x-token"] == TOKEN
    again = await bench.patchbay.migrating.migrate(bench.ada, "acme", [by_token.id, machine.id])
    assert dict(again.counts) == {Effect.MUST_RECONNECT: 1}


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (FieldDefinition("team", "Team"), "“Team” was not asked for."),
        (FieldDefinition("team", "Team", required=False), None),
        (FieldDefinition("region", "Region", pattern="[a-z]{2}", example="eu"), "“Region” has a value that is not taken any more."),
        (FieldDefinition("region", "Region", secret=True), "“Region” is kept secret in another way."),
        (FieldDefinition("region", "Area"), None),
    ],
)
async def test_what_a_connection_does_not_have_must_be_given_first(
    bench_on_sqlite: Bench, field: FieldDefinition, reason: str | None
) -> None:
    bench, region = bench_on_sqlite, FieldDefinition("region", "Region")
    await bench.create(fields=(region,), oauth2=None)
    await bench.connect(fields={"token": Secret(TOKEN), "region": Secret("europe")})
    fields = (field,) if field.name == "region" else (region, field)

    preview = await bench.patchbay.migrating.preview(bench.ada, bench.acme.definition(fields=fields, oauth2=None))

    assert [fate.reason for fate in preview.fates.seen] == [reason]


async def test_reconnecting_moves_to_the_newest_version(bench: Bench) -> None:
    await bench.create()
    connection = await bench.connect()
    await bench.update(verify=VerifyDefinition("/you", account="user.email"))

    await bench.reconnect(connection)

    assert await bench.version_of(connection) == 2
    assert bench.acme.paths == ["/v1/me", "/v1/you"]


async def test_a_connector_in_use_is_not_deleted(bench: Bench) -> None:
    await bench.create()
    await bench.connect()

    with pytest.raises(Conflict) as refused:
        await bench.patchbay.building.delete(bench.ada, "acme")

    assert refused.value.message == "1 connection uses Acme."
    assert bench.patchbay.catalog.find("acme") is not None
    assert await models.Connection.all().count() == 1
    assert await models.ConnectorVersion.alive().count() == 1


async def test_a_connector_is_deleted_with_all_that_hangs_upon_it_and_no_secret_stays(bench: Bench) -> None:
    await bench.create()
    await bench.register_app()
    await bench.connect(MACHINE, name="Machine")
    await bench.connect(CONSENT, name="By consent")
    begun = await bench.patchbay.connecting.connect(bench.ada, bench.request(CONSENT, name="Begun"))
    await bench.patchbay.policies.set(bench.ada, PolicyWish("acme", allowed_types=(CONSENT, MACHINE)))

    removed = await bench.patchbay.building.delete(bench.ada, "acme", with_connections=True)

    assert (removed.connections, removed.revoked, len(bench.acme.revoked)) == (2, 2, 2)
    assert bench.patchbay.catalog.find("acme") is None
    for kind in (models.Connection, models.Credential, models.ConnectorPolicy, models.ConnectorInstallation):
        assert await kind.all().count() == 0
    assert await models.OAuthApp.filter(connector_key="acme").count() == 0
    ended = await models.Authorization.get(id=begun.id)
    assert (ended.status, ended.secrets, ended.state_hash) == (AuthorizationStatus.FAILED, None, None)
    assert await models.Authorization.filter(secrets__not_isnull=True).count() == 0
    assert ended.reason is not None
    assert ended.reason.message == "The connector Acme was deleted."


async def test_a_number_is_never_given_twice(bench: Bench) -> None:
    await bench.create()
    await bench.update(name="Acme 2")
    await bench.patchbay.building.delete(bench.ada, "acme")

    again = await bench.create()

    assert again.version == 3
    assert bench.patchbay.catalog.find_version("acme", 1) is None


async def test_what_was_begun_with_one_version_ends_with_it(bench: Bench) -> None:
    await bench.create()
    await bench.register_app()
    begun = await bench.patchbay.connecting.connect(bench.ada, bench.request(CONSENT))
    assert isinstance(begun, models.Authorization)
    await bench.move_to_evil()

    connection = await bench.come_back(begun)

    assert connection.connector_version == 1
    assert bench.evil.asked == []


async def test_an_answer_for_one_connector_is_not_taken_at_the_callback_of_another(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite
    await bench.create()
    await bench.create(key="acme-2", name="Acme 2")
    await bench.register_app()
    begun = await bench.patchbay.connecting.connect(bench.ada, bench.request(CONSENT))
    assert isinstance(begun, models.Authorization)

    with pytest.raises(CallbackRefused):
        await bench.answer(begun, key="acme-2")

    assert bench.acme.asked == []
    assert await models.Connection.all().count() == 0


@asynccontextmanager
async def held_up(bench: Bench) -> AsyncIterator[asyncio.Task[models.Connection]]:
    """Somebody who connects, and whose provider does not answer for as long as this lasts."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: Asked) -> None:
        arrived.set()
        await go_on.wait()

    bench.acme.before = wait
    connecting = asyncio.create_task(bench.connect())
    await arrived.wait()
    bench.acme.before = None
    yield connecting
    go_on.set()


async def test_an_update_while_somebody_connects_leaves_them_the_version_they_began_with(bench: Bench) -> None:
    await bench.create()

    async with held_up(bench) as connecting:
        await bench.update(name="Acme 2")
    connection = await connecting

    assert (connection.status, connection.connector_version) == ("CONNECTED", 1)


async def test_a_connector_that_is_deleted_while_somebody_connects_leaves_nothing(bench: Bench) -> None:
    await bench.create()

    async with held_up(bench) as connecting:
        await bench.patchbay.building.delete(bench.ada, "acme")
    with pytest.raises(NotFound):
        await connecting

    assert await models.Connection.all().count() == 0
    assert await models.Credential.all().count() == 0


async def test_two_updates_at_once_are_two_versions(bench: Bench) -> None:
    await bench.create()

    both = await asyncio.gather(bench.update(name="One"), bench.update(name="Two"))

    assert sorted(connector.version or 0 for connector in both) == [2, 3]
    assert await models.ConnectorVersion.all().count() == 3


async def test_an_app_that_is_registered_while_its_connector_is_deleted_does_not_stay(bench: Bench) -> None:
    await bench.create()

    await asyncio.gather(bench.register_app(), bench.patchbay.building.delete(bench.ada, "acme"), return_exceptions=True)

    assert await models.OAuthApp.filter(connector_key="acme").count() == 0
    assert bench.patchbay.catalog.find("acme") is None


async def test_two_who_take_one_key_at_once_do_not_both_get_it(bench: Bench) -> None:
    both = await asyncio.gather(bench.create(), bench.create(name="Other"), return_exceptions=True)

    assert sorted(type(each).__name__ for each in both) == ["Conflict", "Connector"]
    assert await models.ConnectorVersion.all().count() == 1


async def test_a_key_that_is_taken_is_refused(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite
    await bench.create()

    for key, message in (
        ("github", "A connector with the key “github” comes with this installation."),
        ("acme", "There is a connector with the key “acme” already."),
    ):
        with pytest.raises(Conflict) as refused:
            await bench.create(key=key)
        assert refused.value.message == message
    assert await models.ConnectorVersion.all().count() == 1


async def test_what_an_earlier_connector_left_does_not_become_that_of_a_new_one(bench_on_sqlite: Bench) -> None:
    """A connection or an app of a file that is gone would else send its secret wherever the new connector says."""
    bench = bench_on_sqlite
    await bench.patchbay.oauth_apps.add(
        connector_key="acme", name="Left", client_id="left", client_secret=Secret("left-secret-canary-77"), scopes=[]
    )

    with pytest.raises(Conflict, match="Something of an earlier connector “acme” is still there"):
        await bench.create()

    assert await models.ConnectorVersion.all().count() == 0


async def test_a_file_is_neither_changed_nor_deleted(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite

    with pytest.raises(Conflict, match="comes with this installation"):
        await bench.update(key="github")
    with pytest.raises(Conflict, match="comes with this installation"):
        await bench.patchbay.building.delete(bench.ada, "github")
    with pytest.raises(NotFound):
        await bench.update(key="nothing")
    with pytest.raises(NotFound):
        await bench.patchbay.building.delete(bench.ada, "\x00")

    assert bench.patchbay.catalog.find("github") is not None


async def test_mistakes_are_told_and_nothing_is_made(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite

    with pytest.raises(InvalidInput) as refused:
        await bench.create(base_url="https://10.0.0.1", personal_access_token=PlacementDefinition(format="x"))

    assert refused.value.fields == {"baseUrl": "its address is not public", "personalAccessToken.format": "must have {token} in it"}
    assert await models.ConnectorVersion.all().count() == 0


async def test_who_has_not_the_permission_is_refused_everything(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite
    await bench.create()
    eve = await bench.here.add_person("Eve")
    building, migrating, definition = bench.patchbay.building, bench.patchbay.migrating, bench.acme.definition(name="Evil")

    for attempt in (
        building.create(eve, replace(definition, key="other")),
        building.update(eve, definition),
        building.delete(eve, "acme"),
        migrating.preview(eve, definition),
        migrating.migrate(eve, "acme", None),
    ):
        with pytest.raises(PermissionDenied, match="This needs MANAGE_CONNECTORS"):
            await attempt

    assert await building.export(eve, "acme") is None
    assert [row.version for row in await models.ConnectorVersion.alive()] == [1]
    refused = await models.AuditEntry.filter(actor_id=eve.user_id, outcome="REFUSED").values_list("action", flat=True)
    assert sorted(str(action) for action in refused) == ["connector.create", "connector.delete", "connector.migrate", "connector.update"]


async def test_the_permission_is_given_and_taken_away_at_once(bench: Bench) -> None:
    eve = await bench.here.add_person("Eve")
    permissions = bench.patchbay.organization_permissions

    await permissions.set(bench.ada, eve.user_id, MANAGE)
    created = await bench.patchbay.building.create(eve, bench.acme.definition())
    await permissions.set(bench.ada, eve.user_id, OrganizationPermission(0))

    assert created.version == 1
    with pytest.raises(PermissionDenied):
        await bench.patchbay.building.update(eve, bench.acme.definition(name="Evil"))
    with pytest.raises(PermissionDenied):
        await permissions.set(eve, eve.user_id, MANAGE)


async def test_a_limited_token_has_the_permission_only_where_it_says_so(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite
    people = bench.patchbay.people
    plain = await people.create_token(bench.ada, name="Limited", permissions=Permission.every())
    special = await people.create_token(bench.ada, name="Builder", permissions=Permission.VIEW, organization=MANAGE)
    limited, builder = await people.actor_of_token(plain.token), await people.actor_of_token(special.token)
    assert limited is not None
    assert builder is not None

    with pytest.raises(PermissionDenied):
        await bench.patchbay.building.create(limited, bench.acme.definition())
    created = await bench.patchbay.building.create(builder, bench.acme.definition())

    assert created.version == 1


async def test_a_token_that_says_so_has_no_more_than_its_owner(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite
    eve = await bench.here.add_person("Eve")
    new = await bench.patchbay.people.create_token(eve, name="Builder", permissions=Permission.VIEW, organization=MANAGE)
    builder = await bench.patchbay.people.actor_of_token(new.token)
    assert builder is not None

    with pytest.raises(PermissionDenied):
        await bench.patchbay.building.create(builder, bench.acme.definition())


async def test_others_connections_are_deleted_with_it_by_an_administrator_alone(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite
    await bench.create()
    await bench.connect()
    eve = await bench.here.add_person("Eve")
    await bench.patchbay.organization_permissions.set(bench.ada, eve.user_id, MANAGE)

    with pytest.raises(PermissionDenied, match="not yours to delete"):
        await bench.patchbay.building.delete(eve, "acme", with_connections=True)

    assert await models.Connection.all().count() == 1
    assert bench.acme.revoked == []


async def test_a_connection_that_is_not_seen_is_neither_named_nor_moved_by_name(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite
    await bench.create()
    connection = await bench.connect()
    eve = await bench.here.add_person("Eve")
    await bench.patchbay.organization_permissions.set(bench.ada, eve.user_id, MANAGE)
    await bench.update(name="Acme 2")

    with pytest.raises(NotFound):
        await bench.patchbay.migrating.migrate(eve, "acme", [connection.id])
    version = await bench.version_of(connection)
    fates = await bench.patchbay.migrating.migrate(eve, "acme", None)

    assert version == 1
    assert (fates.seen, dict(fates.counts)) == ((), {Effect.MIGRATES: 1})
    assert await bench.version_of(connection) == 2


async def test_a_version_that_cannot_be_read_is_told_and_stops_nobody_else(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.create()
    connection = await bench.connect()
    await bench.create(key="other", name="Other")
    row = await models.ConnectorVersion.get(connector_key="acme")
    await models.ConnectorVersion.filter(id=row.id).delete()
    await models.ConnectorVersion.create(
        connector_key="acme", version=1, document={"name": 5}, definition=row.definition, created_at=row.created_at
    )

    await bench.patchbay.own_connectors.read()

    assert "connector not understood" in caplog.text
    assert bench.patchbay.catalog.find("other") is not None
    with pytest.raises(ProviderFailure, match="The connector “acme” is not in this installation"):
        await bench.patchbay.connections.verify(bench.ada, connection.id)
