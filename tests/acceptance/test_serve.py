"""Patchbay as its operator runs it: `python -m api serve` as a process, in an empty folder, with nothing set up."""

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.acceptance.asking import Api
from tests.acceptance.browsing import Browser, Page
from tests.acceptance.following import following
from tests.acceptance.processes import PROJECT, STOPPED_BY_US, Program, clean_environment, free_port, running

pytestmark = pytest.mark.anyio

GREETING = """\
Patchbay is ready.
  Sign in      {url}/sign-in?link={link}   (once, within an hour)
  Playground   {url}/graphql
  Sandbox      {url}/sandbox/
  Stop         Ctrl+C
"""
MADE_A_KEY = "Made a master key in {path}. Whoever has it can open every stored secret; without it nobody can. Back it up apart.\n"
# What the server gives to streams, and a second for the rest of the stop.
GRACE_SECONDS = 6
VERIFIED = "... on VerifyConnectionSuccess { connection { status } } ... on Error { message }"
MAKE_TOKEN = 'mutation { createApiToken(input: {name: "tests"}) { ... on CreateApiTokenSuccess { token } } }'


@dataclass(frozen=True)
class Place:
    """A folder and a port of which nobody knows yet."""

    folder: Path
    port: int = field(default_factory=free_port)
    _starts: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def key_file(self) -> Path:
        return self.data / "master.key"

    @property
    def settings(self) -> dict[str, str]:
        return {"PATCHBAY_DATA_FOLDER": str(self.data), "PATCHBAY_PORT": str(self.port)}

    @asynccontextmanager
    async def serving(self, **settings: str) -> AsyncIterator[tuple[Program, str]]:
        """The server, for as long as this lasts, and the secret of its sign-in link."""
        words = self.folder / f"start-{next(self._starts)}"
        async with running(sys.executable, "-m", "api", "serve", words=words, environment=self.settings | settings) as program:
            link = (await program.says(r"/sign-in\?link=(\S+)(?s:.*)Ctrl\+C\n"))[1]
            yield program, link

    @asynccontextmanager
    async def owner(self, link: str) -> AsyncIterator[Api]:
        """Whoever opened the link and made an API token."""
        async with Browser.opened() as browser:
            assert (await browser.open(f"{self.url}/sign-in?link={link}")).path == "/"
            token = (await browser.ask(f"{self.url}/graphql", MAKE_TOKEN)).json()["data"]["createApiToken"]["token"]
        async with Api.opened(f"{self.url}/graphql", token) as api:
            yield api

    async def get(self, path: str) -> httpx2.Response:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return await client.get(self.url + path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_the_first_start_makes_a_key_and_greets(place: Place) -> None:
    async with place.serving() as (program, link):
        assert program.output == MADE_A_KEY.format(path=place.key_file) + GREETING.format(url=place.url, link=link)
        assert len(link) == 43
        assert place.data.stat().st_mode & 0o777 == 0o700
        assert {file.name: oct(file.stat().st_mode & 0o777) for file in place.data.iterdir()}.items() >= {
            ("master.key", "0o600"),
            ("patchbay.db", "0o600"),
        }


async def test_a_server_that_greeted_is_alive_ready_and_has_what_it_names(place: Place) -> None:
    async with place.serving():
        live, ready = await place.get("/livez"), await place.get("/readyz")
        playground, sandbox = await place.get("/graphql"), await place.get("/sandbox/")

    assert (live.status_code, live.json()) == (200, {"alive": True})
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert playground.status_code != 404
    assert (sandbox.status_code, "Control page" in sandbox.text) == (200, True)


async def test_the_link_of_the_greeting_signs_in_once(place: Place) -> None:
    async with place.serving() as (_, link), Browser.opened() as first, Browser.opened() as second:
        welcome = await first.open(f"{place.url}/sign-in?link={link}")
        refusal = await second.open(f"{place.url}/sign-in?link={link}")

        assert (welcome.path, "Hello," in welcome.text) == ("/", True)
        assert (refusal.status, "was used already" in refusal.text) == (400, True)
        assert (await second.open(f"{place.url}/")).path == "/sign-in"
        assert (await first.open(f"{place.url}/")).path == "/"


async def test_a_token_made_beside_the_server_works_at_once(place: Place) -> None:
    async with place.serving() as (_, link), place.owner(link) as owner:
        viewer = (await owner.ask("{ viewer { id } }"))["viewer"]["id"]
        command = (sys.executable, "-m", "api", "tokens", "create", "--user", viewer, "--name", "script")
        async with running(*command, words=place.folder / "token", environment=place.settings) as program:
            assert await program.ended() == 0

        async with Api.opened(f"{place.url}/graphql", program.output.strip()) as script:
            assert (await script.ask("{ viewer { id } }"))["viewer"]["id"] == viewer


async def test_a_stop_ends_open_streams_within_the_grace(place: Place) -> None:
    async with place.serving() as (program, link), place.owner(link) as owner:
        connection = await owner.connect("sandbox", "PERSONAL_ACCESS_TOKEN", fields=[await _token_field(place)])
        cursor = await owner.cursor(connection["id"])
        async with (
            following("gql", owner, place.folder, after=cursor) as socket,
            following("graphql-sse", owner, place.folder, after=cursor) as events,
        ):
            await owner.rename(connection["id"], "Renamed")
            for follower in (socket, events):
                assert [event["type"] for event in await follower.first(1)] == ["RENAMED"]

            assert await program.stop() < GRACE_SECONDS

        assert await program.ended() in STOPPED_BY_US
    assert _events(program.log)[-1]["message"].startswith("Finished server process")


async def test_ctrl_c_ends_it_without_complaint(place: Place) -> None:
    command, environment = (sys.executable, "-m", "api", "serve"), clean_environment(place.settings)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, cwd=PROJECT, env=environment)
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readuntil(b"Ctrl+C\n"), 15)

    process.send_signal(signal.SIGINT)
    output, log = await asyncio.wait_for(process.communicate(), GRACE_SECONDS)

    assert (process.returncode, output) == (0, b"")
    assert _events(log.decode())[-1]["message"].startswith("Finished server process")


