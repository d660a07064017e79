"""Doors for programs: who calls, by token or as a page of ours, how often they may, and what they send."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from api.access import Actor
from api.auth import caller_of
from api.errors import InvalidInput
from api.routes.browser import parameters_once, patchbay_of
from api.routes.problems import Refused, Serve, answered
from api.throttling import Buckets

_READING_SECONDS = 10.0


class Door:
    """A door as an ASGI application, which answers every failure with a problem, also a method that it does not take."""

    def __init__(self, serve: Serve, *methods: str) -> None:
        self._serve = serve
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await answered(Request(scope, receive), self._meet)
        await response(scope, receive, send)

    async def _meet(self, request: Request) -> Any:
        if request.method not in self._methods:
            allowed = ", ".join(self._methods)
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", f"Ask by {allowed}.", headers={"allow": allowed})
        return await self._serve(request)


class Callers:
    """Those who call. `calls`: what each of them may ask for, here and at other doors."""

    def __init__(self, calls: Buckets) -> None:
        self._calls = calls

    async def enter(self, request: Request) -> Actor:
        """Whoever calls. Raises Unauthenticated, Foreign, and Refused where they ask too often."""
        actor = await caller_of(request, patchbay_of(request))
        seconds = ceil(self._calls.take(actor.user_id))
        if seconds:
            message = f"You ask more often than this server lets one user; ask again in {seconds} s."
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "throttled", message, headers={"retry-after": str(seconds)})
        return actor


async def asked(request: Request) -> Mapping[str, Any]:
    """What the query and the body say, as one object. Raises Refused, and InvalidInput where they say something twice."""
    parameters = parameters_once(request)
    if parameters is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "bad-request", "The query is too long, or says something twice.")
    query, body = dict(parameters), await _body(request)
    if twice := query.keys() & body.keys():
        raise InvalidInput(dict.fromkeys(sorted(twice), "is in the query and in the body"))
    return {**query, **body}


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that is sent, or an empty one. How long it may be, the entrance says."""
    try:
        async with asyncio.timeout(_READING_SECONDS):
            text = await request.body()
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "bad-request", "The request did not arrive in time.") from None
    except ClientDisconnect:
        raise Refused(HTTPStatus.BAD_REQUEST, "bad-request", "The request ended before it was complete.") from None
    if not text.strip():
        return {}
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "bad-request", "The body must be one JSON object in UTF-8, or empty.")
    return body
