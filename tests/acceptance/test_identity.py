"""People of an organization's identity provider, which others wrote, at a Patchbay that runs as its operator runs it."""

from collections.abc import AsyncIterator

import pytest

from tests.acceptance.asking import Api
from tests.acceptance.browsing import Browser
from tests.acceptance.identity import ADMINISTRATORS, WHO, Place

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


@pytest.fixture
async def browser(place: Place) -> AsyncIterator[Browser]:
    async with Browser.opened(place.tls) as browser:
        yield browser


async def test_a_person_signs_in_and_is_a_user_in_their_groups(place: Place, browser: Browser) -> None:
    await place.know("u1", name="Ada Lovelace", email="ada@example.com", email_verified=True, groups=["/sales", ADMINISTRATORS])

    page = await place.sign_in(browser, "u1")

    assert (page.path, "Hello, Ada Lovelace" in page.text) == ("/", True)
    viewer = await place.who(browser)
    assert viewer | {"id": None} == {
        "id": None,
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "administrator": True,
        "groups": [{"name": name, "fromIdentityProvider": True} for name in (ADMINISTRATORS, "/sales")],
        "personalWorkspace": {"name": "Ada Lovelace’s workspace"},
    }


async def test_a_group_that_was_left_is_gone_at_the_next_sign_in(place: Place, browser: Browser) -> None:
    await place.know("u2", name="Ben", groups=["/sales", "/ops", ADMINISTRATORS])
    await place.sign_in(browser, "u2")
    before = await place.who(browser)

    await place.know("u2", name="Ben", groups=["/ops"])
    await place.sign_in(browser, "u2")

    after = await place.who(browser)
    assert [group["name"] for group in after["groups"]] == ["/ops"]
    assert (before["administrator"], after["administrator"]) == (True, False)
    assert after["id"] == before["id"]


async def test_who_signs_out_here_and_there_has_to_sign_in_again(place: Place, browser: Browser) -> None:
    await place.know("u3", name="Cleo")
    home = await place.sign_in(browser, "u3")
    assert home.forms[0].action == "/sign-out"

    page = await browser.submit()
    assert (page.path, "sign out there too" in page.text) == ("/sign-in", True)
    assert (await browser.ask(place.graphql, WHO)).status_code == 401
    # Still signed in there: nothing is asked.
    assert (await place.sign_in(browser, "nobody")).text.count("Hello, Cleo") == 1

    await browser.submit()
    await browser.open(next(link for link in browser.page.links if link.startswith(place.issuer)))
    back = await browser.submit(logout="yes")
    assert back.url.startswith(f"{place.url}/sign-in")
    departed = await browser.open(f"{place.url}/sign-in/identity")
    assert departed.asks_for("login")


async def test_who_gives_up_at_the_provider_is_told_and_not_signed_in(place: Place, browser: Browser) -> None:
    await browser.open(f"{place.url}/sign-in/identity")

    page = await browser.open(next(link for link in browser.page.links if link.endswith("/abort")))

    assert (page.status, page.path) == (403, "/sign-in/callback")
    assert "The identity provider signed nobody in: access_denied." in page.text
    assert (await browser.ask(place.graphql, WHO)).status_code == 401


async def test_the_callback_of_somebody_elses_sign_in_signs_nobody_in(place: Place, browser: Browser) -> None:
    await place.know("u4", name="Eve")
    departed = await browser.open(f"{place.url}/sign-in/identity")
    stopped = await place.consent(browser, departed, "u4", stop_before=f"{place.url}/sign-in/callback")

    async with Browser.opened(place.tls) as victim:
        page = await victim.open(stopped.url)
        assert (page.status, "You are not signed in" in page.text) == (403, True)
        assert (await victim.ask(place.graphql, WHO)).status_code == 401

    assert "Hello, Eve" in (await browser.open(stopped.url)).text
    async with Browser.opened(place.tls) as another:
        assert (await another.open(stopped.url)).status == 403


async def test_an_access_token_for_the_api_stands_for_its_person(place: Place, browser: Browser) -> None:
    await place.know("u5", name="Dan", groups=["/sales"])
    token, _ = await place.access_token(browser, "u5")

    async with Api.opened(place.graphql, token) as api:
        viewer = (await api.ask(WHO))["viewer"]
        assert [group["name"] for group in viewer["groups"]] == ["/sales"]
        assert (await api.workspace()) is not None

    await place.sign_in(browser, "u5")
    assert (await place.who(browser))["id"] == viewer["id"]
    assert (await place.who(browser))["name"] == "Dan"


async def test_a_token_that_is_for_something_else_opens_nothing(place: Place, browser: Browser) -> None:
    elsewhere, id_token = await place.access_token(browser, "u6", resource="https://api.other.example")
    opaque, _ = await place.access_token(browser, "u6", resource=None)

    for token in (elsewhere, id_token, opaque):
        answer = await place.ask(token)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_no_token_code_or_secret_is_in_the_log(place: Place, browser: Browser) -> None:
    await place.know("u7", name="Fay")
    await place.sign_in(browser, "u7")
    await place.access_token(browser, "u7")

    said = place.patchbay.log + place.patchbay.output
    assert [secret for secret in [*place.secrets, "identity-secret-canary"] if secret in said] == []
    assert "id_token" not in said
