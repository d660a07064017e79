"""Calls to providers through Patchbay: `/proxy/{connection id}/{path}`, by any method, with bodies of any length.

What comes back was said by somebody else and arrives at our own origin. So it may run nothing in a browser, and no cache may keep it. Where
it is Patchbay itself that answers, it says so by `Patchbay-Error: true`. An answer that breaks off here breaks off for the caller too.
"""

import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from uuid import UUID

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount
from starlette.types import Receive, Scope, Send

from api.auth import caller_of, credential_of
from api.connections.proxying import Call, Passed
from api.connections.upload import Upload
from api.errors import NotFound
from api.routes.browser import patchbay_of
from api.routes.problems import Refused, problem, problem_of
from api.routes.relay import Caller, CallerLeft, CallerStalled

logger = logging.getLogger(__name__)

PREFIX = "/proxy"
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_TARGET = re.compile(rf"{PREFIX}/(?P<id>{_ID.pattern})(?P<path>(?:/.*)?)", re.ASCII | re.IGNORECASE | re.DOTALL)
_METHOD = re.compile(r"[A-Z][A-Z0-9-]{0,31}", re.ASCII)
# The one would say back what it was sent, the credential too; the other would make a tunnel.
_REFUSED_METHODS = ("TRACE", "CONNECT")
_USUAL_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY, PROPFIND, REPORT, MKCOL"
_LAST_STATUS = 599
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


def routes() -> list[BaseRoute]:
    return [Mount(PREFIX, ProxyDoor())]


class ProxyDoor:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _refuse_socket(scope, receive, send)
            return
        request, begun = Request(scope), time.perf_counter()
        caller = Caller(receive, send, has_body=_has_body(request.headers))
        try:
            async with _telling(request, caller):
                await caller.attended(_serve(request, caller))
        finally:
            _log(request, caller, time.perf_counter() - begun)


async def _serve(request: Request, caller: Caller) -> None:
    connection_id, path = _target(request)
    method = _method(request)
    actor = await caller_of(request, patchbay_of(request))
    call = _call(request, caller, connection_id, path, method)
    async with patchbay_of(request).proxying.call(actor, call) as passed:
        await _pass_on(passed, caller)


async def _pass_on(passed: Passed, caller: Caller) -> None:
    if passed.status > _LAST_STATUS:
        raise Refused(HTTPStatus.BAD_GATEWAY, "provider-unreachable", "The provider answered with a status that is none of HTTP.")
    await caller.begin(passed.status, [*passed.headers, *_HEADERS])
    length = next((int(value) for name, value in passed.headers if name == b"content-length"), None)
    async for chunk in passed.body:
        # The last piece goes out together with the end where it is known to be the last.
        await caller.send(chunk, is_last=caller.sent + len(chunk) == length)
    if not caller.has_all:
        await caller.send(b"", is_last=True)


def _target(request: Request) -> tuple[UUID, str]:
    """The connection, and the path behind it as it was sent. Raises NotFound."""
    raw: bytes = request.scope["raw_path"]
    match = _TARGET.fullmatch(raw.decode("latin-1"))
    if match is None:
        raise NotFound("connection")
    return UUID(match["id"]), match["path"]


def _method(request: Request) -> str:
    """The method that is meant: by POST a caller may name another that does not come through everywhere. Raises Refused."""
    method = request.method
    named = request.headers.get("patchbay-method")
    if named is not None:
        if method != "POST" or not _METHOD.fullmatch(named) or named == "HEAD":
            detail = "Patchbay-Method names a method in capitals, other than HEAD, and is sent by POST."
            raise Refused(HTTPStatus.BAD_REQUEST, "bad-request", detail)
        method = named
    if method in _REFUSED_METHODS:
        detail = f"{method} is not passed on: the provider would show the credential, or more than this connection would be open."
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", detail, headers={"allow": _USUAL_METHODS})
    return method


def _call(request: Request, caller: Caller, connection_id: UUID, path: str, method: str) -> Call:
    """Raises Refused."""
    credential = credential_of(request, patchbay_of(request).settings.public_url)
    return Call(
        connection_id=connection_id,
        prefix=f"{PREFIX}/{connection_id}",
        method=method,
        path=path,
        query=request.scope["query_string"].decode("latin-1"),
        headers=_headers(request.scope),
        upload=_upload(request.headers, caller),
        may_repeat=request.headers.get("patchbay-retry", "").lower() == "yes",
        challenges=credential is not None and not credential.is_ambient,
    )


def _headers(scope: Scope) -> list[tuple[str, str]]:
    """Raises Refused for what could not be sent on as it is."""
    try:
        return [(name.decode("ascii"), value.decode()) for name, value in scope["headers"]]
    except UnicodeDecodeError:
        raise Refused(HTTPStatus.BAD_REQUEST, "bad-request", "A header of the request is not UTF-8.") from None


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def _upload(headers: Headers, caller: Caller) -> Upload | None:
    if not _has_body(headers):
        return None
    length = headers.get("content-length")
    return Upload(caller.take, None if length is None or "transfer-encoding" in headers else int(length))


@asynccontextmanager
async def _telling(request: Request, caller: Caller) -> AsyncIterator[None]:
    """What stops a call is told to the caller; where the answer has begun already, it breaks off."""
    try:
        yield
        return
    except CallerLeft:
        caller.has_left = True
        return
    except CallerStalled as stalled:
        told = problem(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", str(stalled))
    except Exception as error:
        told = problem_of(error)
    if caller.has_begun:
        # To return now makes the server drop the connection, so that nobody takes a part for the whole.
        caller.broke_off = True
        return
    told.headers["patchbay-error"] = "true"
    caller.status = told.status_code
    with suppress(CallerStalled):
        await told(request.scope, request.receive, caller.send_message)


async def _refuse_socket(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "WebSockets are not passed on: only requests and their answers are."
    told = problem(HTTPStatus.NOT_IMPLEMENTED, "not-implemented", detail, headers={"patchbay-error": "true"})
    if "websocket.http.response" in scope.get("extensions", {}):
        await told(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": "WebSockets are not passed on"})


def _log(request: Request, caller: Caller, seconds: float) -> None:
    """Never the path, the query or a header: they are the caller's and the provider's business, and may hold secrets."""
    match = _TARGET.fullmatch(request.scope["raw_path"].decode("latin-1"))
    logger.info(
        "call proxied",
        extra={
            "method": request.method,
            "connection": None if match is None else match["id"].lower(),
            "status": caller.status,
            "milliseconds": round(seconds * 1000),
            "bytes_up": caller.received,
            "bytes_down": caller.sent,
            "outcome": caller.outcome,
        },
    )
