import re
from hashlib import sha256

import pytest

from api.routes.files import STATIC
from tests.routes.site import Site

pytestmark = pytest.mark.anyio

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def test_the_playground_is_a_page_for_who_is_signed_in(site: Site) -> None:
    browser = await site.signed_in(await site.person("Ada"))

    answer = await browser.get("/graphql", headers=BROWSER)

    assert answer.status_code == 200
    assert "Signed in as Ada" in answer.text
    assert 'data-sandbox="yes"' in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "connect-src 'self' ws://127.0.0.1:8000;" in policy
    assert "http" not in policy.replace("ws://", "")


async def test_every_file_of_the_playground_is_served_by_us(site: Site) -> None:
    browser = await site.signed_in(await site.person("Ada"))
    page = (await browser.get("/graphql", headers=BROWSER)).text

    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)

    assert len(files) == 10
    for file in files:
        answer = await browser.get(file)
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
        assert ("immutable" in answer.headers["cache-control"]) == ("/vendor/" in file)


async def test_who_is_not_signed_in_is_told_so(site: Site) -> None:
    answer = await site.browser().get("/graphql", headers=BROWSER)

    assert answer.status_code == 401
    assert 'href="/sign-in?next=/graphql"' in answer.text


@pytest.mark.parametrize(("method", "accept"), [("GET", "application/json"), ("GET", "text/event-stream"), ("POST", "text/html")])
async def test_clients_that_want_data_are_let_past(site: Site, method: str, accept: str) -> None:
    browser = await site.signed_in(await site.person("Ada"))

    answer = await browser.request(method, "/graphql", headers={"accept": accept})

    assert answer.status_code == 404  # Nothing stands behind it here.


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/vendor", "/static/nothing.js", "/static/"])
async def test_nothing_but_the_files_is_served(site: Site, path: str) -> None:
    assert (await site.browser().get(path)).status_code == 404


def test_the_vendored_files_are_those_that_the_script_names() -> None:
    script = (STATIC.parent.parent / "scripts" / "vendor-playground").read_text()
    named = dict(re.findall(r"^take \S+ \S+ (\S+) \\\n +([0-9a-f]{64})$", script, re.MULTILINE))

    there = {file.name: sha256(file.read_bytes()).hexdigest() for file in (STATIC / "vendor").iterdir() if file.suffix != ".txt"}

    assert len(there) == 6
    assert there == named


def test_the_vendored_files_bring_their_licences() -> None:
    assert (STATIC / "vendor" / "LICENSES.txt").read_text().count("MIT License") == 2
