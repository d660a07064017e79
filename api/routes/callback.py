"""The two pages between which a person is at the provider: the departure, and the return with the provider's answer."""

import logging
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

import models
from api.access import Actor
from api.connections.consent import BegunByAnother, cookie_name
from api.errors import NotFound, PatchbayError
from api.pages import render, shortened
from api.routes.browser import drop_cookie, keep_cookie, parameters_once, patchbay_of, signed_in
from api.routes.signing_in import to_sign_in
from models import AuthorizationStatus

logger = logging.getLogger(__name__)

# As long as a consent may take.
_FLOW_COOKIE_SECONDS = 600

_NO_CONSENT = "Nobody is asked for a consent here."
_BEGIN_AGAIN = "Begin the connection again."


def routes() -> list[BaseRoute]:
    return [
        Route("/connect/{authorization_id:uuid}", _depart, methods=["GET"]),
        Route("/provisioning_/callback/{connector_key}", _return, methods=["GET"]),
    ]


async def _depart(request: Request) -> Response:
    # Asked about and loaded ahead alike, a departure would void the one before it.
    if request.method != "GET" or "sec-purpose" in request.headers:
        return Response(status_code=204)
    actor = await signed_in(request)
    if actor is None:
        return to_sign_in(request.url.path)
    patchbay = patchbay_of(request)
    authorization_id: UUID = request.path_params["authorization_id"]
    try:
        departure = await patchbay.connecting.depart(actor, authorization_id)
    except BegunByAnother as refusal:
        logger.warning("departure refused", extra={"authorization": str(authorization_id), "actor": str(actor.user_id)})
        return _problem("This link is not yours", refusal, 403, actor)
    except NotFound:
        return _problem("This link does not work", PatchbayError(_NO_CONSENT, _BEGIN_AGAIN), 404, actor)
    except PatchbayError as error:
        return _problem("This link does not work any more", error, 409, actor)
    response = RedirectResponse(departure.url, 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"})
    public_url = patchbay.settings.public_url
    keep_cookie(response, departure.cookie_name, departure.cookie_value, public_url=public_url, max_age=_FLOW_COOKIE_SECONDS)
    return response


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
