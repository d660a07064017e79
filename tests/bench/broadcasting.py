"""Sides that send an event to all who watch. Each `POST /publish` is an event, with its number as the body; nothing is checked.

usage: python -m tests.bench.broadcasting SIDE PORT. `broadcast`: bytes that are ready, by Starlette's WebSocket, which is the ceiling.
`strawberry`: a subscription as its documentation has one write it. Both by the server that Patchbay has, without its ways of its own.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import orjson
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import GraphQL

_ID = "0190a5d2-7c1e-7b6e-9d6f-2f8f3a5c1d90"
_AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


@strawberry.type
class Connection:
    id: str
    name: str
    status: str


@strawberry.type
class Folder:
    id: str
    name: str


@strawberry.type
class Reason:
    code: str
    message: str


@strawberry.type
class ConnectionEvent:
    cursor: str
    type: str
    connection_id: str
    connection_name: str
    previous_status: str | None
    status: str
    at: datetime
    number: strawberry.Private[str]

    @strawberry.field
    async def reason(self) -> Reason | None:
        return None

    @strawberry.field
    async def connection(self) -> Connection | None:
        return Connection(id=_ID, name=f"Event {self.number}", status="CONNECTED")

    @strawberry.field
    async def folder(self) -> Folder | None:
        return Folder(id=_ID, name="Watched")


def event(number: str) -> ConnectionEvent:
    return ConnectionEvent(
        cursor="c" * 35,
        type="RENAMED",
        connection_id=_ID,
        connection_name=f"Event {number}",
        previous_status=None,
        status="CONNECTED",
        at=_AT,
        number=number,
    )


_queues: set[asyncio.Queue[str]] = set()


@strawberry.type
class Query:
    hello: str = "world"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def connection_status_changed(self) -> AsyncIterator[ConnectionEvent]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        _queues.add(queue)
        try:
            while True:
                yield event(await queue.get())
        finally:
            _queues.discard(queue)


async def _publish_to_queues(request: Request) -> Response:
    number = (await request.body()).decode()
    for queue in _queues:
        queue.put_nowait(number)
    return Response("{}", media_type="application/json")


_sockets: set[WebSocket] = set()


async def _attend(socket: WebSocket) -> None:
    await socket.accept("graphql-transport-ws")
    _sockets.add(socket)
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        _sockets.discard(socket)


async def _publish_to_sockets(request: Request) -> Response:
    number = (await request.body()).decode()
    found = event(number)
    fields = {
        "cursor": found.cursor,
        "type": found.type,
        "connectionId": found.connection_id,
        "connectionName": found.connection_name,
        "previousStatus": None,
        "status": found.status,
        "at": found.at.isoformat(),
        "reason": None,
        "connection": {"id": _ID, "name": found.connection_name, "status": "CONNECTED"},
        "folder": {"id": _ID, "name": "Watched"},
    }
    message = {"id": "0" * 16, "type": "next", "payload": {"data": {"connectionStatusChanged": fields}}}
    text = orjson.dumps(message).decode()
    for socket in list(_sockets):
        await socket.send_text(text)
    return Response("{}", media_type="application/json")


def _routes(side: str) -> list[BaseRoute]:
    if side == "broadcast":
        return [WebSocketRoute("/graphql", _attend), Route("/publish", _publish_to_sockets, methods=["POST"])]
    view: GraphQL[None, None] = GraphQL(strawberry.Schema(Query, subscription=Subscription))
    return [WebSocketRoute("/graphql", view), Route("/publish", _publish_to_queues, methods=["POST"])]


def main() -> None:
    app = Starlette(routes=_routes(sys.argv[1]))
    uvicorn.run(
        app,
        port=int(sys.argv[2]),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
    )


if __name__ == "__main__":
    main()
