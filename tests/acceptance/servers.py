"""Patchbay as people run it, `python -m api serve` as a process, and a certified authorization server as another."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import httpx2
import trustme

from tests.acceptance.asking import Api
from tests.acceptance.browsing import Browser, Page
from tests.acceptance.processes import HERE, Program, free_port, running, until

OPERATORS_APP = ("web", "web-secret-canary")
# Short, so that much happens while a test waits; whole seconds, as expires_in has it.
ACCESS_TOKEN_SECONDS = 3


@dataclass(frozen=True)
class Provider:
    """The authorization server, as its operator sees it."""

    url: str
    tls: SSLContext

    async def requests(self, **wanted: Any) -> list[dict[str, Any]]:
        """The requests at its token endpoint, in order: those that have all of this."""
        requests: list[dict[str, Any]] = await self._get("/test/requests")
        return [request for request in requests if wanted.items() <= request.items()]

    async def living_grants(self, account: str) -> int:
        grants: list[str] = await self._get("/test/grants", account=account)
        return len(grants)

    async def withdraw(self, account: str) -> None:
        """Take back all that an account allowed, as a person does there."""
        await self._get("/test/withdraw", account=account)

    async def _get(self, path: str, **query: str) -> Any:
        async with httpx2.AsyncClient(verify=self.tls, trust_env=False) as client:
            answer = await client.get(self.url + path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass(frozen=True)
class Person:
    """A user with a browser that is signed in, a program with an API token, and an account at the provider."""

    api: Api
    browser: Browser
    account: str

    async def arrive(self, url: str, *, stop_before: str | None = None) -> Page:
        """Open the address of a consent, and sign in at the provider where it asks for that: the page after it."""
        page = await self.browser.open(url, stop_before=stop_before)
        return await self.browser.submit(login=self.account, password="any") if page.asks_for("login") else page

    async def consent(self, url: str, *, stop_before: str | None = None) -> Page:
        """Open the address of a consent, and allow what it asks for: the page that this ends with."""
        page = await self.arrive(url, stop_before=stop_before)
        return await self.browser.submit(stop_before=stop_before) if page.asks_for("consent") else page

    async def connect(self, type: str = "OAUTH2_AUTHORIZATION_CODE", **input: Any) -> dict[str, Any]:
        """A new connection, with the consent that it takes."""
        authorization = await self.api.connect("oidc", type, **input)
        page = await self.consent(authorization["url"])
        assert "OIDC is connected" in page.text, page.text
        connection: dict[str, Any] = (await self.api.authorization(authorization["id"]))["connection"]
        return connection

    async def refreshed(self, connection_id: str, *, after: str | None) -> dict[str, Any]:
        """The connection, once it was renewed later than that."""

        async def look() -> dict[str, Any] | None:
            connection = await self.api.connection(connection_id)
            assert connection["status"] == "CONNECTED", connection
            renewed = connection["lastRefreshedAt"]
            return connection if renewed is not None and (after is None or moment(renewed) > moment(after)) else None

        return await until(look, within=15)


@dataclass(frozen=True)
class Installation:
    """A Patchbay with a folder and a port of its own, and the provider that knows its callback URL."""

    url: str
    provider: Provider
    folder: Path
    environment: dict[str, str]
    _starts: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def callback(self) -> str:
        return callback_at(self.url)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[Program, str]]:
        """The server as a process, for as long as this lasts, and the sign-in link of its greeting."""
        words = self.folder / f"patchbay-{next(self._starts)}"
        async with running(sys.executable, "-m", "api", "serve", words=words, environment=self.environment) as program:
            link = (await program.says(r"http://\S+/sign-in\?link=\S+"))[0]
            yield program, link

    @asynccontextmanager
    async def owner(self, link: str) -> AsyncIterator[Api]:
        """The one who started it and opened the link, with an API token made in the browser."""
        async with Browser.opened() as browser:
            assert (await browser.open(link)).path == "/"
            token = await self._new_token(browser)
        async with Api.opened(self._graphql, token) as api:
            yield api

    @asynccontextmanager
    async def person(self, name: str) -> AsyncIterator[Person]:
        """Someone new, whom the operator made a user."""
        async with Browser.opened(self.provider.tls) as browser:
            await browser.open(await self._new_sign_in_link(name))
            async with Api.opened(self._graphql, await self._new_token(browser)) as api:
                yield Person(api, browser, f"{name.lower()}-{uuid4().hex[:8]}")

    async def _new_sign_in_link(self, name: str) -> str:
        """What the operator's command line prints for a new user."""
        words = self.folder / f"person-{uuid4().hex}"
        command = (sys.executable, "-m", "api", "users", "create", "--name", name)
        async with running(*command, words=words, environment=self.environment) as program:
            return (await program.says(r"http://\S+/sign-in\?link=\S+"))[0]

    async def _new_token(self, browser: Browser) -> str:
        """A token that somebody makes for themselves."""
        make = 'mutation { createApiToken(input: {name: "tests"}) { ... on CreateApiTokenSuccess { token } } }'
        return str((await browser.ask(self._graphql, make)).json()["data"]["createApiToken"]["token"])

    @asynccontextmanager
    async def browser(self, token: str | None = None) -> AsyncIterator[Browser]:
        """A browser without cookies, or with those of who signed in with a token."""
        async with Browser.opened(self.provider.tls) as browser:
            if token is not None:
                await browser.open(urljoin(self.url, "/sign-in"))
                assert (await browser.submit(token=token)).path == "/", browser.page
            yield browser

    @property
    def _graphql(self) -> str:
        return f"{self.url}/graphql"


@asynccontextmanager
async def installed(folder: Path) -> AsyncIterator[Installation]:
    """A Patchbay that may be started, and its provider, started."""
    url = f"http://127.0.0.1:{free_port()}"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "provider.pem"))
    command = ("node", HERE / "oidc" / "server.mjs", folder / "provider.pem", callback_at(url))
    environment = {"ACCESS_TTL": str(ACCESS_TOKEN_SECONDS)}
    async with running(*command, words=folder / "provider", environment=environment) as program:
        address = (await program.says(r"ready (https://\S+)"))[1]
        tls = SSLContext(PROTOCOL_TLS_CLIENT)
        authority.configure_trust(tls)
        yield Installation(url, Provider(address, tls), folder, _settings(folder, url, address))


def callback_at(url: str) -> str:
    return f"{url}/provisioning_/callback/oidc"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _settings(folder: Path, url: str, provider: str) -> dict[str, str]:
    host = urlsplit(provider).netloc
    connectors = folder / "connectors"
    connectors.mkdir()
    description = (HERE / "connectors" / "oidc.toml").read_text()
    (connectors / "oidc.toml").write_text(description.replace("PORT", host.partition(":")[2]))
    return {
        "PATCHBAY_DATA_FOLDER": str(folder / "data"),
        "PATCHBAY_PORT": str(urlsplit(url).port),
        "PATCHBAY_CONNECTORS_FOLDER": str(connectors),
        "PATCHBAY_EGRESS_ALLOW": host,
        "PATCHBAY_EGRESS_CA_FILE": str(folder / "authority.pem"),
        "PATCHBAY_REFRESH_SCHEDULE": "* * * * * *",
    }
