from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest

import models
from models import AuthorizationStatus
from tests.pages.hostile import HOSTILE, Elements
from tests.routes.site import Site

pytestmark = pytest.mark.anyio

CALLBACK = "/provisioning_/callback/sandbox"


async def _departed(site: Site, name: str = "Ada") -> tuple[httpx2.AsyncClient, models.Authorization, str]:
    """A browser that is at the provider, its consent, and the state that it took along."""
    ada = await site.person(name)
    browser = await site.signed_in(ada)
    authorization = await site.begin(ada)
    answer = await browser.get(f"/connect/{authorization.id}")
    return browser, authorization, parse_qs(urlsplit(answer.headers["location"]).query)["state"][0]


async def test_the_one_who_began_is_sent_on_with_a_cookie(site: Site) -> None:
    ada = await site.person("Ada")
    browser = await site.signed_in(ada)
    authorization = await site.begin(ada)

    answer = await browser.get(f"/connect/{authorization.id}")

    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{site.url}/sandbox/authorize?")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("patchbay-flow-")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")


async def test_who_is_not_signed_in_comes_back_after_signing_in(site: Site) -> None:
    authorization = await site.begin(await site.person("Ada"))

    answer = await site.browser().get(f"/connect/{authorization.id}")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=" + quote(f"/connect/{authorization.id}", safe="")
    assert "set-cookie" not in answer.headers


async def test_anyone_else_is_told_who_began_it_and_goes_nowhere(site: Site) -> None:
    authorization = await site.begin(await site.person("Ada"))
    bob = await site.signed_in(await site.person("Bob"))

    answer = await bob.get(f"/connect/{authorization.id}")

    assert answer.status_code == 403
    assert "Ada began this connection" in answer.text
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert (await models.Authorization.get(id=authorization.id)).state_hash is None


@pytest.mark.parametrize(("method", "headers"), [("HEAD", {}), ("GET", {"sec-purpose": "prefetch"})])
async def test_looking_ahead_departs_nowhere(site: Site, method: str, headers: dict[str, str]) -> None:
    ada = await site.person("Ada")
    browser = await site.signed_in(ada)
    authorization = await site.begin(ada)

    answer = await browser.request(method, f"/connect/{authorization.id}", headers=headers)

    assert (answer.status_code, "set-cookie" in answer.headers) == (204, False)
    assert (await models.Authorization.get(id=authorization.id)).state_hash is None


@pytest.mark.parametrize(("path", "status"), [("00000000-0000-0000-0000-000000000000", 404), ("nonsense", 404)])
async def test_a_link_to_nothing_is_not_found(site: Site, path: str, status: int) -> None:
    browser = await site.signed_in(await site.person("Ada"))

    assert (await browser.get(f"/connect/{path}")).status_code == status


async def test_a_consent_that_is_over_departs_no_more(site: Site) -> None:
    ada = await site.person("Ada")
    browser = await site.signed_in(ada)
    authorization = await site.begin(ada)
    await site.patchbay.connecting.cancel(ada, authorization.id)

    answer = await browser.get(f"/connect/{authorization.id}")

    assert (answer.status_code, "set-cookie" in answer.headers) == (409, False)


@pytest.mark.parametrize("repeated", ["code", "state", "iss", "error"])
async def test_a_repeated_parameter_is_refused_before_anything_happens(site: Site, repeated: str) -> None:
    browser, authorization, state = await _departed(site)

    query = {"code": "c", "state": state, "iss": f"{site.url}/sandbox"} | {repeated: "x"}
    answer = await browser.get(CALLBACK, params=[*query.items(), (repeated, "y")])

    assert answer.status_code == 400
    found = await models.Authorization.get(id=authorization.id)
    assert (found.status, found.state_hash is None) == (AuthorizationStatus.PENDING, False)


async def test_an_oversized_answer_is_refused_before_anything_happens(site: Site) -> None:
    browser, authorization, state = await _departed(site)

    answer = await browser.get(CALLBACK, params={"state": state, "error": "access_denied", "padding": "x" * 8192})

    assert answer.status_code == 400
    assert (await models.Authorization.get(id=authorization.id)).status is AuthorizationStatus.PENDING


