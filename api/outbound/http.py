"""The one client for every call to the outside: guarded, and bounded in time, size and connections.

It follows no redirect (a 3xx is an answer like any other), keeps no cookie, takes no proxy and no certificate authority from the
environment, verifies TLS always, and asks for answers that are not compressed. A POST is sent once and never again; a GET, PUT or
DELETE may be sent a second time where a kept connection turns out to be closed.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from api.outbound.dialling import (
    MAXIMUM_HEADERS,
    AnswerTooLarge,
    DeadlineExceeded,
    Obstacle,
    Progress,
    Unreachable,
    check_head,
    guarded_connector,
    noting_progress,
    reaching,
    tls_context,
)
from api.outbound.egress import Destination, EgressGuard, EgressRefused, OutboundError, origin_of
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
    "tls_context",
]


_CONNECTIONS = 256


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
        connector = guarded_connector(self.guard, self._ca_file, connections=_CONNECTIONS, connections_per_host=self._connections_per_host)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"Patchbay/{version()}", "Accept-Encoding": "identity"},
            skip_auto_headers=("Content-Type",),
            # The one deadline is that of `send`, over everything.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
            trust_env=False,
            max_headers=MAXIMUM_HEADERS,
            trace_configs=[noting_progress()],
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
        check_head(request.method, request.headers.items(), destination.origin)
        progress = Progress()
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                with reaching(destination, progress):
                    return await self._exchange(request, destination, progress, max_bytes)
        except TimeoutError:
            raise DeadlineExceeded(destination.origin, deadline, may_have_arrived=progress.is_connected) from None

    async def _exchange(self, request: OutboundRequest, destination: Destination, progress: Progress, max_bytes: int) -> Answer:
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
