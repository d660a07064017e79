"""What a browser tells about itself, and who sits in front of it."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from api.access import Actor
from api.auth import session_cookie_name, source_of
from api.pages import render
from api.patchbay import Patchbay
from api.secret import Secret

_LONGEST_QUERY = 8 * 1024
_LOCAL_PATH = re.compile(r"/(?!/)[A-Za-z0-9/_.-]*")


def patchbay_of(request: Request) -> Patchbay:
    patchbay: Patchbay = request.app.state.patchbay
    return patchbay


def session_cookie(request: Request) -> Secret | None:
    value = request.cookies.get(session_cookie_name(patchbay_of(request).settings.public_url))
    return None if value is None else Secret(value)


async def signed_in(request: Request) -> Actor | None:
    """Whoever is signed in in this browser."""
    cookie = session_cookie(request)
    return None if cookie is None else await patchbay_of(request).people.actor_of_session(cookie, source=source_of(request))


def parameters_once(request: Request) -> list[tuple[str, str]] | None:
    """The query, or None where it is too long or repeats a parameter (RFC 6749 section 3.1)."""
    query: bytes = request.scope["query_string"]
    if len(query) > _LONGEST_QUERY:
        return None
    parameters = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    if len({name for name, _ in parameters}) < len(parameters):
        return None
    return parameters


def local_path(text: str) -> str:
    """The text where it is a plain path of ours, else the start page: nobody is sent on to another site."""
    return text if _LOCAL_PATH.fullmatch(text) else "/"


def comes_from_us(request: Request) -> bool:
    """Whether a form was sent by a page of ours. A caller that is no browser, and so has no cookies to abuse, sends neither header."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("origin") in (None, _origin(patchbay_of(request).settings.public_url))


def is_opened_by_hand(request: Request) -> bool:
    """Whether a person opened this address themselves: typed, pasted, clicked outside the browser. Not loaded ahead, not linked to."""
    headers = request.headers
    return (
        request.method == "GET"
        and headers.get("sec-fetch-dest", "document") == "document"
        and headers.get("sec-fetch-site", "none") == "none"
        and "sec-purpose" not in headers
        and "purpose" not in headers
    )


def keep_cookie(response: Response, name: str, value: str, *, public_url: str, max_age: int | None = None) -> None:
    """Set a cookie for us alone. Lax, because a provider sends the browser back with a plain top-level GET."""
    response.set_cookie(name, value, max_age, **_cookie_attributes(public_url))


def drop_cookie(response: Response, name: str, *, public_url: str) -> None:
    response.delete_cookie(name, **_cookie_attributes(public_url))


def refused_as_foreign(public_url: str) -> Response:
    return render(
        "error.html",
        status=403,
        title="This came from another site",
        message="A page of another site made your browser send this, so nothing was done.",
        remedy=f"If you meant it, open {public_url} and do it there.",
    )


def _cookie_attributes(public_url: str) -> dict[str, Any]:
    return {"path": "/", "secure": public_url.startswith("https://"), "httponly": True, "samesite": "lax"}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
