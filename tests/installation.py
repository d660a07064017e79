"""A whole Patchbay in the running process, with the sandbox served on a real socket as its provider."""

import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit
from uuid import UUID

import httpx2
import uvicorn
from anyio import create_task_group
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

import models
from api.access import Actor
from api.clock import Steady
from api.connections.requests import ConnectRequest
from api.events.log import EventLog
from api.opening import open_patchbay
from api.patchbay import Patchbay
from api.sandbox.app import create_sandbox
from api.sandbox.sandbox import Sandbox, Switch
from api.secret import Secret
from api.settings import Settings
from api.vault.keys import generate_key_text
from models import AuthenticationType, FolderKind
from tests.clock import HeldClock


@dataclass(frozen=True)
class Installation:
    """A Patchbay that refreshes when told to, and the sandbox as a person and as its operator see it."""

    patchbay: Patchbay
    sandbox: Sandbox
    clock: HeldClock
    browser: httpx2.AsyncClient
    ada: Actor
    workspace: UUID

    @property
    def log(self) -> EventLog:
        """The log through which everything here is changed."""
        return self.patchbay.connections._log

    async def tick(self, *, after: timedelta = timedelta(0)) -> None:
        """One tick of the refresh loop, later by so much, and all that it begins."""
        self.clock.move(after)
        await self.patchbay.refresh_loop.tick()
        await self.patchbay.refresher.settled()

    async def throw(self, switch: Switch, account: str = "alex") -> None:
        self.sandbox.throw(switch, account=account)

    async def add_person(self, name: str, *, administrator: bool = False) -> Actor:
        user = await self.patchbay.people.add_user(name=name, administrator=administrator)
        return Actor(user.id, user.name, administrator)

    def personal_token(self, account: str = "alex") -> Secret:
        tokens = {grant.account: grant.personal_token for grant in self.sandbox.overview().personal}
        token = tokens[account]
        assert token is not None
        return token

    def token_request(self, **changes: Any) -> ConnectRequest:
        given: dict[str, Any] = {
            "folder_id": self.workspace,
            "connector_key": "sandbox",
            "authentication_type": AuthenticationType.PERSONAL_ACCESS_TOKEN,
            "fields": {"token": self.personal_token()},
        }
        return ConnectRequest(**(given | changes))

    def consent_request(self, **changes: Any) -> ConnectRequest:
        given: dict[str, Any] = {
            "folder_id": self.workspace,
            "connector_key": "sandbox",
            "authentication_type": AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
        }
        return ConnectRequest(**(given | changes))

    async def connect_with_token(self, **changes: Any) -> models.Connection:
        """A connection with a personal access token of the sandbox."""
        connection = await self.patchbay.connecting.connect(self.ada, self.token_request(**changes))
        assert isinstance(connection, models.Connection)
        return connection

    async def begin(self, **changes: Any) -> models.Authorization:
        authorization = await self.patchbay.connecting.connect(self.ada, self.consent_request(**changes))
        assert isinstance(authorization, models.Authorization)
        return authorization

    async def connect_by_consent(self, **changes: Any) -> models.Connection:
        """A connection by a consent at the sandbox."""
        authorization = await self.come_back(await self.begin(**changes))
        assert authorization.connection_id is not None, authorization.reason
        return await models.Connection.get(id=authorization.connection_id)

    async def come_back(self, authorization: models.Authorization, **choices: Any) -> models.Authorization:
        """Depart, decide at the sandbox, and come back with its answer."""
        departure = await self.patchbay.connecting.depart(self.ada, authorization.id)
        parameters = await self.decide(departure.url, **choices)
        cookies = {departure.cookie_name: departure.cookie_value}
        return await self.patchbay.connecting.complete(self.ada, "sandbox", parameters, cookies)

    async def decide(
        self, url: str, *, account: str = "alex", decision: str = "allow", scopes: list[str] | None = None
    ) -> list[tuple[str, str]]:
        """What the sandbox sends the browser back with, once a person decided on its consent page."""
        page = await self.browser.get(url)
        assert page.status_code == 200, page.text
        form = _Form(page.text)
        chosen = form.scopes if scopes is None else scopes
        answer = await self.browser.post(
            urljoin(str(page.url), form.action),
            data={"account": account, "decision": decision, "scope": chosen},
            headers={"Origin": self.sandbox.origin},
        )
        assert answer.status_code == 302, answer.text
        return parse_qsl(urlsplit(answer.headers["location"]).query)


class _Form(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.action = ""
        self.scopes: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.action = given.get("action") or ""
        if tag == "input" and given.get("name") == "scope":
            self.scopes.append(given.get("value") or "")


@asynccontextmanager
async def installed(
    database_url: str,
    folder: Path,
    clock: HeldClock,
    *,
    steady: Steady | None = None,
    courier: bool = False,
    beside: Sequence[BaseRoute] = (),
    **environment: str,
) -> AsyncIterator[Installation]:
    """Open a Patchbay on a migrated database, and the sandbox beside it. `steady` goes on where the clock is set.

    What stands `beside` the sandbox is served at the same address, and before it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        callback = f"{origin}/provisioning_/callback/sandbox"
        provider = create_sandbox(folder / "sandbox.db", f"{origin}/sandbox", clock, (callback,))
        settings = Settings.from_environment(
            {
                "PATCHBAY_DATA_FOLDER": str(folder),
                "PATCHBAY_DATABASE_URL": database_url,
                "PATCHBAY_PUBLIC_URL": origin,
                "PATCHBAY_KEYS": generate_key_text(),
                "PATCHBAY_SANDBOX": "on",
                # Never by itself: tests say when.
                "PATCHBAY_REFRESH_SCHEDULE": "0 0 0 1 1 *",
                **environment,
            }
        )
        async with (
            served(Starlette(routes=[*beside, Mount("/sandbox", provider)]), listener),
            open_patchbay(settings, clock=clock, steady=steady, chance=random.Random(1), courier=courier) as patchbay,
            httpx2.AsyncClient() as browser,
        ):
            yield await _set_up(patchbay, provider.state.sandbox, clock, browser)


async def _set_up(patchbay: Patchbay, sandbox: Sandbox, clock: HeldClock, browser: httpx2.AsyncClient) -> Installation:
    user = await patchbay.people.add_user(name="Ada", email="ada@example.com", administrator=True)
    workspace = await models.Folder.get(owner_id=user.id, kind=FolderKind.PERSONAL)
    await patchbay.oauth_apps.keep_registered("sandbox", client_id=sandbox.client_id, client_secret=sandbox.client_secret)
    return Installation(patchbay, sandbox, clock, browser, Actor(user.id, user.name, administrator=True), workspace.id)


@asynccontextmanager
async def served(app: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an application on a socket for as long as this lasts."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    async with create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        try:
            yield
        finally:
            server.should_exit = True
