"""The two pages between which a person is at the provider: the departure, and the return with the provider's answer."""

import logging
from hmac import compare_digest
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

import models
from api.access import Actor
from api.connections.connecting import Departure
from api.connections.consent import BegunByAnother, cookie_name
from api.errors import NotFound, PatchbayError
from api.pages import render, shortened
from api.routes.browser import (
    comes_from_us,
    drop_cookie,
    keep_cookie,
    parameters_once,
    patchbay_of,
    refused_as_foreign,
    session_cookie,
    signed_in,
)
from api.routes.signing_in import to_sign_in
from api.secret import Secret
from models import AuthorizationStatus

logger = logging.getLogger(__name__)

# As long as a consent may take.
_FLOW_COOKIE_SECONDS = 600

_NO_CONSENT = "Nobody is asked for a consent here."
_BEGIN_AGAIN = "Begin the connection again."


def routes() -> list[BaseRoute]:
    return [
        Route("/connect/{authorization_id:uuid}", _open, methods=["GET"]),
        Route("/connect/{authorization_id:uuid}", _start, methods=["POST"]),
        Route("/provisioning_/callback/{connector_key}", _return, methods=["GET"]),
    ]


async def _open(request: Request) -> Response:
    # Asked about and loaded ahead alike, a departure would void the one before it.
    if request.method != "GET" or "sec-purpose" in request.headers:
        return Response(status_code=204)
    actor = await signed_in(request)
    if actor is None:
        return to_sign_in(request.url.path)
    connecting = patchbay_of(request).connecting
    authorization_id: UUID = request.path_params["authorization_id"]
    try:
        if asked := await connecting.find_asked(actor, authorization_id):
            token = connecting.form_token(session_cookie(request) or Secret(""), authorization_id)
            return render("asked.html", asked=asked, until=f"{asked.expires_at:%H:%M} UTC", token=token, viewer=actor.name)
        departure = await connecting.depart(actor, authorization_id)
    except PatchbayError as error:
        return _refused(error, authorization_id, actor)
    headers = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
    return _departing(request, RedirectResponse(departure.url, 303, headers), departure)


async def _start(request: Request) -> Response:
    """The person who was asked said yes, on our page and in their own session."""
    public_url = patchbay_of(request).settings.public_url
    actor, session = await signed_in(request), session_cookie(request)
    if actor is None or session is None:
        return to_sign_in(request.url.path)
    connecting = patchbay_of(request).connecting
    authorization_id: UUID = request.path_params["authorization_id"]
    brought = str((await request.form()).get("token", ""))
    if not comes_from_us(request) or not compare_digest(brought.encode(), connecting.form_token(session, authorization_id).encode()):
        return refused_as_foreign(public_url)
    try:
        departure = await connecting.depart(actor, authorization_id)
    except PatchbayError as error:
        return _refused(error, authorization_id, actor)
    # A page and not a redirect: browsers hold the redirects after a form to the form's policy.
    return _departing(request, render("onward.html", next=departure.url, title="On to the provider", viewer=actor.name), departure)


def _departing(request: Request, response: Response, departure: Departure) -> Response:
    """The response, with the cookie that the browser must bring back."""
    public_url = patchbay_of(request).settings.public_url
    keep_cookie(response, departure.cookie_name, departure.cookie_value, public_url=public_url, max_age=_FLOW_COOKIE_SECONDS)
    return response


def _refused(error: PatchbayError, authorization_id: UUID, actor: Actor) -> Response:
    match error:
        case BegunByAnother():
            logger.warning("departure refused", extra={"authorization": str(authorization_id), "actor": str(actor.user_id)})
            return _problem("This link is not yours", error, 403, actor)
        case NotFound():
            return _problem("This link does not work", PatchbayError(_NO_CONSENT, _BEGIN_AGAIN), 404, actor)
    return _problem("This link does not work any more", error, 409, actor)


async def _return(request: Request) -> Response:
    if request.method != "GET":
        return Response(status_code=204)
    parameters = parameters_once(request)
    if parameters is None:
        return render(
            "error.html",
            status=400,
            title="This answer makes no sense",
            message="What came from the provider is too long, or says something twice. It was not used.",
            remedy=_BEGIN_AGAIN,
        )
    actor = await signed_in(request)
    connector_key: str = request.path_params["connector_key"]
    try:
        authorization = await patchbay_of(request).connecting.complete(actor, connector_key, parameters, request.cookies)
    except BegunByAnother as refusal:
        logger.warning("callback refused", extra={"connector": connector_key, "actor": str(actor.user_id) if actor else None})
        return _problem("This connection is not yours", refusal, 403, actor)
    except PatchbayError as error:
        return _problem("Not connected", error, 400, actor)
    response = await _result(request, actor, authorization)
    public_url = patchbay_of(request).settings.public_url
    drop_cookie(response, cookie_name(authorization.id, secure=public_url.startswith("https://")), public_url=public_url)
    return response


async def _result(request: Request, actor: Actor | None, authorization: models.Authorization) -> Response:
    patchbay = patchbay_of(request)
    connector = patchbay.catalog.find(authorization.connector_key)
    common: dict[str, Any] = {
        "connector": connector.name if connector else authorization.connector_key,
        "return_url": authorization.return_url,
        "viewer": actor.name if actor else None,
    }
    if authorization.status is AuthorizationStatus.SUCCEEDED:
        made = authorization.connection_id
        connection = await patchbay.reading.find(actor, made) if actor and made else None
        return render("connected.html", connection=connection, **common)
    reason = authorization.reason
    return render(
        "not_connected.html",
        denied=authorization.status is AuthorizationStatus.DENIED,
        message=reason.message if reason else "The connection was not made.",
        remedy=reason.remedy if reason else _BEGIN_AGAIN,
        provider_error=shortened(reason.provider_error) if reason and reason.provider_error else None,
        **common,
    )


def _problem(title: str, error: PatchbayError, status: int, actor: Actor | None) -> Response:
    viewer = actor.name if actor else None
    return render("error.html", status=status, title=title, message=error.message, remedy=error.remedy, viewer=viewer)
