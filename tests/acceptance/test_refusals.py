"""Consents that must not become connections: each is refused where it is wrong, and leaves nothing behind."""

from typing import Any

import pytest

from tests.acceptance.asking import Refused
from tests.acceptance.servers import Installation, Person, Provider

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(40)]

OWN_APP = "OAUTH2_BRING_YOUR_OWN_APP"


async def begin(person: Person, client_id: str = "web", client_secret: str | None = None) -> dict[str, Any]:
    """A consent that waits for this person, with an app of their own."""
    app = {"clientId": client_id, "clientSecret": client_secret or f"{client_id}-secret-canary"}
    return await person.api.connect("oidc", OWN_APP, oauthApp=app)


async def kept(person: Person) -> tuple[int, int]:
    """How many connections and how many apps of this person's are kept."""
    found = await person.api.ask("{ connections { totalCount } oauthApps { totalCount } }")
    return found["connections"]["totalCount"], found["oauthApps"]["totalCount"]


async def outcome(person: Person, authorization: dict[str, Any]) -> tuple[str, str | None]:
    """How far a consent is, and the code of the reason why it did not succeed."""
    found = await person.api.authorization(authorization["id"])
    return found["status"], found["reason"] and found["reason"]["code"]


async def test_a_wrong_client_secret_is_told_and_nothing_is_made(kim: Person, provider: Provider) -> None:
    authorization = await begin(kim, client_secret="wrong")

    page = await kim.consent(authorization["url"])

    assert "OIDC could not be connected" in page.text
    assert "does not accept the OAuth app" in page.text
    assert await outcome(kim, authorization) == ("FAILED", "INVALID_CLIENT")
    assert await kept(kim) == (0, 0)
    assert await provider.requests(account=kim.account) == []
    assert len(await provider.requests(grant="authorization_code", error="invalid_client")) == 1


async def test_a_wrong_secret_of_a_machine_is_told_at_once_and_nothing_is_made(kim: Person) -> None:
    fields = [{"name": "client_id", "value": "machine"}, {"name": "client_secret", "value": "wrong"}]

    with pytest.raises(Refused) as refused:
        await kim.api.connect("oidc", "OAUTH2_CLIENT_CREDENTIALS", fields=fields)

    assert (refused.value.type, refused.value.answer["reason"]["code"]) == ("ProviderError", "INVALID_CLIENT")
    assert await kept(kim) == (0, 0)


async def test_an_app_with_another_callback_url_stops_at_the_provider(kim: Person, provider: Provider) -> None:
    authorization = await begin(kim, "elsewhere")

    page = await kim.arrive(authorization["url"])

    assert page.url.startswith(f"{provider.url}/auth?")
    assert page.status == 400
    assert "invalid_redirect_uri" in page.text
    assert await outcome(kim, authorization) == ("PENDING", None)
    assert await kept(kim) == (0, 0)
    assert await provider.requests(client="elsewhere") == []


async def test_a_mandatory_scope_that_is_not_granted_is_named_and_the_grant_is_given_back(kim: Person, provider: Provider) -> None:
    authorization = await begin(kim, "reader")

    page = await kim.consent(authorization["url"])

    assert "OIDC did not grant what this connection needs: api:write." in page.text
    assert await outcome(kim, authorization) == ("FAILED", "INSUFFICIENT_SCOPES")
    assert await kept(kim) == (0, 0)
    [exchange] = await provider.requests(client="reader")
    assert (exchange["account"], exchange["error"]) == (kim.account, None)
    assert await provider.living_grants(kim.account) == 0


async def test_a_denied_consent_says_so_and_nothing_is_made(kim: Person, provider: Provider) -> None:
    authorization = await begin(kim)

    asking = await kim.arrive(authorization["url"])
    [cancel] = [link for link in asking.links if link.endswith("/abort")]
    page = await kim.browser.open(cancel)

    assert "You did not allow the connection" in page.text
    assert await outcome(kim, authorization) == ("DENIED", "ACCESS_DENIED")
    assert await kept(kim) == (0, 0)
    assert await provider.requests(account=kim.account) == []


