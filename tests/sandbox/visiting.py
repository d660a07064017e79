"""A sandbox on a real file, and somebody who goes through it as a browser and as a client would."""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from starlette.applications import Starlette
from starlette.routing import Mount

from api.sandbox import Sandbox, create_sandbox

ISSUER = "http://127.0.0.1:8000/sandbox"
REDIRECT_URI = "http://127.0.0.1:8000/provisioning_/callback/sandbox"


@dataclass
class HandClock:
    now: datetime = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


@dataclass
class Visitor:
    """Speaks OAuth by hand: no library stands between the test and the provider."""

    browser: httpx2.AsyncClient
    sandbox: Sandbox
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def basic(self) -> tuple[str, str]:
        return (self.sandbox.client_id, self.sandbox.client_secret.reveal())

    def request(self, **changes: str | None) -> dict[str, str]:
        """A good authorization request, with changes; None takes a parameter away."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters = {
            "response_type": "code",
            "client_id": self.sandbox.client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": "read write",
            "state": "state-1",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        } | changes
        return {name: value for name, value in parameters.items() if value is not None}

    async def decide(self, form: dict[str, Any] | None = None, **changes: str | None) -> dict[str, str]:
        """What the browser brings back to the client."""
        form = form or {"decision": "allow", "account": "alex", "scope": ["read", "write"]}
        answer = await self.browser.post(f"{ISSUER}/authorize", params=self.request(**changes), data=form)
        assert answer.status_code == 302, answer.text
        location = urlsplit(answer.headers["location"])
        assert location._replace(query="").geturl() == REDIRECT_URI
        return dict(parse_qsl(location.query))

    async def exchange(self, code: str, **changes: str) -> httpx2.Response:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": self.verifier}
        return await self.browser.post(f"{ISSUER}/token", data=form | changes, auth=self.basic)

    async def refresh(self, token: str, **changes: str) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token} | changes
        return await self.browser.post(f"{ISSUER}/token", data=form, auth=self.basic)

    async def connect(self) -> dict[str, Any]:
        """The tokens of a grant by alex."""
        answer = await self.exchange((await self.decide())["code"])
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def me(self, token: str) -> httpx2.Response:
        return await self.browser.get(f"{ISSUER}/api/me", headers={"authorization": f"Bearer {token}"})

    async def control(self, **wish: object) -> httpx2.Response:
        return await self.browser.post(f"{ISSUER}/control", json=wish)

    async def report(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.browser.get(f"{ISSUER}/control")).json()
        return answer


@asynccontextmanager
async def visiting(data_file: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    """The sandbox started upon this file, at its own path, and a visitor."""
    sandbox = create_sandbox(data_file, ISSUER, clock, (REDIRECT_URI,))
    app = Starlette(routes=[Mount("/sandbox", sandbox)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8000") as browser:
        yield Visitor(browser, sandbox.state.sandbox)
