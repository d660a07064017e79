"""The one client for every call to the outside: guarded, and bounded in time, size and connections.

It follows no redirect (a 3xx is an answer like any other), keeps no cookie, takes no proxy and no certificate authority from the
environment, verifies TLS always, and asks for answers that are not compressed. A POST is sent once and never again; a GET, PUT or
DELETE may be sent a second time where a kept connection turns out to be closed.
"""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

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
from api.outbound.egress import EgressGuard, EgressRefused, OutboundError
from api.outbound.late import LateSession, Manner
from api.outbound.messages import Answer, OutboundRequest

if TYPE_CHECKING:
    from api.outbound.exchanges import Exchanges

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
        manner = Manner(connections, connections_per_host, headers={"Accept": "*/*", "Accept-Encoding": "identity"}, without=())
        self._session = LateSession(guard, ca_file, manner)
        self._exchanges: Exchanges | None = None

    @property
    def tls(self) -> ssl.SSLContext:
        """For calls by another protocol than HTTP."""
        return tls_context(self._ca_file, alpn=None)

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *ending: object) -> None:
        self._exchanges = None
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
        exchanges = self._exchanges or await self._opened()
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                with reaching(destination, progress):
                    return await exchanges.ask(request, destination, progress, max_bytes)
        except TimeoutError:
            raise DeadlineExceeded(destination.origin, deadline, may_have_arrived=progress.is_connected) from None

    async def _opened(self) -> "Exchanges":
        session = await self._session.opened()
        from api.outbound.exchanges import Exchanges

        self._exchanges = Exchanges(session, tls_context(self._ca_file))
        return self._exchanges
