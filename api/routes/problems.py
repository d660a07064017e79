"""Errors of the doors that answer with JSON, as problem details (RFC 9457).

The `type` names the kind of problem for programs; `detail` says in words what happened, and `remedy` what to do about it. Neither ever
holds a secret. A fault of ours is logged under an id, which is all that the caller is told.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.auth import Foreign
from api.connections.limits import TooManyCalls
from api.connections.upload import TooLarge
from api.errors import InvalidInput, PatchbayError, PermissionDenied, ProviderFailure
from api.faults import log_fault
from api.outbound.http import DeadlineExceeded, OutboundError

logger = logging.getLogger(__name__)

Serve = Callable[[Request], Awaitable[Response]]

_TYPE = "urn:patchbay:problem:"
# The first that fits, by exception: the status, and the name of the type, of which the title is made.
_TABLE: tuple[tuple[type[PatchbayError], HTTPStatus, str], ...] = (
    (errors.Unauthenticated, HTTPStatus.UNAUTHORIZED, "unauthenticated"),
    (Foreign, HTTPStatus.FORBIDDEN, "foreign-page"),
    (errors.NotFound, HTTPStatus.NOT_FOUND, "not-found"),
    (errors.PermissionDenied, HTTPStatus.FORBIDDEN, "permission-denied"),
    (errors.InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input"),
    (errors.PolicyViolation, HTTPStatus.FORBIDDEN, "policy-violation"),
    (errors.AuthenticationTypeUnavailable, HTTPStatus.CONFLICT, "authentication-type-unavailable"),
    (errors.NameTaken, HTTPStatus.CONFLICT, "name-taken"),
    (errors.Conflict, HTTPStatus.CONFLICT, "conflict"),
    (errors.ProviderFailure, HTTPStatus.BAD_GATEWAY, "provider-failure"),
    (TooManyCalls, HTTPStatus.TOO_MANY_REQUESTS, "throttled"),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large"),
    (DeadlineExceeded, HTTPStatus.GATEWAY_TIMEOUT, "provider-timeout"),
    (OutboundError, HTTPStatus.BAD_GATEWAY, "provider-unreachable"),
)


class Refused(Exception):
    """A request that is not looked into, with the HTTP status that says why."""

    def __init__(self, status: HTTPStatus, name: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.headers = headers or {}


async def answered(request: Request, serve: Serve) -> Response:
    """What a door answers, or the problem that it failed with."""
    try:
        return await serve(request)
    # Those that are expected and those that are not: which is which, and that a fault is logged, is told below.
    except Exception as error:
        return problem_of(error)


def problem_of(error: Exception) -> Response:
    """The problem that a failure is. One that is not expected at a door is a fault of ours."""
    if isinstance(error, Refused):
        return problem(error.status, error.name, str(error), headers=error.headers)
    found = next(((status, name) for kind, status, name in _TABLE if isinstance(error, kind)), None)
    # The last place where a fault is logged without what was sent, and answered in the form that clients expect.
    if found is None or not isinstance(error, PatchbayError):
        return _fault(error)
    status, name = found
    return problem(status, name, error.message, remedy=error.remedy, headers=_headers(error), **_details(error))


def problem(
    status: HTTPStatus, name: str, detail: str, *, remedy: str | None = None, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    title = name.replace("-", " ").capitalize()
    told = {"type": _TYPE + name, "title": title, "status": status, "detail": detail} | ({"remedy": remedy} if remedy else {}) | more
    always = {"content-type": "application/problem+json", "cache-control": "no-store"}
    return Response(orjson.dumps(told), status, {**always, **(headers or {})})


def _details(error: PatchbayError) -> dict[str, Any]:
    match error:
        case InvalidInput():
            return {"fields": [{"field": field, "message": message} for field, message in error.fields.items()]}
        case PermissionDenied() if error.permission is not None:
            return {"permission": error.permission.name}
        case ProviderFailure():
            reason = error.reason
            told = {"code": reason.code, "fixableBy": reason.fixable_by, "providerError": reason.provider_error}
            return {"reason": told, "retryable": error.retryable}
        case OutboundError():
            return {"mayHaveArrived": error.may_have_arrived}
        case _:
            return {}


def _headers(error: PatchbayError) -> dict[str, str]:
    match error:
        case errors.Unauthenticated():
            return {"www-authenticate": "Bearer"}
        case ProviderFailure() | TooManyCalls() if error.retry_after is not None:
            return {"retry-after": str(max(1, ceil(error.retry_after.total_seconds())))}
        case _:
            return {}


def _fault(error: Exception) -> Response:
    id = log_fault(logger, "request failed", error)
    detail = f"Something went wrong here; mention request {id}."
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "fault", detail, requestId=id)
