"""Signing in at the organization's identity provider: the departure, and the return with its answer."""

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from api.auth import session_cookie_name, source_of
from api.errors import PatchbayError, SignInRefused
from api.organization.tokens import hash_of
from api.pages import render
from api.routes.browser import drop_cookie, keep_cookie, local_path, parameters_once, patchbay_of
from api.secret import Secret

if TYPE_CHECKING:
    from api.organization.identity import Identity

logger = logging.getLogger(__name__)

# As long as the provider's answer is waited for.
_FLOW_COOKIE_SECONDS = 600


def routes() -> list[BaseRoute]:
    return [
        Route("/sign-in/identity", _depart, methods=["GET"]),
        Route("/sign-in/callback", _arrive, methods=["GET"]),
    ]


async def _depart(request: Request) -> Response:
    # Asked about and loaded ahead alike, it would begin what nobody wants.
    if request.method != "GET" or "sec-purpose" in request.headers:
        return Response(status_code=204)
    identity = patchbay_of(request).identity
    if identity is None:
        return _unknown()
    try:
        departure = await identity.depart(local_path(request.query_params.get("next", "/")))
    except PatchbayError as error:
        logger.warning("identity provider not reached", extra={"reason": error.message})
        return _problem("Nobody can sign in this way right now", error, HTTPStatus.BAD_GATEWAY)
    response = RedirectResponse(departure.url, 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"})
    public_url = patchbay_of(request).settings.public_url
    name = flow_cookie_name(departure.state, public_url)
    keep_cookie(response, name, departure.cookie.reveal(), public_url=public_url, max_age=_FLOW_COOKIE_SECONDS)
    return response


async def _arrive(request: Request) -> Response:
    if request.method != "GET":
        return Response(status_code=204)
    identity = patchbay_of(request).identity
    if identity is None:
        return _unknown()
    answer = parameters_once(request)
    if answer is None:
        error = PatchbayError("What came from the identity provider is too long, or says something twice. It was not used.")
        return _problem("This answer makes no sense", error, HTTPStatus.BAD_REQUEST)
    public_url = patchbay_of(request).settings.public_url
    flow_cookie = flow_cookie_name(Secret(dict(answer).get("state", "")), public_url)
    response = await _signed_in(request, identity, answer, request.cookies.get(flow_cookie))
    drop_cookie(response, flow_cookie, public_url=public_url)
    return response


async def _signed_in(request: Request, identity: "Identity", answer: list[tuple[str, str]], cookie: str | None) -> Response:
    try:
        arrival = await identity.arrive(answer, None if cookie is None else Secret(cookie), source=source_of(request))
    except SignInRefused as refusal:
        logger.info("sign-in refused", extra={"reason": refusal.message})
        return _problem("You are not signed in", refusal, HTTPStatus.FORBIDDEN)
    except PatchbayError as error:
        logger.warning("sign-in failed", extra={"reason": error.message})
        return _problem("You are not signed in", error, HTTPStatus.BAD_GATEWAY)
    response = RedirectResponse(arrival.onward, 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"})
    public_url = patchbay_of(request).settings.public_url
    keep_cookie(response, session_cookie_name(public_url), arrival.session.reveal(), public_url=public_url)
    return response


def flow_cookie_name(state: Secret, public_url: str) -> str:
    """One cookie a flow, so that two under way in one browser do not disturb each other."""
    name = f"patchbay-sign-in-{hash_of(state)[:12]}"
    return f"__Host-{name}" if public_url.startswith("https://") else name


def _unknown() -> Response:
    error = PatchbayError("This Patchbay has no identity provider.", "Sign in with an API token, or with a sign-in link.")
    return _problem("Nobody signs in this way here", error, HTTPStatus.NOT_FOUND)


def _problem(title: str, error: PatchbayError, status: HTTPStatus) -> Response:
    return render(
        "error.html",
        status=status,
        title=title,
        message=error.message,
        remedy=error.remedy,
        onward="/sign-in",
        onward_label="To the sign-in page",
    )
