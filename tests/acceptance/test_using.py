"""Connections in use, by the programs that the README shows: each as it stands there, as a process of its own."""

import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.asking import Api
from tests.acceptance.browsing import Browser
from tests.acceptance.processes import HERE, PROJECT, running
from tests.acceptance.servers import Person, Provider
from tests.acceptance.test_serve import MAKE_TOKEN, Place

# A server and a program, one after another.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
ADDRESS = "http://127.0.0.1:8000"
ACCOUNTS = ("alex", "sam")
TIMES = count(1)


def shown_in_readme() -> dict[str, tuple[str, str]]:
    """The language and the text of each program in the section, by what it uses."""
    section = (PROJECT / "README.md").read_text().partition("\n## Use a connection\n")[2].partition("\n## ")[0]
    blocks = _BLOCK.findall(section)
    uses = {"curl": "sh", "proxy": "sh", "graphql-request": "javascript", "gql.transport": "python", "urllib": "python"}
    return {name: next((kind, text) for kind, text in blocks if kind == language and name in text) for name, language in uses.items()}


SHOWN = shown_in_readme()


@asynccontextmanager
async def sandbox_connected(place: Place) -> AsyncIterator[tuple[Api, list[str]]]:
    """Somebody with a connection for each account at the sandbox."""
    async with place.serving() as (_, link), Browser.opened() as browser:
        await browser.open(f"{place.url}/sign-in?link={link}")
        token = (await browser.ask(f"{place.url}/graphql", MAKE_TOKEN)).json()["data"]["createApiToken"]["token"]
        async with Api.opened(f"{place.url}/graphql", token) as owner:
            yield owner, [await connect(owner, browser, account) for account in ACCOUNTS]


async def connect(owner: Api, browser: Browser, account: str) -> str:
    authorization = await owner.connect("sandbox", "OAUTH2_AUTHORIZATION_CODE")
    await browser.open(authorization["url"])
    await browser.submit(account=account, decision="allow")
    return str((await owner.authorization(authorization["id"]))["connection"]["id"])


async def said_by(name: str, place: Place, **environment: str) -> str:
    """What a program of the README prints. Where it stands, its address is that of a first start."""
    language, text = SHOWN[name]
    assert ADDRESS in text
    suffix, command = {"sh": ("sh", "sh"), "javascript": ("mjs", "node"), "python": ("py", sys.executable)}[language]
    # Beside its libraries, where node looks for them.
    file = (HERE if language == "javascript" else place.folder) / f".shown-{name.replace('.', '-')}.{suffix}"
    file.write_text(text.replace(ADDRESS, place.url))
    try:
        async with running(command, file, words=place.folder / f"{name}-{next(TIMES)}", environment=environment) as program:
            assert await program.ended(within=60) == 0, program.log[-3000:]
            return program.output
    finally:
        file.unlink()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_the_programs_of_the_readme_call_the_provider(place: Place) -> None:
    async with sandbox_connected(place) as (owner, [connection, _]):
        using = {"TOKEN": owner.token, "CONNECTION": connection}
        issued = json.loads(await said_by("curl", place, **using))
        called = [json.loads(await said_by(name, place, **using)) for name in ("proxy", "gql.transport", "graphql-request", "urllib")]
        used = await owner.ask("query($id: ID!) { connection(id: $id) { lastUsedAt } }", id=connection)

    assert issued["connection"] == {"id": connection, "name": "Sandbox", "status": "CONNECTED"}
    assert issued.keys() == {"headers", "query", "accessToken", "tokenType", "baseUrl", "expiresAt", "generation", "connection"}
    assert [answer["account"] for answer in called] == ["alex"] * 4
    assert used["connection"]["lastUsedAt"] is not None


async def test_the_tool_for_agents_reports_a_401_and_says_what_came_of_it(place: Place) -> None:
    async with sandbox_connected(place) as (owner, [expired, withdrawn]), httpx2.AsyncClient(trust_env=False) as client:
        await throw(client, place, "expire", "alex")
        await throw(client, place, "revoke", "sam")

        renewed = json.loads(await said_by("urllib", place, TOKEN=owner.token, CONNECTION=expired))
        over = await said_by("urllib", place, TOKEN=owner.token, CONNECTION=withdrawn)

        statuses = [(await owner.connection(id))["status"] for id in (expired, withdrawn)]
    assert renewed["account"] == "alex"
    assert over == "The connection “Sandbox 2” is ACTION_REQUIRED: its owner must look at it.\n"
    assert statuses == ["CONNECTED", "ACTION_REQUIRED"]


async def throw(client: httpx2.AsyncClient, place: Place, switch: str, account: str) -> None:
    answer = await client.post(f"{place.url}/sandbox/control", json={"switch": switch, "account": account})
    assert answer.status_code == 200, answer.text


async def test_a_credential_of_a_certified_server_opens_its_resource(kim: Person, provider: Provider) -> None:
    connection = (await kim.connect())["id"]
    shown = "... on IssueCredentialSuccess { credential { baseUrl headers { name value } expiresAt generation } }"

    answer = await kim.api.do("issueCredential", "IssueCredentialInput", shown, connectionId=connection, minimumTtl=1)

    credential: dict[str, Any] = answer["credential"]
    async with httpx2.AsyncClient(verify=provider.tls, trust_env=False) as client:
        called = await client.get(f"{credential['baseUrl']}/me", headers={pair["name"]: pair["value"] for pair in credential["headers"]})
    assert (called.status_code, called.json()["sub"]) == (200, kim.account)