async def test_the_same_answer_a_second_time_is_refused_and_changes_nothing(
    installation: Installation, kim: Person, provider: Provider
) -> None:
    authorization = await begin(kim)
    answer = await kim.consent(authorization["url"], stop_before=installation.callback)
    first = await kim.browser.open(answer.url)
    assert "OIDC is connected" in first.text
    [connection] = await kim.api.connections()
    cursor = await kim.api.cursor(connection["id"])

    second = await kim.browser.open(answer.url)

    assert (second.status, "not an answer that Patchbay is waiting for" in second.text) == (400, True)
    assert await outcome(kim, authorization) == ("SUCCEEDED", None)
    assert await kept(kim) == (1, 1)
    assert await kim.api.cursor(connection["id"]) == cursor
    # The code was not sent a second time: at that the provider would end the grant.
    assert len(await provider.requests(account=kim.account, grant="authorization_code")) == 1
    assert await provider.living_grants(kim.account) == 1


async def test_another_browser_of_the_same_person_cannot_bring_the_answer(installation: Installation, kim: Person) -> None:
    authorization = await begin(kim)
    answer = await kim.consent(authorization["url"], stop_before=installation.callback)

    async with installation.browser(kim.api.token) as other:
        refused = await other.open(answer.url)

    assert (refused.status, "not an answer that Patchbay is waiting for" in refused.text) == (400, True)
    assert await outcome(kim, authorization) == ("PENDING", None)
    assert await kept(kim) == (0, 0)
    # The answer is not used up: the browser that departed still brings it.
    assert "OIDC is connected" in (await kim.browser.open(answer.url)).text


async def test_another_person_cannot_bring_the_answer(installation: Installation, kim: Person, lee: Person, provider: Provider) -> None:
    authorization = await begin(kim)
    answer = await kim.consent(authorization["url"], stop_before=installation.callback)

    refused = await lee.browser.open(answer.url)

    assert (refused.status, "not an answer that Patchbay is waiting for" in refused.text) == (400, True)
    assert await outcome(kim, authorization) == ("PENDING", None)
    assert (await kept(kim), await kept(lee)) == ((0, 0), (0, 0))
    assert await provider.requests(account=kim.account) == []


async def test_another_person_who_signs_in_meanwhile_in_the_same_browser_cannot_bring_the_answer(
    installation: Installation, kim: Person, lee: Person, provider: Provider
) -> None:
    authorization = await begin(kim)
    answer = await kim.consent(authorization["url"], stop_before=installation.callback)
    await kim.browser.open(f"{installation.url}/sign-in")
    await kim.browser.submit(token=lee.api.token)

    refused = await kim.browser.open(answer.url)

    assert (refused.status, "Kim began this connection" in refused.text) == (403, True)
    assert await outcome(kim, authorization) == ("PENDING", None)
    assert (await kept(kim), await kept(lee)) == ((0, 0), (0, 0))
    assert await provider.requests(account=kim.account) == []


async def test_another_person_cannot_set_out_with_the_address_of_a_consent(kim: Person, lee: Person) -> None:
    authorization = await begin(kim)

    page = await lee.browser.open(authorization["url"])

    assert (page.url, page.status) == (authorization["url"], 403)
    assert "Kim began this connection" in page.text
    assert await lee.api.ask("query($id: ID!) { authorization(id: $id) { id } }", id=authorization["id"]) == {"authorization": None}
    assert await outcome(kim, authorization) == ("PENDING", None)
    assert (await kept(kim), await kept(lee)) == ((0, 0), (0, 0))


async def test_a_browser_that_is_not_signed_in_must_sign_in_before_it_sets_out(installation: Installation, kim: Person) -> None:
    authorization = await begin(kim)

    async with installation.browser() as browser:
        page = await browser.open(authorization["url"])
        assert (page.path, page.status) == ("/sign-in", 200)
        assert await outcome(kim, authorization) == ("PENDING", None)
        assert await kept(kim) == (0, 0)

        # Signed in, it goes on from where it was.
        onward = await browser.submit(token=kim.api.token)
        assert any(authorization["url"].endswith(link) for link in onward.links)
