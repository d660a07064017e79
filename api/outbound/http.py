"""The one client for every call to the outside: guarded, and bounded in time, size and connections.

It follows no redirect (a 3xx is an answer like any other), keeps no cookie, takes no proxy and no certificate authority from the
environment, verifies TLS always, and asks for answers that are not compressed. A POST is sent once and never again; a GET, PUT or
DELETE may be sent a second time where a kept connection turns out to be closed.
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Protocol, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from api.outbound.egress import Destination, EgressGuard, EgressRefused, ForbiddenAddress, OutboundError, origin_of
from api.version import version

__all__ = [
    "Answer",
    "AnswerTooLarge",
    "DeadlineExceeded",
    "EgressGuard",
    "EgressRefused",
    "Obstacle",
    "OutboundClient",
    "OutboundError",
    "OutboundRequest",
    "Sender",
    "Unreachable",
]

logger = logging.getLogger(__name__)

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
# What frames a request, or says to whom it goes, is the client's alone.
_RESERVED_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"})
_MAXIMUM_HEADERS = 100
# How aiohttp words it; it has no type of its own for this.
_HEADERS_TOO_LARGE = ("Got more than", "Too many")
# Servers close idle connections after 5 seconds and more. Being sooner avoids sending into a connection that is about to close.
_KEEP_ALIVE = timedelta(seconds=4)
_CONNECTIONS = 256


class Obstacle(StrEnum):
    """At which step a server could not be reached."""

    NAME = "name"
    CONNECTION = "connection"
    TLS = "tls"
    EXCHANGE = "exchange"

    @property
    def sentence(self) -> str:
        match self:
            case Obstacle.NAME:
                return "its name has no address"
            case Obstacle.CONNECTION:
                return "it takes no connection"
            case Obstacle.TLS:
                return "its TLS certificate or handshake is not good"
            case Obstacle.EXCHANGE:
                return "the connection broke, or its answer was not of the protocol"


class Unreachable(OutboundError):
    def __init__(self, origin: str, obstacle: Obstacle, *, may_have_arrived: bool) -> None:
        super().__init__(origin, f"{origin} cannot be reached: {obstacle.sentence}.", may_have_arrived=may_have_arrived)
        self.obstacle = obstacle


class DeadlineExceeded(OutboundError):
    def __init__(self, origin: str, deadline: timedelta, *, may_have_arrived: bool) -> None:
        super().__init__(origin, f"{origin} did not answer within {deadline.total_seconds():g} s.", may_have_arrived=may_have_arrived)
        self.deadline = deadline


class AnswerTooLarge(OutboundError):
    """`status` is that of the answer, where it came as far as that."""

    def __init__(self, origin: str, what: str, *, status: int | None = None) -> None:
        super().__init__(origin, f"{origin} sent {what} larger than allowed.", may_have_arrived=True)
        self.what = what
        self.status = status


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __repr__(self) -> str:
        size = "no" if self.body is None else f"{len(self.body)} bytes of"
        return f"OutboundRequest({self.method} {origin_of(self.url)}, headers: {', '.join(self.headers) or 'none'}, {size} body)"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. The names of headers are told apart without regard to case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    # When it came, where that was earlier than now: it was kept meanwhile.
    received_at: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", CIMultiDictProxy(CIMultiDict(self.headers)))

    def received(self, at: datetime) -> "Answer":
        """The same answer, with the time at which it came."""
        return replace(self, received_at=at)

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.headers)} headers, {len(self.body)} bytes)"


class Sender(Protocol):
    """What sends a request to the outside, by whatever way."""

    @property
    def guard(self) -> EgressGuard: ...

    async def send(self, request: OutboundRequest, *, deadline: timedelta, max_bytes: int) -> Answer:
        """The whole answer, whatever its status. Raises OutboundError."""


class OutboundClient:
    """Calls the outside. Open it once (`async with`) and share it: it owns the connections.

    `ca_file` adds the operator's certificate authorities to those of the system. Where more calls wait for one host than it has
    connections, they wait in line, within their deadlines.
    """

    def __init__(self, guard: EgressGuard, *, ca_file: Path | None = None, connections_per_host: int = 16) -> None:
        self.guard = guard
        self._ca_file = ca_file
        self._connections_per_host = connections_per_host
        self._session: aiohttp.ClientSession | None = None

    @property
    def tls(self) -> ssl.SSLContext:
        """For calls by another protocol than HTTP."""
        return tls_context(self._ca_file, alpn=None)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=_GuardedResolver(self.guard),
            socket_factory=self._open_socket,
            use_dns_cache=False,
            ssl=tls_context(self._ca_file),
            limit=_CONNECTIONS,
            limit_per_host=self._connections_per_host,
            keepalive_timeout=_KEEP_ALIVE.total_seconds(),
        )
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_note_connection)
        trace.on_connection_reuseconn.append(_note_connection)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"Patchbay/{version()}", "Accept-Encoding": "identity"},
            skip_auto_headers=("Content-Type",),
            # The one deadline is that of `send`, over everything.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
            trust_env=False,
            max_headers=_MAXIMUM_HEADERS,
            trace_configs=[trace],
        )
        return self

    async def __aexit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, request: OutboundRequest, *, deadline: timedelta, max_bytes: int) -> Answer:
        """Send a request and read its whole answer, whatever its status.

        The deadline covers all of it: name, connection, TLS, sending, and the last byte of the answer. Raises EgressRefused,
        Unreachable, DeadlineExceeded, or AnswerTooLarge (the body is counted as decoded, and reading stops at the limit).
        """
        destination = self.guard.check(request.url)
        _check_headers(request, destination.origin)
        progress = _Progress()
        token = _current.set(destination)
        try:
            async with asyncio.timeout(deadline.total_seconds()) as limit:
                return await self._exchange(request, destination, progress, max_bytes)
        # aiohttp's own errors may hold the whole URL and all headers: they are never chained.
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, ForbiddenAddress):
                raise EgressRefused(destination.origin, "its address is not public") from None
            raise Unreachable(destination.origin, Obstacle.NAME, may_have_arrived=False) from None
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
            raise Unreachable(destination.origin, Obstacle.TLS, may_have_arrived=False) from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, ForbiddenAddress):
                raise EgressRefused(destination.origin, "its address is not public") from None
            # A connection that is refused outright is no reset: this one was taken, and given up in the handshake.
            obstacle = Obstacle.TLS if isinstance(error.os_error, ConnectionResetError) else Obstacle.CONNECTION
            raise Unreachable(destination.origin, obstacle, may_have_arrived=False) from None
        except aiohttp.ClientResponseError as error:
            if error.message.startswith(_HEADERS_TOO_LARGE):
                raise AnswerTooLarge(destination.origin, "headers") from None
            raise Unreachable(destination.origin, Obstacle.EXCHANGE, may_have_arrived=True) from None
        except TimeoutError:
            if limit.expired():
                raise DeadlineExceeded(destination.origin, deadline, may_have_arrived=progress.is_connected) from None
            raise Unreachable(destination.origin, Obstacle.EXCHANGE, may_have_arrived=progress.is_connected) from None
        except (aiohttp.ClientError, OSError):
            raise Unreachable(destination.origin, Obstacle.EXCHANGE, may_have_arrived=progress.is_connected) from None
        finally:
            _current.reset(token)

    async def _exchange(self, request: OutboundRequest, destination: Destination, progress: "_Progress", max_bytes: int) -> Answer:
        if self._session is None:
            raise RuntimeError("the outbound client is not open")
        async with self._session.request(
            request.method,
            URL(destination.url, encoded=True),
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            raise_for_status=False,
            trace_request_ctx=progress,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    # An answer that is not read to its end costs its connection: it is not used again.
                    response.close()
                    raise AnswerTooLarge(destination.origin, "a body", status=response.status)
            return Answer(response.status, response.headers, bytes(body))

    def _open_socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, _, _, sockaddr = address
        self.guard.check_dial(_current.get(), sockaddr[0])
        opened = socket.socket(family, kind, socket.IPPROTO_TCP)
        # A body that follows its headers must not wait for them to be acknowledged: that may take 40 ms.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened


# Whom the running call goes to. The tasks that aiohttp starts in order to connect inherit it.
_current: ContextVar[Destination] = ContextVar("destination")


@dataclass(slots=True)
class _Progress:
    is_connected: bool = False


async def _note_connection(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.is_connected = True


class _GuardedResolver(AbstractResolver):
    def __init__(self, guard: EgressGuard) -> None:
        self._guard = guard

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._guard.addresses(_current.get())
        ]

    async def close(self) -> None:
        """Part of the interface; there is nothing here to close."""


def _check_headers(request: OutboundRequest, origin: str) -> None:
    if not _TOKEN.fullmatch(request.method):
        raise EgressRefused(origin, "the method is not one of HTTP")
    for name, value in request.headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _RESERVED_HEADERS:
            raise EgressRefused(origin, "a header of the request is not one that may be set")
        if _CONTROL.search(value):
            raise EgressRefused(origin, f"the header {name} holds a control character")


# The authorities of a system take 20 ms to load, and do not change under a running process.
@cache
def tls_context(ca_file: Path | None, *, alpn: str | None = "http/1.1") -> ssl.SSLContext:
    """How certificates are verified: always, by the authorities of the system and of the operator."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    # The paths that OpenSSL was built with, and not those of SSL_CERT_FILE and SSL_CERT_DIR.
    paths = ssl.get_default_verify_paths()
    cafile = paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None
    capath = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    if cafile or capath:
        context.load_verify_locations(cafile, capath)
    elif ca_file is None:
        logger.warning("no certificate authorities found", extra={"looked_at": [paths.openssl_cafile, paths.openssl_capath]})
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
