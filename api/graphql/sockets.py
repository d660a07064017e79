"""graphql-transport-ws: frames are checked before they are believed, and a caller is asked for their credential before anything else.

Whatever is sent that is not the protocol's ends the socket with a code of the 4400s.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage, Message, SubscribeMessage
from strawberry.types.graphql import OperationType

from api.access import Actor
from api.auth import Credential, actor_of, bearer_of, credential_of, is_from_our_page, source_of
from api.graphql.bodies import NotExecuted, check_operation, read_object
from api.graphql.refusals import Code, Refusal
from api.graphql.reporting import fault
from api.graphql.sharing import Document, answers
from api.graphql.turnstile import Visit
from api.patchbay import Patchbay

OPERATIONS_PER_SOCKET = 50
# What a server may have for us: sends a text, as bytes, where the reader takes it at once, and tells whether it did.
SEND_NOW = "patchbay.send_now"
# The protocol's code for whatever there is too much of.
TOO_MANY = 4429

_LONGEST_ID = 128
# In bytes (RFC 6455 section 5.5: 125, less the code).
_LONGEST_REASON = 123
# A mutation belongs into a request of its own, which a browser marks with where it comes from.
_OPERATIONS = {OperationType.QUERY, OperationType.SUBSCRIPTION}


@dataclass(slots=True)
class Caller:
    """Who is at the other end of a socket."""

    patchbay: Patchbay
    socket: WebSocket
    visit: Visit
    connection_params: dict[str, Any] = field(default_factory=dict)

    async def actor(self) -> Actor | None:
        """Asked anew for every operation, so that a token that was revoked begins nothing more."""
        return await actor_of(self._credential(), self.patchbay, source=source_of(self.socket))

    def _credential(self) -> Credential | None:
        # Browsers cannot send headers with a socket, so a token may come in the first frame.
        given = self.connection_params.get("authorization", self.connection_params.get("Authorization"))
        if given is not None:
            return _given_credential(given)
        settings = self.patchbay.settings
        credential = credential_of(self.socket, settings.public_url)
        if credential is None or (credential.is_ambient and not is_from_our_page(self.socket, settings)):
            return None
        return credential


class Frames(ASGIWebSocketAdapter):
    """Frames as JSON objects."""

    ws: WebSocket

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        visit: Visit = self.ws.scope["visit"]
        try:
            while self.ws.application_state != WebSocketState.DISCONNECTED:
                try:
                    text = await self.ws.receive_text()
                    if not visit.hear():
                        await self.close(TOO_MANY, "Too many messages")
                        return
                    yield read_object(text)
                except NotExecuted:
                    raise NonJsonMessageReceived from None
        except KeyError:
            raise NonTextMessageReceived from None
        except WebSocketDisconnect:
            return

    async def send_json(self, message: Any) -> None:
        if self.ws.application_state == WebSocketState.DISCONNECTED:
            raise WebSocketDisconnected
        await super().send_json(message)

    async def send_text(self, text: bytes) -> None:
        """What is JSON already. Raises WebSocketDisconnected."""
        if self.ws.application_state == WebSocketState.DISCONNECTED:
            raise WebSocketDisconnected
        try:
            await self.ws.send_text(text.decode())
        except WebSocketDisconnect:
            raise WebSocketDisconnected from None

    async def close(self, code: int, reason: str) -> None:
        """Close it, unless it is closed already."""
        if self.ws.application_state != WebSocketState.DISCONNECTED and self.ws.client_state != WebSocketState.DISCONNECTED:
            await super().close(code, _fitting(reason))


class SocketHandler(BaseGraphQLTransportWSHandler[Any, None]):
    async def handle_message(self, message: Message) -> None:
        if not _is_well_formed(cast("dict[str, Any]", message)):
            await self.handle_invalid_message("This is no message of graphql-transport-ws")
        else:
            await super().handle_message(message)

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        if message.get("payload") is None:
            message.pop("payload", None)
        try:
            await super().handle_connection_init(message)
        except NotExecuted:
            await self.websocket.close(TOO_MANY, "Too many sockets")
        if self.connection_acknowledged:
            # Who waited for this has been called off, and is not kept for as long as the socket lasts.
            self.connection_init_timeout_task = None

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        if self.connection_acknowledged and len(self.operations) >= OPERATIONS_PER_SOCKET:
            text = f"A socket carries at most {OPERATIONS_PER_SOCKET} operations at once."
            refusal = Refusal(Code.LIMIT_EXCEEDED, text, limit="operations", allowed=OPERATIONS_PER_SOCKET)
            await self.send_message({"id": message["id"], "type": "error", "payload": [refusal.formatted]})
        else:
            await super().handle_subscribe(message)

    async def run_operation(self, operation: Operation[Any, None]) -> None:
        try:
            caller: Caller = self.context
            actor = await caller.actor()
            if actor is None:
                await self.websocket.close(4403, "Forbidden")
            else:
                caller.visit.ask(actor)
                await self._answer(operation, caller.patchbay, actor)
        except WebSocketDisconnected:
            return
        except NotExecuted as reason:
            await operation.send_initial_errors([reason.refusal])
        # The socket and its other operations must live: one that fails is told so, and logged.
        except Exception as error:
            await operation.send_initial_errors([fault(error)])

    async def _answer(self, operation: Operation[Any, None], patchbay: Patchbay, actor: Actor) -> None:
        document = Document(self.schema, operation.query, operation.operation_name, operation.variables, _OPERATIONS)
        messages = _Messages(operation, cast("Frames", self.websocket))
        async with aclosing(answers(document, patchbay, actor, write=messages.write)) as answered:
            async for answer in answered:
                if not (messages.begun or answer.was_executed):
                    return await operation.send_initial_errors(answer.errors)
                await messages.send(answer.payload)
        return await operation.send_operation_message({"id": operation.id, "type": "complete"})


class _Messages:
    """What an operation is answered with, as the protocol has it."""

    def __init__(self, operation: Operation[Any, None], frames: Frames) -> None:
        self._frames = frames
        self._head = b'{"id":' + orjson.dumps(operation.id) + b',"type":"next","payload":'
        self._write: Callable[[bytes], bool] | None = frames.ws.scope.get("extensions", {}).get(SEND_NOW)
        # Whether any was sent.
        self.begun = False

    @property
    def write(self) -> Callable[[bytes], bool] | None:
        return None if self._write is None else self._write_now

    async def send(self, payload: bytes) -> None:
        self.begun = True
        await self._frames.send_text(self._head + payload + b"}")

    def _write_now(self, payload: bytes) -> bool:
        """Whether the reader takes it at once; where not, nothing of it was sent."""
        assert self._write is not None
        written = self._write(self._head + payload + b"}")
        self.begun |= written
        return written


def _fitting(reason: str) -> str:
    """As much of it as a close frame holds: it may name an id, which the client chose."""
    return reason.encode()[:_LONGEST_REASON].decode(errors="ignore")


def _given_credential(given: object) -> Credential | None:
    """`Bearer …`, as in a header, or the token alone."""
    if not isinstance(given, str):
        return None
    token = bearer_of(given if " " in given.strip() else f"Bearer {given}")
    return None if token is None else Credential(token, is_ambient=False)


def _is_well_formed(message: dict[str, Any]) -> bool:
    payload = message.get("payload")
    match message.get("type"):
        case "connection_init" | "ping" | "pong":
            return isinstance(payload, dict | None)
        case "complete":
            return _is_id(message.get("id"))
        case "subscribe":
            return _is_id(message.get("id")) and _asks_for_an_operation(payload)
    return False


def _is_id(id: object) -> bool:
    return isinstance(id, str) and 0 < len(id) <= _LONGEST_ID


def _asks_for_an_operation(payload: object) -> bool:
    if not isinstance(payload, dict):
        return False
    try:
        check_operation(payload)
    except NotExecuted:
        return False
    return True
