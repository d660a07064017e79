"""Connections without a consent: tokens, keys, and clients that sign in for themselves."""

import asyncio
from datetime import timedelta

import pytest

import models
from api.connections.requests import OwnApp
from api.errors import AuthenticationTypeUnavailable, InvalidInput, NameTaken, NotFound, PermissionDenied, ProviderFailure
from api.secret import Secret
from models import AuthenticationType, ConnectionStatus, Fixer, Permission, StatusReasonCode
from tests.installation import Installation

pytestmark = pytest.mark.anyio

CLIENT_CREDENTIALS = AuthenticationType.OAUTH2_CLIENT_CREDENTIALS


def client(here: Installation) -> dict[str, Secret]:
    return {"client_id": Secret(here.sandbox.client_id), "client_secret": here.sandbox.client_secret}


async def assert_nothing_kept() -> None:
    assert await models.Connection.all().count() == 0
    assert await models.Credential.all().count() == 0
    assert await models.ConnectionEvent.all().count() == 0


async def test_a_token_needs_no_renewal_and_is_verified_instead(here: Installation) -> None:
    connection = await here.connect_with_token()

    assert (connection.renewable, connection.expires_at, connection.scopes) == (False, None, [])
    assert connection.due_at is not None and connection.due_at > here.clock.now
    await here.tick(after=timedelta(days=1))
    found = await models.Connection.get(id=connection.id)
    assert (found.status, found.last_verified_at, found.last_refreshed_at) == (ConnectionStatus.CONNECTED, here.clock.now, None)


async def test_a_client_signs_in_for_itself_and_is_renewed(here: Installation) -> None:
    connection = await here.connect_with_token(authentication_type=CLIENT_CREDENTIALS, fields=client(here))
    first = await models.Credential.get(connection_id=connection.id)

    await here.tick(after=timedelta(seconds=55))

    found = await models.Connection.get(id=connection.id)
    second = await models.Credential.get(connection_id=connection.id)
    assert (found.status, found.last_refreshed_at) == (ConnectionStatus.CONNECTED, here.clock.now)
    assert found.expires_at == here.clock.now + timedelta(seconds=60)
    assert (found.scopes, found.site) == (["read", "write"], {"client_id": here.sandbox.client_id})
    assert second.generation == first.generation + 1


async def test_a_client_with_a_wrong_secret_is_not_kept(here: Installation) -> None:
    fields = client(here) | {"client_secret": Secret("wrong")}

    with pytest.raises(ProviderFailure) as failure:
        await here.connect_with_token(authentication_type=CLIENT_CREDENTIALS, fields=fields)

    assert failure.value.reason.code is StatusReasonCode.INVALID_CLIENT
    assert "wrong" not in repr((failure.value.reason.provider_error, str(failure.value.__cause__)))
    await assert_nothing_kept()


async def test_every_mistake_is_told_at_once_by_its_field(here: Installation) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await here.connect_with_token(
            connector_key="http",
            name="\0",
            fields={"base_url": Secret("http://plain.example"), "colour": Secret("blue")},
            own_app=OwnApp("id"),
            return_url="https://evil.example/",
            idempotency_key=" ",
        )

    expected = {"name", "idempotencyKey", "returnUrl", "oauthApp", "fields.base_url", "fields.colour", "fields.token"}
    assert refusal.value.fields.keys() == expected
    assert "blue" not in refusal.value.message and "plain.example" not in refusal.value.message
    await assert_nothing_kept()


