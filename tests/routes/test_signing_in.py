import pytest

from api.secret import Secret
from tests.routes.site import Site

pytestmark = pytest.mark.anyio


async def test_the_printed_link_signs_in_with_one_click(site: Site) -> None:
    ada = await site.person("Ada")
    link = await site.patchbay.people.new_sign_in_link(ada.user_id)
    by_hand = {"sec-fetch-dest": "document", "sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-user": "?1"}

    browser = site.browser()
    answer = await browser.get("/sign-in", params={"link": link.reveal()}, headers=by_hand)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("patchbay-session=")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "Hello, Ada" in (await browser.get("/")).text


async def test_over_https_the_cookie_is_bound_to_the_host(secure_site: Site) -> None:
    browser = await secure_site.signed_in(await secure_site.person("Ada"))

    link = await secure_site.patchbay.people.new_sign_in_link((await secure_site.person("Bob")).user_id)
    answer = await secure_site.browser().get("/sign-in", params={"link": link.reveal()})

    assert answer.headers["set-cookie"].startswith("__Host-patchbay-session=")
    assert "secure" in answer.headers["set-cookie"].lower()
    assert "Hello, Ada" in (await browser.get("/")).text


async def test_a_link_works_once(site: Site) -> None:
    link = await site.patchbay.people.new_sign_in_link((await site.person("Ada")).user_id)
    await site.browser().get("/sign-in", params={"link": link.reveal()})

    answer = await site.browser().get("/sign-in", params={"link": link.reveal()})

    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers
    assert "used already" in answer.text


@pytest.mark.shows_secrets("the form sends on the link that the browser came with", "an answer")
@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"sec-fetch-dest": "empty"}),
        ("GET", {"sec-fetch-dest": "image"}),
        ("GET", {"sec-fetch-dest": "iframe", "sec-fetch-site": "none"}),
        ("GET", {"sec-fetch-dest": "document", "sec-fetch-site": "none", "sec-purpose": "prefetch;prerender"}),
        ("GET", {"purpose": "prefetch"}),
        ("GET", {"sec-fetch-dest": "document", "sec-fetch-site": "cross-site"}),
        ("GET", {"sec-fetch-dest": "document", "sec-fetch-site": "same-site"}),
    ],
)
async def test_a_link_that_nobody_opened_by_hand_asks_first(site: Site, method: str, headers: dict[str, str]) -> None:
    link = await site.patchbay.people.new_sign_in_link((await site.person("Ada")).user_id)

    browser = site.browser()
    answer = await browser.request(method, "/sign-in", params={"link": link.reveal()}, headers=headers)

    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    pressed = await browser.post("/sign-in", data={"link": link.reveal()}, headers={"sec-fetch-site": "same-origin"})
    assert pressed.status_code == 303
    assert "Hello, Ada" in (await browser.get("/")).text


async def test_an_api_token_signs_in(site: Site) -> None:
    token = await site.patchbay.people.add_token((await site.person("Ada")).user_id, name="laptop")

    browser = site.browser()
    answer = await browser.post("/sign-in", data={"token": f" {token.token.reveal()}\n"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Hello, Ada" in (await browser.get("/")).text


@pytest.mark.parametrize("token", ["", "nonsense", "pb_user_000000000000_" + "0" * 49, "ü" * 70, "<script>"])
async def test_a_token_that_does_not_work_signs_nobody_in(site: Site, token: str) -> None:
    answer = await site.browser().post("/sign-in", data={"token": token})

    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers
    assert "not an API token that works" in answer.text
    assert not token or token not in answer.text


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}])
async def test_another_site_signs_nobody_in_and_nobody_out(site: Site, headers: dict[str, str]) -> None:
    ada = await site.person("Ada")
    token = await site.patchbay.people.add_token(ada.user_id, name="laptop")
    browser = await site.signed_in(ada)

    into = await site.browser().post("/sign-in", data={"token": token.token.reveal()}, headers=headers)
    out = await browser.post("/sign-out", headers=headers)

    assert [(answer.status_code, "set-cookie" in answer.headers) for answer in (into, out)] == [(403, False)] * 2
    assert "Hello, Ada" in (await browser.get("/")).text


@pytest.mark.parametrize("next", ["/graphql", "/connect/00000000-0000-0000-0000-000000000000"])
async def test_signing_in_goes_on_to_where_one_wanted_to_be(site: Site, next: str) -> None:
    token = await site.patchbay.people.add_token((await site.person("Ada")).user_id, name="laptop")

    answer = await site.browser().post("/sign-in", data={"token": token.token.reveal(), "next": next})

    assert answer.status_code == 200
    assert f'<meta http-equiv="refresh" content="0; url={next}">' in answer.text


@pytest.mark.parametrize(
    "next",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/%5Cevil.example",
        "///evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/?next=//evil.example",
        "evil",
        "",
        "/ok\n//evil.example",
    ],
)
async def test_signing_in_never_goes_on_to_another_site(site: Site, next: str) -> None:
    token = await site.patchbay.people.add_token((await site.person("Ada")).user_id, name="laptop")

    page = await site.browser().get("/sign-in", params={"next": next})
    answer = await site.browser().post("/sign-in", data={"token": token.token.reveal(), "next": next})

    assert '<input type="hidden" name="next" value="/">' in page.text
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_signing_out_ends_the_session_and_not_only_the_cookie(site: Site) -> None:
    browser = await site.signed_in(await site.person("Ada"))
    session = browser.cookies[site.session_cookie]

    answer = await browser.post("/sign-out", headers={"sec-fetch-site": "same-origin"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert site.session_cookie not in browser.cookies
    assert await site.patchbay.people.actor_of_session(Secret(session)) is None


async def test_who_is_not_signed_in_is_shown_the_way(site: Site) -> None:
    answer = await site.browser().get("/")

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert "API token" in (await site.browser().get("/sign-in")).text
