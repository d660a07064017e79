"""Patchbay's pages upon a real Patchbay, with people in front of them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

import models
from api.access import Actor
from api.auth import session_cookie_name
from api.clock import utc_now
from api.connections.requests import ConnectRequest
from api.opening import open_patchbay
from api.patchbay import Patchbay
from api.routes import before_graphql, routes
from api.sandbox import create_sandbox
from api.settings import Settings
from api.vault.keys import create_key_file
from models import AuthenticationType


@dataclass
class Site:
    patchbay: Patchbay
    app: Starlette
    _browsers: list[httpx2.AsyncClient] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.patchbay.settings.public_url

    @property
    def session_cookie(self) -> str:
        return session_cookie_name(self.url)

    def browser(self, *, live: bool = False) -> httpx2.AsyncClient:
        """A browser with cookies of its own that follows no redirect by itself."""
        transport = None if live else httpx2.ASGITransport(self.app)
        browser = httpx2.AsyncClient(transport=transport, base_url=self.url, trust_env=False)
        self._browsers.append(browser)
        return browser

    async def person(self, name: str) -> Actor:
        user = await self.patchbay.people.add_user(name=name)
        return Actor(user.id, user.name, user.administrator)

    async def signed_in(self, actor: Actor, *, live: bool = False) -> httpx2.AsyncClient:
        browser = self.browser(live=live)
        link = await self.patchbay.people.new_sign_in_link(actor.user_id)
        await browser.get("/sign-in", params={"link": link.reveal()})
        return browser

    async def begin(self, actor: Actor, *, return_url: str | None = None) -> models.Authorization:
        """A consent at the sandbox that waits for this person."""
        workspace = await models.Folder.get(owner_id=actor.user_id)
        request = ConnectRequest(workspace.id, "sandbox", AuthenticationType.OAUTH2_AUTHORIZATION_CODE, return_url=return_url)
        authorization = await self.patchbay.connecting.connect(actor, request)
        assert isinstance(authorization, models.Authorization)
        return authorization

    async def close(self) -> None:
        for browser in self._browsers:
            await browser.aclose()


@asynccontextmanager
async def open_site(database_url: str, folder: Path, public_url: str, **environment: str) -> AsyncIterator[Site]:
    key_file = folder / "master.key"
    create_key_file(key_file)
    settings = Settings.from_environment(
        {
            "PATCHBAY_DATA_FOLDER": str(folder),
            "PATCHBAY_DATABASE_URL": database_url,
            "PATCHBAY_KEY_FILE": str(key_file),
            "PATCHBAY_PUBLIC_URL": public_url,
            "PATCHBAY_RETURN_ORIGINS": "https://app.example",
            "PATCHBAY_SANDBOX": "on",
            **environment,
        }
    )
    callback = f"{public_url}/provisioning_/callback/sandbox"
    sandbox = create_sandbox(folder / "sandbox.db", settings.sandbox_url, utc_now, (callback,))
    client = sandbox.state.sandbox
    async with open_patchbay(settings, serves=False, refreshes=False) as patchbay:
        await patchbay.oauth_apps.keep_registered("sandbox", client_id=client.client_id, client_secret=client.client_secret)
        app = Starlette(routes=[*before_graphql(settings), *routes(settings), Mount("/sandbox", sandbox)])
        app.state.patchbay = patchbay
        site = Site(patchbay, app)
        try:
            yield site
        finally:
            await site.close()


@asynccontextmanager
async def served(site: Site, listener: socket.socket) -> AsyncIterator[None]:
    """Serve the site upon this socket until the end of the block."""
    server = uvicorn.Server(uvicorn.Config(site.app, log_config=None, lifespan="off"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server._serve([listener]))
        try:
            yield
        finally:
            server.should_exit = True
