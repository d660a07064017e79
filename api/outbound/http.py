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
from typing import TYPE_CHECKING, Protocol, Self

from multidict import CIMultiDict, CIMultiDictProxy

from api.outbound.dialling import (
    AnswerTooLarge,
    DeadlineExceeded,
    Obstacle,
    Progress,
    Unreachable,
    check_head,
    reaching,
    tls_context,
)
from api.outbound.egress import Destination, EgressGuard, EgressRefused, OutboundError, origin_of
from api.outbound.late import LateSession, Manner

if TYPE_CHECKING:
    import aiohttp

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

    def __init__(
        self, guard: EgressGuard, *, ca_file: Path | None = None, connections: int = _CONNECTIONS, connections_per_host: int = 16
    ) -> None:
        self.guard = guard
        self._ca_file = ca_file
        manner = Manner(connections, connections_per_host, headers={"Accept-Encoding": "identity"}, without=("Content-Type",))
        self._session = LateSession(guard, ca_file, manner)

    @property
    def tls(self) -> ssl.SSLContext:
        """For calls by another protocol than HTTP."""
        return tls_context(self._ca_file, alpn=None)

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *ending: object) -> None:
        await self._session.__aexit__(None, None, None)

    async def send(self, request: OutboundRequest, *, deadline: timedelta, max_bytes: int) -> Answer:
        """Send a request and read its whole answer, whatever its status.

        The deadline covers all of it: name, connection, TLS, sending, and the last byte of the answer. Raises EgressRefused,
        Unreachable, DeadlineExceeded, or AnswerTooLarge (the body is counted as decoded, and reading stops at the limit).
        """
        destination = self.guard.check(request.url)
        check_head(request.method, request.headers.items(), destination.origin)
        progress = Progress()
        # What the first call loads is no time that the server takes.
        session = await self._session.opened()
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                with reaching(destination, progress):
                    return await self._exchange(session, request, destination, progress, max_bytes)
        except TimeoutError:
            raise DeadlineExceeded(destination.origin, deadline, may_have_arrived=progress.is_connected) from None

    async def _exchange(
        self, session: "aiohttp.ClientSession", request: OutboundRequest, destination: Destination, progress: Progress, max_bytes: int
    ) -> Answer:
        from yarl import URL

        async with session.request(
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
