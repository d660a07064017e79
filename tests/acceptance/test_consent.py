"""A consent becomes a connection, which then lives by itself for as long as the provider lets it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.following import following
from tests.acceptance.servers import Installation, Person, Provider

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


async def test_a_consent_becomes_a_connection(kim: Person, provider: Provider) -> None:
    authorization = await kim.api.connect("oidc", "OAUTH2_AUTHORIZATION_CODE", name="Work")

    page = await kim.consent(authorization["url"])

    assert "OIDC is connected" in page.text
    assert kim.account in page.text
    ended = await kim.api.authorization(authorization["id"])
    assert (ended["status"], ended["reason"]) == ("SUCCEEDED", None)
    [connection] = await kim.api.connections()
    assert connection["id"] == ended["connection"]["id"]
    shown = {name: connection[name] for name in ("name", "status", "statusReason", "account", "scopes", "isDefault")}
    assert shown == {
        "name": "Work",
        "status": "CONNECTED",
        "statusReason": None,
        "account": kim.account,
        "scopes": ["api:read", "api:write"],
        "isDefault": True,
    }
    assert (await provider.requests(account=kim.account))[:1] == [
        {"grant": "authorization_code", "client": "web", "account": kim.account, "error": None}
    ]


async def test_a_connection_is_renewed_ends_with_its_grant_and_is_mended_by_reconnecting(
    kim: Person, provider: Provider, tmp_path: Path
) -> None:
    connection = await kim.connect(name="Work")
    id = connection["id"]
    async with following("graphql-ws", kim.api, tmp_path, after=await kim.api.cursor(id)) as follower:
        # The token rotates by itself, and nobody is told.
        expiries = [connection["expiresAt"]]
        for _ in range(3):
            connection = await kim.refreshed(id, after=connection["lastRefreshedAt"])
            expiries.append(connection["expiresAt"])
        assert expiries == sorted(set(expiries))
        assert len(await provider.requests(account=kim.account, grant="refresh_token", error=None)) >= 3
        assert follower.events == []

        # The grant is withdrawn at the provider.
        await provider.withdraw(kim.account)
        [ended] = await follower.first(1)
        assert {name: ended[name] for name in ended if name != "cursor"} == {
            "type": "STATUS_CHANGED",
            "connectionId": id,
            "previousStatus": "CONNECTED",
            "status": "ACTION_REQUIRED",
            "reason": {"code": "REAUTHENTICATION_REQUIRED", "fixableBy": "CONNECTION_OWNER"},
        }
        dead = await kim.api.connection(id)
        assert (dead["status"], dead["statusReason"]["providerError"], dead["nextRefreshAt"]) == ("ACTION_REQUIRED", "invalid_grant", None)

        # A new consent mends the same connection.
        authorization = await kim.api.reconnect(id)
        assert "OIDC is connected" in (await kim.consent(authorization["url"])).text
        [_, mended] = await follower.first(2)
        assert (mended["type"], mended["connectionId"], mended["status"], mended["reason"]) == ("RECONNECTED", id, "CONNECTED", None)
        [again] = await kim.api.connections()
        assert (again["id"], again["name"], again["isDefault"], again["statusReason"]) == (id, "Work", True, None)
        await kim.refreshed(id, after=again["lastRefreshedAt"])
        assert len(follower.events) == 2


async def test_reconnecting_with_another_account_is_refused_and_changes_nothing(
    installation: Installation, kim: Person, lee: Person
) -> None:
    connection = await kim.connect()

    authorization = await kim.api.reconnect(connection["id"])
    async with installation.browser(kim.api.token) as browser:
        page = await replace(kim, browser=browser, account=lee.account).consent(authorization["url"])

    assert "OIDC could not be connected" in page.text
    assert (await kim.api.authorization(authorization["id"]))["reason"]["code"] == "ACCOUNT_MISMATCH"
    [after] = await kim.api.connections()
    assert (after["account"], after["status"]) == (kim.account, "CONNECTED")
    await kim.refreshed(connection["id"], after=after["lastRefreshedAt"])


async def test_a_scope_that_is_not_mandatory_and_not_granted_is_only_noted(kim: Person) -> None:
    connection = await kim.connect(scopes=["api:read", "api:write", "api:delete"])

    assert (connection["status"], connection["scopes"]) == ("CONNECTED", ["api:read", "api:write"])
    assert connection["missingScopes"] == ["api:delete"]
    renewed = await kim.refreshed(connection["id"], after=None)
    assert renewed["missingScopes"] == ["api:delete"]


async def test_deleting_a_connection_ends_its_grant_at_the_provider(kim: Person, provider: Provider) -> None:
    connection = await kim.connect()
    assert await provider.living_grants(kim.account) == 1

    deleted = await kim.api.delete(connection["id"])

    assert (deleted["revokedAtProvider"], deleted["wasDefault"]) == (True, True)
    assert await provider.living_grants(kim.account) == 0
    assert await kim.api.connections() == []


async def test_an_app_of_ones_own_with_odd_characters_connects_and_is_renewed(kim: Person, provider: Provider) -> None:
    app = {"clientId": "odd:id", "clientSecret": "p+s%41 w:rd/=&"}

    connection = await kim.connect("OAUTH2_BRING_YOUR_OWN_APP", oauthApp=app)

    assert (connection["oauthApp"]["clientId"], connection["oauthApp"]["origin"]) == ("odd:id", "CONNECTION")
    await kim.refreshed(connection["id"], after=None)
    assert (await provider.requests(account=kim.account))[:2] == [
        {"grant": "authorization_code", "client": "odd:id", "account": kim.account, "error": None},
        {"grant": "refresh_token", "client": "odd:id", "account": kim.account, "error": None},
    ]


async def test_client_credentials_connect_without_a_person_and_are_renewed(kim: Person, provider: Provider) -> None:
    before = len(await provider.requests(client="machine", error=None))
    fields = [{"name": "client_id", "value": "machine"}, {"name": "client_secret", "value": "machine-secret-canary"}]

    connection = await kim.api.connect("oidc", "OAUTH2_CLIENT_CREDENTIALS", fields=fields)

    assert (connection["status"], connection["account"], connection["scopes"]) == ("CONNECTED", "machine", ["api:read"])
    await kim.refreshed(connection["id"], after=None)
    requests = await provider.requests(client="machine", error=None)
    assert [request["grant"] for request in requests[before:][:2]] == ["client_credentials", "client_credentials"]


async def test_the_callback_to_register_is_the_one_that_is_used(kim: Person, installation: Installation) -> None:
    shown = await kim.api.ask('{ connector(key: "oidc") { authenticationOptions { type available redirectUri } } }')

    callback = installation.callback
    assert shown["connector"]["authenticationOptions"] == [
        {"type": "OAUTH2_AUTHORIZATION_CODE", "available": True, "redirectUri": callback},
        {"type": "OAUTH2_BRING_YOUR_OWN_APP", "available": True, "redirectUri": callback},
        {"type": "OAUTH2_CLIENT_CREDENTIALS", "available": True, "redirectUri": None},
    ]


async def test_no_secret_is_written_down_in_the_clear(installation: Installation, kim: Person) -> None:
    connection = await kim.connect("OAUTH2_BRING_YOUR_OWN_APP", oauthApp={"clientId": "web", "clientSecret": "web-secret-canary"})
    await kim.refreshed(connection["id"], after=None)

    secrets = [b"web-secret-canary", kim.api.token.encode()]
    logs = [file.read_bytes() for file in installation.folder.glob("patchbay-*")]
    data = [file.read_bytes() for file in (installation.folder / "data").rglob("*") if file.is_file()]

    assert any(b"token refreshed" in text for text in logs)
    assert any(kim.account.encode() in text for text in data)
    assert not any(secret in text for secret in secrets for text in [*logs, *data])