@pytest.mark.parametrize("query", ["", "?state=unknown&code=c", "?code=c", "?state=%ff%00&code=%f0", "?=&=", "?state"])
async def test_an_answer_that_nobody_waits_for_is_refused(site: Site, query: str) -> None:
    browser, authorization, _ = await _departed(site)

    answer = await browser.get(CALLBACK + query)

    assert answer.status_code == 400
    assert (await models.Authorization.get(id=authorization.id)).status is AuthorizationStatus.PENDING


async def test_another_browser_cannot_bring_the_answer(site: Site) -> None:
    _, authorization, state = await _departed(site)

    answer = await site.browser().get(CALLBACK, params={"state": state, "error": "access_denied"})

    assert answer.status_code == 400
    assert (await models.Authorization.get(id=authorization.id)).status is AuthorizationStatus.PENDING


async def test_a_denied_consent_says_so_and_drops_the_cookie(site: Site) -> None:
    browser, authorization, state = await _departed(site)
    [flow] = [name for name in browser.cookies if name.startswith("patchbay-flow-")]

    answer = await browser.get(CALLBACK, params={"state": state, "error": "access_denied", "iss": f"{site.url}/sandbox"})

    assert answer.status_code == 200
    assert "You did not allow the connection" in answer.text
    assert flow not in browser.cookies
    assert (await models.Authorization.get(id=authorization.id)).status is AuthorizationStatus.DENIED


@pytest.mark.parametrize("text", HOSTILE[:8])
async def test_what_a_provider_writes_is_only_ever_text(site: Site, text: str) -> None:
    browser, _, state = await _departed(site)

    query = {"state": state, "error": text, "error_description": text, "iss": f"{site.url}/sandbox"}
    answer = await browser.get(CALLBACK, params=query)

    assert "could not be connected" in answer.text
    tags = [tag for tag, _ in Elements(answer.text).found]
    assert not {"script", "img", "svg", "iframe", "form"} & set(tags[tags.index("main") :])


async def test_a_consent_at_the_sandbox_ends_in_a_connection(live_site: Site) -> None:
    ada = await live_site.person("Ada")
    browser = await live_site.signed_in(ada, live=True)
    authorization = await live_site.begin(ada)

    consent = (await browser.get(f"/connect/{authorization.id}")).headers["location"]
    decision = {"decision": "allow", "account": "sam", "scope": ["read", "write"]}
    back = (await browser.post(consent, data=decision)).headers["location"]
    answer = await browser.get(back)

    assert answer.status_code == 200, answer.text
    assert "Sandbox is connected" in answer.text
    assert "sam" in answer.text
    assert '<script src="/static/close.js" defer>' in answer.text
    again = await browser.get(back)
    assert again.status_code == 400


async def test_a_connected_browser_goes_on_to_the_return_url(live_site: Site) -> None:
    ada = await live_site.person("Ada")
    browser = await live_site.signed_in(ada, live=True)
    authorization = await live_site.begin(ada, return_url="https://app.example/done?x=1&y=2")

    consent = (await browser.get(f"/connect/{authorization.id}")).headers["location"]
    decision = {"decision": "allow", "account": "sam", "scope": ["read", "write"]}
    answer = await browser.get((await browser.post(consent, data=decision)).headers["location"])

    assert '<meta http-equiv="refresh" content="1; url=https://app.example/done?x=1&amp;y=2">' in answer.text


async def test_a_missing_mandatory_scope_is_named(live_site: Site) -> None:
    ada = await live_site.person("Ada")
    browser = await live_site.signed_in(ada, live=True)
    authorization = await live_site.begin(ada)

    consent = (await browser.get(f"/connect/{authorization.id}")).headers["location"]
    decision = {"decision": "allow", "account": "sam", "scope": ["write"]}
    answer = await browser.get((await browser.post(consent, data=decision)).headers["location"])

    assert "could not be connected" in answer.text
    assert "read" in answer.text
    assert await models.Connection.all().count() == 0
