"""The playground: the GraphQL endpoint as a page, for people."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from api.pages import render
from api.routes.browser import patchbay_of, signed_in


def routes() -> list[BaseRoute]:
    """To stand before the route of the GraphQL endpoint: it takes from that address only who wants a page."""
    return [_PageRoute("/graphql", _playground, methods=["GET"])]


class _PageRoute(Route):
    """A route for browsers that ask for a page; clients that ask for data are let past."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["method"] != "GET" or not _wants_page(scope):
            return Match.NONE, {}
        return super().matches(scope)


def _wants_page(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


async def _playground(request: Request) -> Response:
    patchbay = patchbay_of(request)
    actor = await signed_in(request)
    if actor is None:
        return render(
            "error.html",
            status=401,
            title="Sign in to use the playground",
            message="The playground asks in your name, so Patchbay must know who you are.",
            remedy="Sign in with the link that Patchbay printed when it started, or with an API token.",
            onward="/sign-in?next=/graphql",
            onward_label="Sign in",
        )
    sandbox = patchbay.catalog.find("sandbox") is not None
    policy = _policy(patchbay.settings.public_url)
    response = render("playground.html", viewer=actor.name, sandbox=sandbox, policy=policy)
    response.headers["vary"] = "Accept"
    # The consent page that it opens must stay a window of its own making, or it could not close itself.
    response.headers["cross-origin-opener-policy"] = "same-origin-allow-popups"
    return response


def _policy(public_url: str) -> str:
    """Only our own files and our own endpoint. The editor measures and places its lines with inline styles."""
    parts = urlsplit(public_url)
    sockets = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
        f"connect-src 'self' {sockets}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
