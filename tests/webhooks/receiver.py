"""A receiver of webhooks on a real socket: it verifies by the library of those who wrote the standard, and answers as it is told."""

import asyncio
import json
import socket
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.installation import served


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes
    # Which of the secrets that the receiver knows the message verifies with.
    verified_by: list[str]

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> dict[str, Any]:
        return dict(self.message["data"])


@dataclass
class Receiver:
    port: int
    secrets: list[str] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    # What comes next at a path: a status with headers; 204 where nothing is planned.
    answers: dict[str, deque[tuple[int, dict[str, str], bytes]]] = field(default_factory=lambda: defaultdict(deque))
    usual: dict[str, int] = field(default_factory=dict)
    # Paths that answer only once this is set.
    stuck: dict[str, asyncio.Event] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/hook") -> str:
        return f"http://{self.host}{path}"

    def plan(self, status: int, *, path: str = "/hook", body: bytes = b"", **headers: str) -> None:
        self.answers[path].append((status, {name.replace("_", "-"): value for name, value in headers.items()}, body))

    def at(self, path: str = "/hook") -> list[Received]:
        return [each for each in self.received if each.path == path]

    async def take(self, request: Request) -> Response:
        body, headers, path = await request.body(), dict(request.headers), request.url.path
        self.received.append(Received(path, headers, body, [secret for secret in self.secrets if _verifies(secret, body, headers)]))
        if path in self.stuck:
            await self.stuck[path].wait()
        planned = self.answers[path]
        status, answered, content = planned.popleft() if planned else (self.usual.get(path, 204), {}, b"")
        return Response(content, status, answered)


def _verifies(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = Receiver(listener.getsockname()[1])
        app = Starlette(routes=[Route("/{path:path}", receiver.take, methods=["POST"])])
        async with served(app, listener):
            yield receiver
