"""Providers that connectors of one's own are made for: small servers with TLS, which remember all that they were asked."""

import base64
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anyio
import trustme
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.catalog.definition import ConnectorDefinition, OAuth2Definition, PlacementDefinition, VerifyDefinition
from models import AuthenticationType

CLIENT = ("client-of-acme", "client-secret-canary-8f2c")
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN = "typed-token-canary-51d0"


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    query: dict[str, str] = field(repr=False)
    form: dict[str, str] = field(repr=False)


@dataclass
class Vendor:
    """What is asked of `/me` needs a token that was given here, or `TOKEN`; `/token` needs `CLIENT`."""

    port: int
    asked: list[Asked] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    revoked: list[str] = field(default_factory=list)
    # What was said in signed assertions.
    claims: list[dict[str, Any]] = field(default_factory=list)
    # Called with each request before it is answered.
    before: Callable[[Asked], Awaitable[None]] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    async def answer(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = Asked(request.method, request.url.path, dict(request.headers), dict(request.query_params), form)
        self.asked.append(asked)
        if self.before is not None:
            await self.before(asked)
        match asked.path:
            case "/token":
                return self._token(asked)
            case "/revoke":
                self.revoked.append(form["token"])
                return Response()
        return self._me(asked)

    def _token(self, asked: Asked) -> Response:
        if asked.form.get("grant_type") == JWT_BEARER:
            self.claims.append(json.loads(_decoded(asked.form["assertion"].split(".")[1])))
        elif not self._is_client(asked):
            return JSONResponse({"error": "invalid_client"}, 401)
        if asked.form.get("grant_type") == "authorization_code" and asked.form.get("code") != "good-code":
            return JSONResponse({"error": "invalid_grant"}, 400)
        tokens = {"access_token": secrets.token_urlsafe(24), "token_type": "Bearer", "expires_in": 3600}
        if asked.form.get("grant_type") not in ("client_credentials", JWT_BEARER):
            tokens["refresh_token"] = secrets.token_urlsafe(24)
        self.given.add(str(tokens["access_token"]))
        return JSONResponse(tokens)

    def _is_client(self, asked: Asked) -> bool:
        scheme, _, value = asked.headers.get("authorization", "").partition(" ")
        basic = base64.b64decode(value).decode() if scheme == "Basic" else ""
        return basic == ":".join(CLIENT) or (asked.form.get("client_id"), asked.form.get("client_secret")) == CLIENT

    def _me(self, asked: Asked) -> Response:
        shown = {asked.headers.get("authorization", "").removeprefix("Bearer "), asked.headers.get("x-token"), asked.query.get("key")}
        if shown.isdisjoint({TOKEN, *self.given}):
            return JSONResponse({"error": "who?"}, 401)
        return JSONResponse({"user": {"email": "alex@acme.example"}})

    def definition(self, **changes: Any) -> ConnectorDefinition:
        """A connector that this is the provider of."""
        definition = ConnectorDefinition(
            key="acme",
            name="Acme",
            base_url=f"{self.url}/v1",
            verify=VerifyDefinition("/me", account="user.email"),
            personal_access_token=PlacementDefinition(),
            oauth2=self.oauth2(),
        )
        return replace(definition, **changes)

    def oauth2(self, *more: AuthenticationType, **changes: Any) -> OAuth2Definition:
        return replace(
            OAuth2Definition(
                grants=(
                    AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
                    AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP,
                    AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
                    *more,
                ),
                authorize_url=f"{self.url}/authorize",
                token_url=f"{self.url}/token",
                revoke_url=f"{self.url}/revoke",
            ),
            **changes,
        )


@asynccontextmanager
async def vendors(folder: Path, count: int = 2) -> AsyncIterator[tuple[list[Vendor], dict[str, str]]]:
    """Several of them, and the settings by which a Patchbay may call them."""
    authority, certificate = trustme.CA(), folder / "vendor.pem"
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [Vendor(listener.getsockname()[1]) for listener in listeners]
    settings = {
        "PATCHBAY_EGRESS_ALLOW": ",".join(vendor.host for vendor in found),
        "PATCHBAY_EGRESS_CA_FILE": str(folder / "authority.pem"),
    }
    servers = [_server(vendor, certificate) for vendor in found]
    async with anyio.create_task_group() as tasks:
        for server, listener in zip(servers, listeners, strict=True):
            tasks.start_soon(server.serve, [listener])
        try:
            yield found, settings
        finally:
            for server in servers:
                server.should_exit = True


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _server(vendor: Vendor, certificate: Path) -> uvicorn.Server:
    app = Starlette(routes=[Route("/{path:path}", vendor.answer, methods=["GET", "POST", "DELETE"])])
    config = uvicorn.Config(app, log_config=None, lifespan="off", ssl_certfile=str(certificate), timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    return server
