"""A vendor as others run one: an API, an authorization server that describes itself, and TLS, on a real socket. It does as a test says."""

import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
import uvicorn
from anyio import create_task_group
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

CLIENT_ID, CLIENT_SECRET = "machine", "machine-secret-canary"
KEY = "vendor-key-canary"


@dataclass
class Vendor:
    """`asked`: every request, as method and path. `metadata` replaces what it says of itself, `answers` what it answers, by path."""

    origin: str
    authority: Path
    asked: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Response] = field(default_factory=dict)
    # Paths that are never answered.
    silent: set[str] = field(default_factory=set)
    tokens: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """What an operator sets so that it may be called."""
        return {"PATCHBAY_EGRESS_ALLOW": self.origin.removeprefix("https://"), "PATCHBAY_EGRESS_CA_FILE": str(self.authority)}

    @property
    def discovery_url(self) -> str:
        return f"{self.origin}/.well-known/openid-configuration"

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._describe),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/revoke", self._revoke, methods=["POST"]),
                Route("/api/me", self._tell),
                Route("/api/open", self._open),
            ]
        )

    async def _describe(self, request: Request) -> Response:
        described = {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "revocation_endpoint": f"{self.origin}/revoke",
            "scopes_supported": ["openid", "things:read"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
        }
        return self._answer(request, JSONResponse(described | self.metadata))

    async def _authorize(self, request: Request) -> Response:
        known = request.query_params["client_id"] == CLIENT_ID and request.query_params["code_challenge_method"] == "S256"
        return self._answer(request, PlainTextResponse("Do you allow it?" if known else "Who?", 200 if known else 400))

    async def _token(self, request: Request) -> Response:
        if request.url.path in self.silent:
            # Until whoever asked goes away.
            while (await request.receive())["type"] != "http.disconnect":
                pass
        form = await request.form()
        proof = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {proof}":
            return self._answer(request, JSONResponse({"error": "invalid_client"}, 401))
        if form["grant_type"] != "client_credentials":
            return self._answer(request, JSONResponse({"error": "invalid_grant"}, 400))
        self.tokens.append(f"vendor-token-canary-{len(self.tokens)}")
        return self._answer(request, JSONResponse({"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": 60}))

    async def _revoke(self, request: Request) -> Response:
        self.revoked.append(str((await request.form())["token"]))
        return self._answer(request, Response())

    async def _tell(self, request: Request) -> Response:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        is_known = bearer in self.tokens or request.headers.get("x-key") == KEY
        return self._answer(request, JSONResponse({"email": "ada@vendor.example"}) if is_known else Response(status_code=401))

    async def _open(self, request: Request) -> Response:
        return self._answer(request, JSONResponse([]))

    def _answer(self, request: Request, usual: Response) -> Response:
        self.asked.append(f"{request.method} {request.url.path}")
        return self.answers.get(request.url.path) or usual


@asynccontextmanager
async def vending(folder: Path) -> AsyncIterator[Vendor]:
    """The vendor, for as long as this lasts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    pair = folder / "vendor.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pair))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        vendor = Vendor(f"https://127.0.0.1:{listener.getsockname()[1]}", folder / "authority.pem")
        config = uvicorn.Config(vendor.app, log_config=None, lifespan="off", ssl_certfile=pair, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        async with create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            try:
                yield vendor
            finally:
                server.should_exit = True
