"""Patchbay as its operator runs it: `python -m api serve` as a process, in an empty folder, with nothing set up."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.asking import Api
from tests.acceptance.browsing import Browser
from tests.acceptance.processes import HERE, STOPPED_BY_US, Program, free_port, running, until

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
        assert (await second.open(place.url)).path == "/sign-in"
        assert (await first.open(place.url)).path == "/"


async def test_a_token_made_beside_the_server_works_at_once(place: Place) -> None:
    async with place.serving() as (_, link), place.owner(link) as owner:
        viewer = (await owner.ask("{ viewer { id } }"))["viewer"]["id"]
        command = (sys.executable, "-m", "api", "tokens", "create", "--user", viewer, "--name", "script")
        async with running(*command, words=place.folder / "token", environment=place.settings) as program:
            assert await program.ended() == 0

        async with Api.opened(f"{place.url}/graphql", program.output.strip()) as script:
            assert (await script.ask("{ viewer { id } }"))["viewer"]["id"] == viewer


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_ends_open_streams_within_the_grace(place: Place, sign: signal.Signals) -> None:
    async with place.serving() as (program, link), place.owner(link) as owner:
        await owner.connect("sandbox", "PERSONAL_ACCESS_TOKEN", fields=[{"name": "token", "value": await _personal_token(place)}])
        async with _followed(place, owner, "socket") as socket, _followed(place, owner, "sse") as events:
            began = asyncio.get_running_loop().time()
            program.send(sign)
            code = await program.ended(within=GRACE_SECONDS)
            took = asyncio.get_running_loop().time() - began

            assert took < GRACE_SECONDS
            assert code in STOPPED_BY_US
            assert "Traceback" not in program.log
            assert "Aborted" not in program.log
            for follower in (socket, events):
                await follower.ended()
                assert len(follower.output.splitlines()) == 1


async def test_a_second_start_keeps_the_key_and_the_data(place: Place) -> None:
    async with place.serving() as (_, link), place.owner(link) as owner:
        await owner.connect("sandbox", "PERSONAL_ACCESS_TOKEN", fields=[{"name": "token", "value": await _personal_token(place)}])
        before = await owner.ask("{ viewer { id } connections { nodes { id name account } } }")
    key = place.key_file.read_bytes()

    async with place.serving() as (program, link), Api.opened(owner.url, owner.token) as again:
        assert program.output == GREETING.format(url=place.url, link=link)
        assert await again.ask("{ viewer { id } connections { nodes { id name account } } }") == before
        # That it works takes the secret of the first start, opened with the key.
        assert (await again.verify(before["connections"]["nodes"][0]["id"]))["status"] == "CONNECTED"
        async with place.owner(link) as owner_again:
            assert (await owner_again.ask("{ viewer { id } }"))["viewer"]["id"] == before["viewer"]["id"]
    assert place.key_file.read_bytes() == key


async def test_logs_are_one_json_object_a_line_without_secrets(place: Place) -> None:
    async with place.serving(PATCHBAY_LOG_LEVEL="DEBUG") as (program, link), place.owner(link) as owner, Browser.opened() as browser:
        secrets = [link, owner.token, await _personal_token(place), place.key_file.read_text().strip().removeprefix("k1:")]
        await owner.connect("sandbox", "PERSONAL_ACCESS_TOKEN", fields=[{"name": "token", "value": secrets[2]}])
        await browser.open(f"{place.url}/sign-in")
        await browser.submit(token=owner.token)
        authorization = await owner.connect("sandbox", "OAUTH2_AUTHORIZATION_CODE")
        secrets.append((await browser.open(authorization["url"])).query["state"])
        page = await browser.submit(decision="allow", account="sam")
        assert "Sandbox is connected" in page.text, page.text
        secrets.append(page.query["code"])
        assert (await browser.open(f"{place.url}/sign-in?link={'x' * 43}")).status == 400
        await program.stop()

    events = [json.loads(line) for line in program.log.splitlines()]
    assert all(event.keys() >= {"time", "level", "logger", "message"} for event in events)
    assert {"key ring created", "sign-in refused"} <= {event["message"] for event in events}
    assert all(len(secret) > 20 for secret in secrets)
    assert [secret for secret in secrets if secret in program.log] == []
    assert [secret for secret in secrets[1:] if secret in program.output] == []


@asynccontextmanager
async def _followed(place: Place, owner: Api, protocol: str) -> AsyncIterator[Program]:
    """A client of the stream of changes that has had the first one, so that its stream is open."""
    command: dict[str, tuple[Any, ...]] = {
        "socket": (sys.executable, HERE / "follow.py"),
        "sse": ("node", HERE / "follow.mjs", "graphql-sse"),
    }
    first = (await owner.ask("{ connectionEvents: connections { nodes { events(first: 1) { nodes { cursor } } } } }"))["connectionEvents"]
    assert first["nodes"], first
    async with running(*command[protocol], owner.url, owner.token, "", words=place.folder / protocol) as program:
        await program.says(r"CREATED")
        yield program


async def _personal_token(place: Place) -> str:
    """A token of one's own, as the sandbox's page shows them."""

    async def look() -> str | None:
        found = re.search(r'<code class="token">([^<]+)</code>', (await place.get("/sandbox/")).text)
        return found[1] if found else None

    return await until(look)
