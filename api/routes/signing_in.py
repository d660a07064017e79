"""Signing in and out in a browser."""

import logging
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from api.auth import session_cookie_name, source_of
from api.pages import render
from api.routes.browser import (
    comes_from_us,
    drop_cookie,
    is_opened_by_hand,
    keep_cookie,
    local_path,
    patchbay_of,
    refused_as_foreign,
    session_cookie,
    signed_in,
)
from api.secret import Secret

logger = logging.getLogger(__name__)

_ENDED = "ended"
_BAD_TOKEN = "This is not an API token that works: it was mistyped, has expired, or was revoked."
_BAD_LINK = "This sign-in link was used already, or is too old. Use an API token, or ask for a new link."


def routes() -> list[BaseRoute]:
    return [
        Route("/", _home, methods=["GET"]),
        Route("/sign-in", _sign_in_page, methods=["GET"]),
        Route("/sign-in", _sign_in, methods=["POST"]),
        Route("/sign-out", _sign_out, methods=["POST"]),
    ]


def to_sign_in(onward: str) -> Response:
    """To the sign-in page, and from there on to a path of ours."""
    return RedirectResponse("/sign-in?" + urlencode({"next": onward}), 303, {"cache-control": "no-store"})


async def _home(request: Request) -> Response:
    actor = await signed_in(request)
    if actor is None:
        return RedirectResponse("/sign-in", 303, {"cache-control": "no-store"})
    return render("home.html", viewer=actor.name, sandbox=patchbay_of(request).catalog.find("sandbox") is not None)


async def _sign_in_page(request: Request) -> Response:
    link = request.query_params.get("link", "")
    onward = local_path(request.query_params.get("next", "/"))
    # A link works once, so only a person may use it up, not a browser that loads ahead or a chat that draws a preview. And only a
    # person who opened it themselves: a link on another site could sign them in as somebody else, to whom they would then connect
    # their accounts. Everybody else gets a page that asks.
    if link and is_opened_by_hand(request):
        return await _with_link(request, link, onward)
    identity = patchbay_of(request).identity
    # Their session there lasts on, and would sign them in again without a question.
    elsewhere = await identity.find_sign_out_url() if identity and _ENDED in request.query_params else None
    return _page(request, link=link, onward=onward, signed_out_url=elsewhere)


async def _sign_in(request: Request) -> Response:
    if not comes_from_us(request):
        return refused_as_foreign(patchbay_of(request).settings.public_url)
    form = await request.form()
    onward = local_path(str(form.get("next", "/")))
    if link := str(form.get("link", "")):
        return await _with_link(request, link, onward)
    session = await patchbay_of(request).people.sign_in_with_token(Secret(str(form.get("token", "")).strip()), source=source_of(request))
    return _signed_in(request, session, onward, problem=_BAD_TOKEN)


async def _with_link(request: Request, link: str, onward: str) -> Response:
    session = await patchbay_of(request).people.sign_in_with_link(Secret(link), source=source_of(request))
    return _signed_in(request, session, onward, problem=_BAD_LINK)


def _signed_in(request: Request, session: Secret | None, onward: str, *, problem: str) -> Response:
    if session is None:
        logger.info("sign-in refused", extra={"reason": problem})
        return _page(request, status=400, onward=onward, problem=problem)
    # A page and not a redirect where a provider may come next: browsers hold the redirects after a form to the form's policy.
    response = RedirectResponse("/", 303) if onward == "/" else render("onward.html", next=onward)
    public_url = patchbay_of(request).settings.public_url
    keep_cookie(response, session_cookie_name(public_url), session.reveal(), public_url=public_url)
    response.headers["cache-control"] = "no-store"
    return response


async def _sign_out(request: Request) -> Response:
    public_url = patchbay_of(request).settings.public_url
    if not comes_from_us(request):
        return refused_as_foreign(public_url)
    if cookie := session_cookie(request):
        await patchbay_of(request).people.sign_out(cookie, source=source_of(request))
    response = RedirectResponse("/sign-in" if patchbay_of(request).identity is None else f"/sign-in?{_ENDED}=yes", 303)
    drop_cookie(response, session_cookie_name(public_url), public_url=public_url)
    return response


def _page(
    request: Request, *, status: int = 200, link: str = "", onward: str, problem: str | None = None, signed_out_url: str | None = None
) -> Response:
    """The sign-in page: with the ways that there are here."""
    identity_url = None if patchbay_of(request).identity is None else "/sign-in/identity?" + urlencode({"next": onward})
    return render(
        "sign_in.html", status=status, link=link, next=onward, problem=problem, identity_url=identity_url, signed_out_url=signed_out_url
    )
