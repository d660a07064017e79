"""The endpoint on a real socket, upon a real Patchbay, and those who call it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route, WebSocketRoute
from strawberry.schema import BaseSchema
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from api.app import DatabaseOfRequest
from api.auth import session_cookie_name
from api.graphql.view import GraphQLView
from api.prompt_socket import PromptSocket
from tests.installation import Installation


@dataclass(frozen=True)
class Endpoint:
    here: Installation
    origin: str
    token: str
    cookie: str
    client: httpx2.AsyncClient

    @property
    def url(self) -> str:
        return f"{self.origin}/graphql"

    @property
    def with_token(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    @property
    def with_cookie(self) -> dict[str, str]:
        return {"cookie": f"{session_cookie_name(self.here.patchbay.settings.public_url)}={self.cookie}"}

    async def post(self, asked: object = None, *, body: bytes | None = None, headers: dict[str, str] | None = None) -> httpx2.Response:
        """POST as JSON, with the API token unless other headers are given."""
        content = json.dumps(asked).encode() if body is None else body
        given = {"content-type": "application/json"} | (self.with_token if headers is None else headers)
        return await self.client.post(self.url, content=content, headers=given)

    async def ask(self, document: str, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.post({"query": document, **more})).json()
        return answer

    @asynccontextmanager
    async def socket(
        self, *, protocol: str | None = "graphql-transport-ws", origin: str | None = None, headers: dict[str, str] | None = None
    ) -> AsyncIterator[ClientConnection]:
        async with connect(
            self.url.replace("http", "ws", 1),
            subprotocols=None if protocol is None else [Subprotocol(protocol)],
            origin=None if origin is None else Origin(origin),
            additional_headers=headers or {},
            proxy=None,
        ) as opened:
            yield opened

    @asynccontextmanager
    async def initiated(self) -> AsyncIterator[ClientConnection]:
        """A socket whose caller is known."""
        async with self.socket() as opened:
            await say(opened, {"type": "connection_init", "payload": {"authorization": self.token}})
            assert await hear(opened) == {"type": "connection_ack"}
            yield opened


async def say(opened: ClientConnection, message: object) -> None:
    await opened.send(json.dumps(message))


async def hear(opened: ClientConnection) -> Any:
    async with asyncio.timeout(5):
        return json.loads(await opened.recv())


async def close_code(opened: ClientConnection) -> int | None:
    """The code that the other side closed with, once it has."""
    async with asyncio.timeout(8):
        await opened.wait_closed()
    return opened.close_code


@asynccontextmanager
async def open_endpoint(here: Installation, schema: BaseSchema, **options: Any) -> AsyncIterator[Endpoint]:
    """Serve a schema as the endpoint of this installation."""
    view = GraphQLView(schema, **options)
    routes: Sequence[BaseRoute] = [Route("/graphql", view), WebSocketRoute("/graphql", view)]
    async with open_routes(here, routes) as endpoint:
        yield endpoint


@asynccontextmanager
async def open_routes(here: Installation, routes: Sequence[BaseRoute]) -> AsyncIterator[Endpoint]:
    app = Starlette(routes=routes, middleware=[Middleware(DatabaseOfRequest)])
    app.state.patchbay = here.patchbay
    people = here.patchbay.people
    token = await people.add_token(here.ada.user_id, name="For the test")
    cookie = await people.sign_in_with_link(await people.new_sign_in_link(here.ada.user_id))
    assert cookie is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with _serving(app, listener), httpx2.AsyncClient(trust_env=False, timeout=10) as client:
            origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield Endpoint(here, origin, token.token.reveal(), cookie.reveal(), client)


@asynccontextmanager
async def _serving(app: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws=PromptSocket, ws_max_size=64 * 1024, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server._serve([listener]))
        try:
            yield
        finally:
            server.should_exit = True
