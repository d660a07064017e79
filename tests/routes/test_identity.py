"""Signing in at an identity provider, as a browser sees it; and what a program shows instead."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest
from starlette.requests import HTTPConnection
from starlette.responses import Response

import models
from api.access import Actor
from api.auth import actor_of, credential_of, source_of
from api.clock import utc_now
from api.secret import Secret
from models import AuditOutcome
from tests.clock import HeldClock
from tests.oauth.issuing import AUDIENCE, CLIENT_ID, CLIENT_SECRET, IdentityProvider, issuing
from tests.pages.hostile import HOSTILE, Elements
from tests.routes.site import Site, open_site

pytestmark = pytest.mark.anyio

SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


@dataclass(frozen=True)
class Scene:
    site: Site
    provider: IdentityProvider

    async def depart(self, browser: httpx2.AsyncClient, onward: str = "/") -> str:
        """The address at the provider that a browser is sent to."""
        answer = await browser.get("/sign-in/identity", params={"next": onward})
        assert answer.status_code == 303
        return str(answer.headers["location"])

    def callback(self, url: str, **claims: Any) -> str:
        """The address of ours that the provider sends a browser back to."""
        return "/sign-in/callback?" + urlencode(self.provider.answer_to(url, **claims))

    async def sign_in(self, browser: httpx2.AsyncClient, **claims: Any) -> httpx2.Response:
        return await browser.get(self.callback(await self.depart(browser), **claims))

    async def sessions(self) -> int:
        return await models.Session.all().count()


@asynccontextmanager
async def opened(sqlite_url: str, folder: Path, url: str) -> AsyncIterator[Scene]:
    async with issuing(HeldClock(utc_now())) as provider:
        identity = {
            "PATCHBAY_OIDC_ISSUER": provider.issuer,
            "PATCHBAY_OIDC_CLIENT_ID": CLIENT_ID,
            "PATCHBAY_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "PATCHBAY_OIDC_AUDIENCE": AUDIENCE,
            "PATCHBAY_EGRESS_ALLOW": urlsplit(provider.issuer).netloc,
        }
        async with open_site(sqlite_url, folder, url, **identity) as site:
            yield Scene(site, provider)


@pytest.fixture
async def scene(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(sqlite_url, tmp_path, "http://127.0.0.1:8000") as scene:
        yield scene


@pytest.fixture
async def secure_scene(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(sqlite_url, tmp_path, "https://patchbay.example") as scene:
        yield scene


async def test_the_sign_in_page_offers_the_provider_and_remembers_where_one_wanted_to_be(scene: Scene) -> None:
    page = await scene.site.browser().get("/sign-in", params={"next": "/graphql"})

    assert 'href="/sign-in/identity?next=%2Fgraphql"' in page.text
    assert "API token" in page.text


async def test_without_a_provider_there_is_no_such_way(site: Site) -> None:
    assert "/sign-in/identity" not in (await site.browser().get("/sign-in")).text
    for path in ("/sign-in/identity", "/sign-in/callback?state=x&code=y"):
        answer = await site.browser().get(path)
        assert (answer.status_code, "set-cookie" in answer.headers) == (404, False)


async def test_a_browser_goes_to_the_provider_with_a_cookie_of_its_own(secure_scene: Scene) -> None:
    answer = await secure_scene.site.browser().get("/sign-in/identity")

    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{secure_scene.provider.issuer}/authorize?")
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-patchbay-sign-in-")
    for attribute in ("httponly", "secure", "samesite=lax", "path=/", "max-age=600"):
        assert attribute in cookie
    assert "domain" not in cookie
    assert cookie.partition("=")[2].partition(";")[0] not in answer.headers["location"].lower()


@pytest.mark.parametrize(("method", "headers"), [("HEAD", {}), ("GET", {"sec-purpose": "prefetch;prerender"})])
async def test_what_nobody_opened_begins_nothing(scene: Scene, method: str, headers: dict[str, str]) -> None:
    answer = await scene.site.browser().request(method, "/sign-in/identity", headers=headers)

    assert (answer.status_code, "set-cookie" in answer.headers) == (204, False)
    assert await models.SignInFlow.all().count() == 0


async def test_the_way_back_signs_in_with_a_cookie_bound_to_the_host(secure_scene: Scene) -> None:
    browser = secure_scene.site.browser()

    answer = await secure_scene.sign_in(browser, sub="s1", name="Ada")

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    session, ended = sorted(answer.headers.get_list("set-cookie"), key=lambda cookie: "sign-in" in cookie)
    assert session.startswith("__Host-patchbay-session=")
    for attribute in ("httponly", "secure", "samesite=lax", "path=/"):
        assert attribute in session.lower()
    assert ended.startswith("__Host-patchbay-sign-in-")
    assert "max-age=0" in ended.lower()
    assert "Hello, Ada" in (await browser.get("/")).text


async def test_signing_in_goes_on_to_where_one_wanted_to_be(scene: Scene) -> None:
    browser = scene.site.browser()

    answer = await browser.get(scene.callback(await scene.depart(browser, "/connect/00000000-0000-0000-0000-000000000000")))

    assert answer.headers["location"] == "/connect/00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("onward", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/" + "a" * 300])
async def test_signing_in_never_goes_on_to_another_site(scene: Scene, onward: str) -> None:
    browser = scene.site.browser()

    answer = await browser.get(scene.callback(await scene.depart(browser, onward)))

    assert answer.headers["location"] == "/"


async def test_two_sign_ins_in_one_browser_do_not_disturb_each_other(scene: Scene) -> None:
    browser = scene.site.browser()
    first, second = await scene.depart(browser), await scene.depart(browser)

    answers = [await browser.get(scene.callback(url)) for url in (second, first)]

    assert [answer.status_code for answer in answers] == [303, 303]


async def test_an_answer_in_another_browser_signs_nobody_in(scene: Scene) -> None:
    url = await scene.depart(scene.site.browser())
    victim = scene.site.browser()

    answer = await victim.get(scene.callback(url, sub="evil"))

    assert answer.status_code == 403
    assert "was not asked for in this browser" in answer.text
    assert scene.site.session_cookie not in victim.cookies
    assert await scene.sessions() == 0
    assert "/token" not in scene.provider.asked


async def test_a_flow_cookie_of_the_same_name_but_another_value_is_none(scene: Scene) -> None:
    browser, attacker = scene.site.browser(), scene.site.browser()
    url = await scene.depart(attacker)
    [name] = attacker.cookies.keys()
    browser.cookies.set(name, "x" * 43)

    answer = await browser.get(scene.callback(url))

    assert answer.status_code == 403
    assert await scene.sessions() == 0


async def test_an_answer_is_taken_once(scene: Scene) -> None:
    browser = scene.site.browser()
    url = await scene.depart(browser)
    cookies = dict(browser.cookies)
    callback = scene.callback(url)
    assert (await browser.get(callback)).status_code == 303

    again = scene.site.browser()
    again.cookies.update(cookies)
    answer = await again.get(callback)

    assert answer.status_code == 403
    assert scene.site.session_cookie not in again.cookies
    assert (scene.provider.asked.count("/token"), await scene.sessions()) == (1, 1)


@pytest.mark.parametrize("query", ["", "code=x", "state=&code=x", "state=x&state=y&code=z", "state=%00", "state=x&code=" + "c" * 9000])
async def test_an_answer_that_makes_no_sense_signs_nobody_in(scene: Scene, query: str) -> None:
    answer = await scene.site.browser().get(f"/sign-in/callback?{query}")

    assert answer.status_code in (400, 403)
    assert await scene.sessions() == 0
    assert "/token" not in scene.provider.asked


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_a_provider_writes_makes_no_element(scene: Scene, text: str) -> None:
    pages = []
    for error in (text, "access_denied"):
        browser = scene.site.browser()
        state = dict(scene.provider.answer_to(await scene.depart(browser)))["state"]
        answer = {"state": state, "iss": scene.provider.issuer, "error": error, "error_description": text, "error_uri": text}
        page = await browser.get("/sign-in/callback", params=answer)
        assert (page.status_code, await scene.sessions()) == (403, 0)
        pages.append(Elements(page.text).found)

    assert pages[0] == pages[1]


async def test_a_provider_that_is_down_is_told_of_and_keeps_no_other_way_shut(scene: Scene) -> None:
    scene.provider.answers["/.well-known/openid-configuration"] = Response(status_code=500)

    answer = await scene.site.browser().get("/sign-in/identity")

    assert (answer.status_code, "set-cookie" in answer.headers) == (502, False)
    assert "cannot be used" in answer.text
    browser = await scene.site.signed_in(await scene.site.person("Ben"))
    assert "Hello, Ben" in (await browser.get("/")).text


async def test_a_provider_that_fails_on_the_way_back_signs_nobody_in(scene: Scene) -> None:
    scene.provider.answers["/token"] = Response(status_code=500)

    answer = await scene.sign_in(scene.site.browser())

    assert (answer.status_code, await scene.sessions()) == (502, 0)
    assert await models.AuditEntry.filter(action="session.sign_in", outcome=AuditOutcome.FAILED).count() == 1


async def test_who_signs_out_is_shown_that_the_provider_keeps_them_signed_in(scene: Scene) -> None:
    browser = scene.site.browser()
    await scene.sign_in(browser, name="Ada")
    session = browser.cookies[scene.site.session_cookie]

    answer = await browser.post("/sign-out", headers=SAME_ORIGIN)
    page = await browser.get(answer.headers["location"])

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?ended=yes")
    assert scene.site.session_cookie not in browser.cookies
    assert await scene.site.patchbay.people.actor_of_session(Secret(session)) is None
    assert f'href="{scene.provider.issuer}/sign-out?client_id=patchbay&amp;post_logout_redirect_uri=http' in page.text
    assert "sign out there too" not in (await browser.get("/sign-in")).text


async def test_where_the_provider_has_no_place_to_sign_out_none_is_shown(scene: Scene) -> None:
    scene.provider.metadata = {"end_session_endpoint": None}

    page = await scene.site.browser().get("/sign-in?ended=yes")

    assert (page.status_code, "sign out there too" in page.text) == (200, False)


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}])
async def test_another_site_signs_nobody_out(scene: Scene, headers: dict[str, str]) -> None:
    browser = scene.site.browser()
    await scene.sign_in(browser, name="Ada")

    assert (await browser.post("/sign-out", headers=headers)).status_code == 403

    assert "Hello, Ada" in (await browser.get("/")).text


# Programs.


def request_with(authorization: str) -> HTTPConnection:
    headers = [(b"authorization", authorization.encode("latin-1"))]
    return HTTPConnection({"type": "http", "headers": headers, "client": ("192.0.2.7", 50_000)})


async def recognised(scene: Scene, authorization: str) -> Actor | None:
    request = request_with(authorization)
    return await actor_of(credential_of(request, scene.site.url), scene.site.patchbay, source=source_of(request))


async def test_a_bearer_is_an_access_token_or_an_api_token(scene: Scene) -> None:
    user = await scene.site.person("Ben")
    api_token = await scene.site.patchbay.people.add_token(user.user_id, name="CI")
    padding = [f"group-{number}" for number in range(300)]

    by_jwt = await recognised(scene, f"Bearer {scene.provider.access_token({'sub': 's1', 'name': 'Ada', 'groups': padding})}")
    by_token = await recognised(scene, f"bearer {api_token.token.reveal()}")

    assert by_jwt is not None
    assert (by_jwt.name, by_jwt.source, by_jwt.token_id) == ("Ada", "192.0.2.7", None)
    assert by_token == Actor(user.user_id, "Ben", source="192.0.2.7", token_id=api_token.row.id)


async def test_what_is_no_token_for_us_stands_for_nobody(scene: Scene) -> None:
    users = await models.User.all().count()
    good = scene.provider.access_token({"sub": "s1"})
    wrong = [
        good[:-4],
        good + "." + good,
        "a.b.c",
        "ü.ü.ü",
        scene.provider.access_token({"aud": CLIENT_ID}),
        scene.provider.access_token({"exp": 0}),
        scene.provider.sign({"nonce": "n"}),
        scene.provider.access_token({"filler": "x" * 16_384}),
    ]

    for token in wrong:
        assert await recognised(scene, f"Bearer {token}") is None
        assert await recognised(scene, f"Basic {token}") is None

    assert await models.User.all().count() == users


async def test_without_a_provider_a_jwt_stands_for_nobody(site: Site) -> None:
    async with issuing(HeldClock(utc_now())) as provider:
        request = request_with(f"Bearer {provider.access_token()}")

        assert await actor_of(credential_of(request, site.url), site.patchbay, source=None) is None

        assert provider.asked == []


async def test_a_token_that_has_run_out_ends_what_was_begun_with_it(scene: Scene) -> None:
    actor = await recognised(scene, f"Bearer {scene.provider.access_token({'sub': 's1'})}")
    assert actor is not None
    assert actor.until is not None

    known = scene.site.patchbay.access.known_among

    assert await known({actor}, scene.provider.clock.now) == {actor}
    assert await known({actor}, actor.until) == set()