async def test_a_second_start_keeps_the_key_and_the_data(place: Place) -> None:
    async with place.serving() as (_, link), place.owner(link) as owner:
        await owner.connect("sandbox", "PERSONAL_ACCESS_TOKEN", fields=[await _token_field(place)])
        before = await owner.ask("{ viewer { id } connections { nodes { id name account } } }")
    key = place.key_file.read_bytes()

    async with place.serving() as (program, link), Api.opened(owner.url, owner.token) as again:
        assert program.output == GREETING.format(url=place.url, link=link)
        assert await again.ask("{ viewer { id } connections { nodes { id name account } } }") == before
        # That it works takes the secret of the first start, opened with the key.
        verified = await again.do("verifyConnection", "ConnectionIdInput", VERIFIED, connectionId=before["connections"]["nodes"][0]["id"])
        assert verified["connection"]["status"] == "CONNECTED"
        async with place.owner(link) as owner_again:
            assert (await owner_again.ask("{ viewer { id } }"))["viewer"]["id"] == before["viewer"]["id"]
    assert place.key_file.read_bytes() == key


async def test_logs_are_one_json_object_a_line_without_secrets(place: Place) -> None:
    async with place.serving(PATCHBAY_LOG_LEVEL="DEBUG") as (program, link), place.owner(link) as owner, Browser.opened() as browser:
        field = await _token_field(place)
        secrets = [link, owner.token, field["value"], place.key_file.read_text().strip().removeprefix("k1:")]
        await owner.connect("sandbox", "PERSONAL_ACCESS_TOKEN", fields=[field])
        await browser.open(f"{place.url}/sign-in")
        await browser.submit(token=owner.token)
        authorization = await owner.connect("sandbox", "OAUTH2_AUTHORIZATION_CODE")
        secrets.append(_parameter(await browser.open(authorization["url"]), "state"))
        page = await browser.submit(decision="allow", account="sam")
        assert "Sandbox is connected" in page.text, page.text
        secrets.append(_parameter(page, "code"))
        assert (await browser.open(f"{place.url}/sign-in?link={'x' * 43}")).status == 400
        await program.stop()

    events = _events(program.log)
    assert all(event.keys() >= {"time", "level", "logger", "message"} for event in events)
    assert {"key ring created", "sign-in refused"} <= {event["message"] for event in events}
    assert all(len(secret) > 20 for secret in secrets)
    assert [secret for secret in secrets if secret in program.log] == []
    assert [secret for secret in secrets[1:] if secret in program.output] == []


async def _token_field(place: Place) -> dict[str, str]:
    """A personal token, as the sandbox's page shows them."""
    _, _, personal = (await place.get("/sandbox/")).text.partition("Personal tokens")
    found = re.search(r'<code class="token">([^<]+)</code>', personal)
    assert found is not None
    return {"name": "token", "value": found[1]}


def _parameter(page: Page, name: str) -> str:
    return parse_qs(urlsplit(page.url).query)[name][0]


def _events(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]