@pytest.mark.parametrize("token", ["", "a\0b", "a\x1bb", "x" * 20_000, "\ud800"])
async def test_a_token_that_cannot_be_one_is_not_sent(here: Installation, token: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await here.connect_with_token(fields={"token": Secret(token)})

    assert list(refusal.value.fields) == ["fields.token"]
    await assert_nothing_kept()


@pytest.mark.parametrize("token", ["a\nb", "a\r\nX-Injected: 1", "schlüssel", "\u202e", " "])
async def test_a_strange_token_is_never_kept_and_never_breaks(here: Installation, token: str) -> None:
    with pytest.raises((InvalidInput, ProviderFailure)):
        await here.connect_with_token(fields={"token": Secret(token)})

    await assert_nothing_kept()


async def test_a_return_url_is_no_longer_than_its_column(here: Installation) -> None:
    url = f"{here.patchbay.settings.public_url}/"
    longest = url + "a" * (2000 - len(url))

    with pytest.raises(InvalidInput) as refusal:
        await here.begin(return_url=f"{longest}a")

    assert list(refusal.value.fields) == ["returnUrl"]
    assert await models.Authorization.all().count() == 0
    assert (await here.begin(return_url=longest)).return_url == longest


async def test_an_option_that_the_connector_has_not_is_unavailable(here: Installation) -> None:
    with pytest.raises(AuthenticationTypeUnavailable):
        await here.connect_with_token(authentication_type=AuthenticationType.AWS_ACCESS_KEY)
    with pytest.raises(NotFound):
        await here.connect_with_token(connector_key="no-such-connector")

    await assert_nothing_kept()


async def test_names_are_made_where_none_is_given(here: Installation) -> None:
    made = [await here.connect_with_token() for _ in range(3)]

    assert [connection.name for connection in made] == ["Sandbox", "Sandbox 2", "Sandbox 3"]
    assert [connection.is_default for connection in made] == [True, False, False]


async def test_the_number_of_a_made_name_is_the_first_free_one(here: Installation) -> None:
    await here.connect_with_token(name="SANDBOX")
    await here.connect_with_token(name="sandbox 3")

    made = [(await here.connect_with_token()).name for _ in range(2)]

    assert made == ["Sandbox 2", "Sandbox 4"]


@pytest.mark.parametrize("name", ["Straße", "STRASSE", " strasse ", "ｓｔｒａｓｓｅ"])
async def test_a_name_is_taken_whatever_its_case(here: Installation, name: str) -> None:
    first = await here.connect_with_token(name="Straße")

    with pytest.raises(NameTaken):
        await here.connect_with_token(name=name)

    assert [(row.id, row.name) for row in await models.Connection.all()] == [(first.id, "Straße")]


async def test_a_name_is_free_in_another_folder_and_for_another_connector(here: Installation) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    site = {"base_url": Secret(here.sandbox.issuer), "verify_path": Secret("/api/me"), "token": here.personal_token()}
    await here.connect_with_token(name="Main")

    elsewhere = await here.connect_with_token(name="Main", folder_id=folder.id)

    assert (elsewhere.name, elsewhere.is_default) == ("Main", True)
    # The address is plain http, so the other connector refuses it, and says nothing about the name.
    with pytest.raises(InvalidInput) as refusal:
        await here.connect_with_token(name="Main", connector_key="http", fields=site)
    assert list(refusal.value.fields) == ["fields.base_url"]


async def test_of_connections_made_at_once_one_is_the_default(here: Installation) -> None:
    made = await asyncio.gather(*(here.connect_with_token() for _ in range(5)))

    assert sorted(connection.name for connection in made) == ["Sandbox", "Sandbox 2", "Sandbox 3", "Sandbox 4", "Sandbox 5"]
    assert await models.Connection.filter(is_default=True).count() == 1
    assert await models.Credential.all().count() == 5
    assert await models.ConnectionEvent.all().count() == 5


async def test_of_connections_with_one_name_made_at_once_one_has_it(here: Installation) -> None:
    ends = await asyncio.gather(*(here.connect_with_token(name="Main") for _ in range(5)), return_exceptions=True)

    assert sum(isinstance(end, NameTaken) for end in ends) == 4
    assert [(row.name, row.is_default) for row in await models.Connection.all()] == [("Main", True)]
    assert await models.Credential.all().count() == 1


@pytest.mark.parametrize("base_url", ["https://10.0.0.1", "https://localhost", "https://169.254.169.254/latest", "https://0x7f000001"])
async def test_an_address_that_may_not_be_called_is_not_kept(here: Installation, base_url: str) -> None:
    with pytest.raises(ProviderFailure) as failure:
        await here.connect_with_token(connector_key="http", fields={"base_url": Secret(base_url), "token": Secret("hidden-token")})

    reason = failure.value.reason
    assert (reason.code, reason.fixable_by) == (StatusReasonCode.PROVIDER_UNREACHABLE, Fixer.CONNECTION_OWNER)
    assert "hidden-token" not in repr((failure.value, failure.value.__cause__, reason))
    await assert_nothing_kept()


@pytest.mark.parametrize("base_url", ["https://example.com:99999", "https://a..b", "https://-", "https://x.", "https://1.2.3"])
async def test_an_address_that_is_none_is_refused(here: Installation, base_url: str) -> None:
    with pytest.raises((InvalidInput, ProviderFailure)):
        await here.connect_with_token(connector_key="http", fields={"base_url": Secret(base_url), "token": Secret("hidden-token")})

    await assert_nothing_kept()


async def test_connecting_needs_create_in_the_folder(here: Installation) -> None:
    bob = await here.add_person("Bob")
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    connecting = here.patchbay.connecting
    with pytest.raises(NotFound):
        await connecting.connect(bob, here.token_request(folder_id=folder.id))
    everything_else = Permission.every() & ~Permission.CREATE
    await here.patchbay.folders.set_access(here.ada, folder.id, bob.user_id, everything_else)

    with pytest.raises(PermissionDenied):
        await connecting.connect(bob, here.token_request(folder_id=folder.id))

    await assert_nothing_kept()


async def test_an_administrator_connects_nothing_in_the_workspace_of_another(here: Installation) -> None:
    bob = await here.add_person("Bob")
    theirs = await models.Folder.get(owner_id=bob.user_id)

    with pytest.raises(NotFound):
        await here.connect_with_token(folder_id=theirs.id)

    await assert_nothing_kept()
