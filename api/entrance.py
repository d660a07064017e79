"""The way in, before any door: from whom a request comes, whether it is for us, and that no address crowds the others out.

A host that we do not go by is refused, so that neither another site's name that leads here (DNS rebinding) nor a made-up one gets any
answer. Where a browser is sent is built from the public URL alone; that it came by another name changes nothing in it.
"""

import logging
import re
from functools import lru_cache
from math import ceil
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.clock import Steady, seconds_since_boot
from api.pages import render
from api.proxies import Proxies, neighbourhood
from api.settings import Settings
from api.throttling import Buckets, Rate

logger = logging.getLogger(__name__)

# What is behind them costs more than a page: tokens are looked up, and others are asked.
_ARRIVALS = ("/sign-in", "/connect/", "/provisioning_/callback/")
# Whoever watches the process asks it by whatever address it has.
_HEALTH = ("/livez", "/readyz")
# The GraphQL endpoint reads its requests itself, and bounds them; the proxy passes them on while they come.
_ENDPOINT = "/graphql"
_PROXY = "/proxy/"
_LONGEST_FORM = 100_000
_LONGEST_NAME = 100
_MINUTE = 60
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(:[0-9]{1,5})?", re.ASCII)
# As they are sent, so that they need not be put into this form for every answer.
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_SECURE_HEADERS = (*_HEADERS, (b"strict-transport-security", b"max-age=31536000"))


class Entrance:
    def __init__(self, app: ASGIApp, *, settings: Settings, steady: Steady = seconds_since_boot) -> None:
        self._app = app
        self._proxies = Proxies(settings.trusted_proxies)
        self._hosts = {urlsplit(settings.public_url).hostname, *settings.allowed_hosts, "localhost", "127.0.0.1", "::1"}
        self._arrivals = Buckets(Rate(settings.sign_in_rate / _MINUTE, settings.sign_in_rate), steady)
        self._headers = _SECURE_HEADERS if settings.public_url.startswith("https://") else _HEADERS
        self._has_warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        source = self._source(scope, headers)
        seen = scope if source is scope["client"] else {**scope, "client": source}
        entered = self._refusal(seen, headers) or self._app
        return await entered(seen, receive, self._with_headers(send))

    def _source(self, scope: Scope, headers: Headers) -> tuple[str, int] | None:
        """Where a request comes from: with port 0 where a proxy says it."""
        peer: tuple[str, int] | None = scope["client"]
        forwarded = headers.getlist("x-forwarded-for")
        if peer is None or not forwarded:
            return peer
        if not self._proxies.trust(peer[0]) and not self._has_warned:
            self._has_warned = True
            logger.warning("proxy not trusted", extra={"proxy": peer[0], "setting": "PATCHBAY_TRUSTED_PROXIES"})
        source = self._proxies.source(peer[0], forwarded)
        return peer if source == peer[0] else (source, 0)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path: str = scope["path"]
        if path in _HEALTH:
            return None
        named = headers.getlist("host")
        if len(named) != 1:
            return PlainTextResponse("A request names one host.", 400)
        if _hostname(named[0]) not in self._hosts:
            logger.info("host refused", extra={"host": named[0][:_LONGEST_NAME]})
            return PlainTextResponse("This server does not go by that name; PATCHBAY_ALLOWED_HOSTS may add it.", 421)
        if path != _ENDPOINT and not path.startswith(_PROXY) and (refusal := _refusal_of_body(headers)):
            return refusal
        return self._refusal_of_arrival(scope["client"]) if path.startswith(_ARRIVALS) else None

    def _refusal_of_arrival(self, client: tuple[str, int] | None) -> Response | None:
        seconds = ceil(self._arrivals.take(neighbourhood(client[0] if client else None)))
        if not seconds:
            return None
        response = render(
            "error.html",
            status=429,
            title="Too many at once",
            message="From your address more people come and go here than this server lets in a minute.",
            remedy=f"Try again in {seconds} s.",
        )
        response.headers["retry-after"] = str(seconds)
        return response

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                said = [*message["headers"]]
                names = {name for name, _ in said}
                message["headers"] = said + [header for header in self._headers if header[0] not in names]
            await send(message)

        return sending


# Callers go by few names, and a header is no longer than the server takes it.
@lru_cache(64)
def _hostname(text: str) -> str | None:
    """The name in a Host header, without its port."""
    match = _HOST.fullmatch(text.lower())
    return match[1].strip("[]") if match else None


def _refusal_of_body(headers: Headers) -> Response | None:
    """Forms are read at once, so how long one is must be known and be little. The server holds the sender to that length."""
    if "transfer-encoding" in headers:
        return PlainTextResponse("Say how long it is, in Content-Length.", 411)
    length = headers.get("content-length", "0")
    if len(length) > len(str(_LONGEST_FORM)) or int(length) > _LONGEST_FORM:
        return PlainTextResponse(f"It may have at most {_LONGEST_FORM:,} bytes.", 413)
    return None
