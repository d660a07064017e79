"""A provider of whatever a test wants, and Patchbay's doors in front of it, both on sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

import models
from api.app import DatabaseOfRequest
from api.entrance import Entrance
from api.routes import routes
from api.secret import Secret
from models import AuthenticationType
from tests.clock import HeldClock
from tests.installation import Installation, installed, served

Respond = Callable[["Told", Receive, Send], Awaitable[None]]

FILES = """
requires = ["sandbox_url"]

name = "Files"
vendor = "Files"
category = "dev"
base_url = "{sandbox_url}/files/v1"
headers = { Files-Version = "1", X-Home = "{home}" }

[fields.home]
label = "Home"
required = false
default = "home"
pattern = "[a-z]+"

[verify]
path = "/proof"

[personal_access_token]
label = "Token"
send.headers = { X-Api-Key = "{token}" }

[personal_access_token.fields.token]
label = "Token"
secret = true

[api_key]
label = "Key in the query"
send.query = { key = "{key}" }

[api_key.fields.key]
label = "Key"
secret = true

[client_credentials]
label = "Client credentials"
token_url = "{sandbox_url}/token"
client_authentication = "client_secret_basic"

[client_credentials.refresh]
supported = false

[aws_access_key]
label = "Access key"
send.aws_signature = { service = "files", region = "eu-central-1" }

[aws_access_key.fields.access_key_id]
label = "Access key ID"

[aws_access_key.fields.secret_access_key]
label = "Secret access key"
secret = true

[custom]
label = "Directory"
proof = "login"
login = { protocol = "ldap", host = "ldap.example", port = "636", security = "tls", username = "ada", password = "{password}" }

[custom.fields.password]
label = "Password"
secret = true
"""

INSIDE = """
name = "Inside"
category = "dev"
base_url = "https://inside.example/v1"

[api_key]
label = "Key"
proof = "none"
send.headers = { X-Api-Key = "{key}" }

[api_key.fields.key]
label = "Key"
secret = true
"""


@dataclass
class Told:
    """What the provider was told."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name.lower()]
        assert len(found) <= 1
        return found[0] if found else None


@dataclass
class Files:
    """The provider: it says 200 to its proof, and else what a test wants of it."""

    respond: Respond | None = None
    # Tokens that it takes no more.
    rejected: set[str] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        told = Told(scope["method"], target, [(name.decode(), value.decode()) for name, value in scope["headers"]])
        if target.split("?")[0].endswith("/files/v1/proof"):
            await say(send, 200 if not self.is_rejected(told) else 401, b"{}")
            return
        self.told.append(told)
        if self.respond is not None:
            await self.respond(told, receive, send)
            return
        told.body = await body_of(receive)
        if self.is_rejected(told):
            await say(send, 401, b'{"error": "invalid_token"}', ("WWW-Authenticate", "Bearer"))
        else:
            await say(send, 200, json.dumps({"method": told.method, "bytes": len(told.body)}).encode())

    def is_rejected(self, told: Told) -> bool:
        return (told.header("authorization") or "").removeprefix("Bearer ") in self.rejected


async def body_of(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def say(send: Send, status: int, body: bytes = b"", *headers: tuple[str, str], has_length: bool = True) -> None:
    length = [("Content-Length", str(len(body)))] if has_length else []
    await begin(send, status, *length, *headers)
    await send({"type": "http.response.body", "body": body})


async def begin(send: Send, status: int, *headers: tuple[str, str]) -> None:
    said = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": said})


def saying(status: int, body: bytes = b"", *headers: tuple[str, str]) -> Respond:
    async def respond(told: Told, receive: Receive, send: Send) -> None:
        told.body = await body_of(receive)
        await say(send, status, body, *headers)

    return respond


@dataclass
class Scene:
    here: Installation
    files: Files
    url: str
    token: Secret
    client: httpx2.AsyncClient

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.reveal()}"}

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def connect(self, type: AuthenticationType, *, connector: str = "files", **fields: str | Secret) -> models.Connection:
        given = {name: value if isinstance(value, Secret) else Secret(value) for name, value in fields.items()}
        return await self.here.connect_with_token(connector_key=connector, authentication_type=type, fields=given)

    async def connect_by_token(self, token: str = "a-token-of-files") -> models.Connection:
        return await self.connect(AuthenticationType.PERSONAL_ACCESS_TOKEN, token=token)

    async def connect_renewably(self) -> models.Connection:
        sandbox = self.here.sandbox
        return await self.connect(
            AuthenticationType.OAUTH2_CLIENT_CREDENTIALS, client_id=sandbox.client_id, client_secret=sandbox.client_secret
        )

    async def call(self, connection: models.Connection, method: str, path: str = "/a", **more: Any) -> httpx2.Response:
        headers = {**self.bearer, **more.pop("headers", {})}
        return await self.client.request(method, f"{self.url}/proxy/{connection.id}{path}", headers=headers, **more)

    @asynccontextmanager
    async def raw(self, head: str, body: bytes = b"") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Say exactly this at the doors, as whoever has the token; more may be said and heard."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{head}\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.token.reveal()}\r\n\r\n".encode() + body)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def status_of(self, target: str, method: str = "GET") -> int:
        """What is answered to a target exactly as it stands here."""
        async with self.raw(f"{method} {target} HTTP/1.1\r\nConnection: close") as (reader, _):
            return int((await reader.read()).split(b" ")[1])


@asynccontextmanager
async def open_scene(database_url: str, folder: Path, clock: HeldClock, **environment: Any) -> AsyncIterator[Scene]:
    connectors = folder / "connectors"
    connectors.mkdir()
    (connectors / "files.toml").write_text(FILES)
    (connectors / "inside.toml").write_text(INSIDE)
    files = Files()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        environment = {"PATCHBAY_CONNECTORS_FOLDER": str(connectors), **environment}
        async with installed(database_url, folder, clock, beside=[Mount("/sandbox/files", files)], **environment) as here:
            settings = here.patchbay.settings
            doors = Starlette(routes=routes(settings), middleware=[Middleware(Entrance, settings=settings), Middleware(DatabaseOfRequest)])
            doors.state.patchbay = here.patchbay
            token = await here.patchbay.people.add_token(here.ada.user_id, name="For the test")
            async with served(doors, listener), httpx2.AsyncClient(trust_env=False, timeout=15) as client:
                yield Scene(here, files, url, token.token, client)
