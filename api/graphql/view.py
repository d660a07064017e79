"""The GraphQL endpoint: graphql-over-HTTP, server-sent events, and graphql-transport-ws.

What is executed came as JSON by POST, from someone whom we know. A browser's cookie alone is not enough: the browser must also say
that a page of ours is asking. So neither a form, nor a link, nor a script of another site makes anything happen here.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any, cast

import orjson
from cross_web import AsyncHTTPRequestAdapter, StarletteRequestAdapter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.parse_content_type import parse_content_type
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult, SubscriptionExecutionResult
from strawberry.types.graphql import OperationType
from strawberry.types.unset import UNSET

from api.access import Actor
from api.auth import Foreign, caller_of, is_from_our_page, source_of
from api.clock import Steady, seconds_since_boot
from api.errors import Unauthenticated
from api.graphql.answers import answer_of
from api.graphql.bodies import NotExecuted, check_operation, read_body, read_object, read_object_with_document
from api.graphql.context import Context
from api.graphql.directly import Directly
from api.graphql.execution import PatchbaySchema
from api.graphql.plans.extension import CompiledPlans
from api.graphql.refusals import Code, was_executed
from api.graphql.reporting import fault, no_such_operation
from api.graphql.sockets import OPERATIONS_PER_SOCKET, TOO_MANY, Caller, Frames, SocketHandler
from api.graphql.turnstile import Turnstile, Visit
from api.graphql.waiting import Begun, within
from api.proxies import neighbourhood
from api.throttling import Buckets, calls_of_users
from models import OrganizationPermission

logger = logging.getLogger(__name__)

_JSON = "application/json"
_GRAPHQL = "application/graphql-response+json"
_STREAM = "text/event-stream"

_INIT_WITHIN = timedelta(seconds=5)
_TAKEN_WITHIN_SECONDS = 10.0
_USUAL_RATE = 200.0
# The statuses of answers without data; one that has data is a 200, as is every answer to who wants plain JSON.
_STATUSES: Mapping[str, int] = {Code.UNAUTHENTICATED: 401, Code.FORBIDDEN: 403, Code.TIMEOUT: 503, Code.INTERNAL: 500}


class BoundedRequest(StarletteRequestAdapter):
    @property
    def visit(self) -> Visit:
        return _visit(self._request)


class GraphQLView(GraphQL[Context | Caller, None]):
    """The endpoint as an ASGI application. `allow_get` lets queries be asked by GET; it is for audits, not for browsers.

    `calls`: what each user may ask for, here and at other doors.
    """

    request_adapter_class = BoundedRequest
    websocket_adapter_class = Frames
    graphql_transport_ws_handler_class = SocketHandler

    def __init__(
        self, schema: BaseSchema, *, calls: Buckets | None = None, steady: Steady = seconds_since_boot, allow_get: bool = False
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            allow_queries_via_get=allow_get,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=_INIT_WITHIN,
            max_subscriptions_per_connection=OPERATIONS_PER_SOCKET,
        )
        self._methods = ("GET", "POST") if allow_get else ("POST",)
        self._directly = Directly(schema) if isinstance(schema, PatchbaySchema) and CompiledPlans in schema.extensions else None
        self.turnstile = Turnstile(calls_of_users(_USUAL_RATE, steady) if calls is None else calls, steady)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self.turnstile.visit() as visit:
                await self._meet({**scope, "visit": visit}, receive, send)
        except TimeoutError:
            # Nothing more can be said to who does not read: the server drops the connection.
            logger.info("reader stalled", extra={"seconds": _TAKEN_WITHIN_SECONDS})

    async def _meet(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            async with _patient(send) as sending:
                await self._serve(WebSocket(scope, receive, sending))
            return
        response = await self._answer(Request(scope, receive))
        if isinstance(response, StreamingResponse):
            async with _patient(send) as sending, _ended(response.body_iterator):
                await response(scope, receive, sending)
        else:
            await within(_TAKEN_WITHIN_SECONDS, response(scope, receive, send))

    async def _answer(self, request: Request) -> Response:
        preferred = _preferred(request)
        try:
            if request.method not in self._methods:
                raise NotExecuted(405, "Send the operation as JSON, by POST.", headers={"allow": ", ".join(self._methods)})
            context = await self._entered(request, stays=preferred == _STREAM)
            asked = _visit(request).asked = await _asked(request)
            # Which kind of operation may come by GET, or as a stream, is for the execution to say.
            is_plain = request.method == "POST" and preferred != _STREAM
            found = await self._directly.answer(*_parts(asked), context) if self._directly is not None and is_plain else None
            if found is not None:
                return _written(_told(found), preferred)
            return await self.run(request, context)
        except NotExecuted as reason:
            return answer_of({"errors": [reason.refusal.formatted]}, _media(preferred), reason.status, reason.headers)
        # The last place where a fault is logged without what was sent, and answered in the form that clients expect. So below.
        except Exception as error:
            return answer_of({"errors": [fault(error).formatted]}, _media(preferred), 500)

    async def _serve(self, socket: WebSocket) -> None:
        try:
            if _visit(socket).wait_as_stranger(neighbourhood(source_of(socket))):
                await self.run(socket)
            else:
                await socket.accept(await self.pick_websocket_subprotocol(socket))
                await socket.close(TOO_MANY, "Too many sockets")
        except Exception as error:
            refusal = fault(error)
            if WebSocketState.DISCONNECTED not in (socket.client_state, socket.application_state):
                await socket.close(1011, refusal.message)

    async def _entered(self, request: Request, *, stays: bool) -> Context:
        """What resolvers are given, once it is known who asks. Raises NotExecuted."""
        actor, visit = await _caller(request), _visit(request)
        visit.ask(actor)
        if stays:
            visit.stay(actor)
        return Context(request.app.state.patchbay, actor)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context | Caller:
        """Of a socket. A request comes with its context."""
        assert isinstance(request, WebSocket)
        return Caller(request.app.state.patchbay, request, _visit(request))

    async def on_ws_connect(self, context: Context | Caller) -> Any:
        assert isinstance(context, Caller)
        actor: Actor | None = await context.actor()
        if actor is None:
            raise ConnectionRejectionError
        context.visit.stay(actor)
        return UNSET

    def is_websocket_origin_allowed(self, request: WebSocket, origin: str) -> bool:
        return is_from_our_page(request, request.app.state.patchbay.settings)

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        response = await super().get_sub_response(request)
        response.media_type = _media(_preferred(request))
        return response

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        assert isinstance(request, BoundedRequest)
        asked = request.visit.asked
        assert asked is not None
        return GraphQLRequestData(
            query=asked["query"],
            variables=asked.get("variables"),
            operation_name=asked.get("operationName"),
            extensions=asked.get("extensions"),
            protocol="sse" if _preferred(request) == _STREAM else "http",
        )

    async def execute_operation(  # type: ignore[override]
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: GraphQLRequestData,
        context: Context | Caller,
        root_value: None,
        sub_response: Response,
    ) -> ExecutionResult | SubscriptionExecutionResult:
        kinds = {OperationType.QUERY} if request.method == "GET" else {OperationType.QUERY, OperationType.MUTATION}
        operation: dict[str, Any] = {
            "query": request_data.query,
            "variable_values": request_data.variables,
            "context_value": context,
            "operation_name": request_data.operation_name,
        }
        try:
            if request_data.protocol == "sse":
                kinds = kinds | {OperationType.SUBSCRIPTION}
                return cast("SubscriptionExecutionResult", await self.schema.stream(**operation, allowed_operation_types=kinds))
            return await self.schema.execute(**operation, allowed_operation_types=kinds)
        except CannotGetOperationTypeError:
            raise NotExecuted(400, no_such_operation().message) from None
        except InvalidOperationTypeError as error:
            raise _not_over_this(error.operation_type, request.method) from None

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        return cast("GraphQLHTTPResponse", _told(result))

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        return _written(response_data, sub_response.media_type or _JSON)

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data).decode()


@asynccontextmanager
async def _patient(send: Send) -> AsyncIterator[Send]:
    """Send, and lose patience with who does not take it. One who takes anything has taken all that went before."""
    async with asyncio.timeout(None) as patience:

        async def sending(message: Message) -> None:
            sent = Begun(send(message))
            if sent.waits and patience.when() is None and not patience.expired():
                patience.reschedule(asyncio.get_running_loop().time() + _TAKEN_WITHIN_SECONDS)
            try:
                await sent
            finally:
                if patience.when() is not None and not patience.expired():
                    patience.reschedule(None)

        yield sending


def _ended(stream: AsyncIterable[Any]) -> AbstractAsyncContextManager[Any]:
    """To its end with the block: a stream that nobody takes any more stands between two events, and would not end by itself."""
    return aclosing(stream) if isinstance(stream, AsyncGenerator) else nullcontext()


def _parts(asked: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], str | None]:
    """The document, the variables and the name of the operation."""
    return asked["query"], asked.get("variables") or {}, asked.get("operationName")


def _told(result: ExecutionResult) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    if result.errors:
        answer["errors"] = [error.formatted for error in result.errors]
    if was_executed(result):
        answer["data"] = result.data
    return answer


def _written(told: Mapping[str, Any], media: str) -> Response:
    if media != _GRAPHQL or "data" in told:
        return answer_of(told, media)
    return answer_of(told, media, _STATUSES.get(told["errors"][0]["extensions"]["code"], 400))


def _visit(connection: Request | WebSocket) -> Visit:
    visit: Visit = connection.scope["visit"]
    return visit


async def _caller(request: Request) -> Actor:
    try:
        return await caller_of(request, request.app.state.patchbay)
    except Foreign as foreign:
        raise NotExecuted(403, foreign.message, Code.FORBIDDEN) from None
    except Unauthenticated as unknown:
        raise NotExecuted(401, unknown.message, Code.UNAUTHENTICATED, headers={"www-authenticate": "Bearer"}) from None


async def _asked(request: Request) -> dict[str, Any]:
    """The operation that is asked for. Raises NotExecuted."""
    asked = _asked_by_get(request.query_params) if request.method == "GET" else await _asked_by_post(request)
    check_operation(asked)
    return asked


async def _asked_by_post(request: Request) -> dict[str, Any]:
    if not _is_json(request.headers.get("content-type", "")):
        raise NotExecuted(415, "Send the operation as application/json, in UTF-8.")
    return read_object_with_document(await read_body(request, partial(_enter_as_long, request)))


async def _enter_as_long(request: Request) -> bool:
    """Whether a request may have a whole document, as those may who make connectors."""
    visit, patchbay = _visit(request), request.app.state.patchbay
    if visit.actor is None or not await patchbay.access.may(visit.actor, OrganizationPermission.MANAGE_CONNECTORS):
        return False
    visit.bring_much()
    return True


@lru_cache(64)
def _is_json(content_type: str) -> bool:
    kind, parameters = parse_content_type(content_type)
    # In the extended notation of RFC 2231 a parameter is three values, whatever the types say; nobody writes JSON's so.
    charset: object = parameters.get("charset", "utf-8")
    return kind.lower() == _JSON and isinstance(charset, str) and charset.lower() in ("utf-8", "utf8")


def _asked_by_get(parameters: Mapping[str, Any]) -> dict[str, Any]:
    asked = dict(parameters)
    for name in ("variables", "extensions"):
        if asked.get(name):
            asked[name] = read_object(asked[name])
    return asked


def _not_over_this(kind: OperationType, method: str) -> NotExecuted:
    if kind == OperationType.SUBSCRIPTION:
        return NotExecuted(400, "A subscription needs a stream: accept text/event-stream, or use graphql-transport-ws.")
    return NotExecuted(405, f"A {kind.value} is not possible by {method}.", headers={"allow": "POST"})


def _preferred(request: Request | WebSocket | AsyncHTTPRequestAdapter) -> str:
    """Which of our media types the client likes best; plain JSON where it does not say."""
    return _best(request.headers.get("accept", ""))


def _media(preferred: str) -> str:
    """The media type of an answer that is no stream."""
    return _JSON if preferred == _STREAM else preferred


# Clients have few ways to say what they like, and a header is no longer than the server takes it.
@lru_cache(64)
def _best(accept: str) -> str:
    ranked = sorted((_quality(part), -place, part.partition(";")[0].strip().lower()) for place, part in enumerate(accept.split(",")))
    return next((media for quality, _, media in reversed(ranked) if quality > 0 and media in (_JSON, _GRAPHQL, _STREAM)), _JSON)


def _quality(part: str) -> float:
    for parameter in part.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0
    return 1
