"""Calls whose bodies are passed on while they come: up and down as fast as the slower side takes them, and never kept as a whole.

A call may last for as long as something moves; what stands still is given up. It is guarded like every call to the outside, follows no
redirect, keeps no cookie, and leaves a compressed body as it is. These calls have connections of their own, so that however many of them
are under way, none waits in line before the renewal of a token.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from multidict import CIMultiDict

from api.outbound.dialling import (
    DeadlineExceeded,
    Obstacle,
    Progress,
    Unreachable,
    check_head,
    reaching,
)
from api.outbound.egress import Destination, EgressGuard, origin_of
from api.outbound.late import LateSession, Manner

if TYPE_CHECKING:
    import aiohttp

# Also for a turn, where a host has all the connections that it gets.
_CONNECT_SECONDS = 30.0
_CONNECTIONS = 500


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call may stand still. `head`: from the last that was sent until the answer begins; `idle`: within the answer."""

    head: timedelta = timedelta(minutes=5)
    idle: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class StreamedRequest:
    """`length`: of a body that comes piece by piece, where it is known."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]] = field(default=())
    body: bytes | AsyncIterable[bytes] | None = None
    length: int | None = None

    def __repr__(self) -> str:
        return f"StreamedRequest({self.method} {origin_of(self.url)}, {len(self.headers)} headers)"


class StreamingClient:
    """Calls the outside, and passes bodies on. Open it once (`async with`) and share it: it owns the connections.

    Where more calls wait for one host than it has connections, they wait in line, and not for long.
    """

    def __init__(
        self,
        guard: EgressGuard,
        *,
        ca_file: Path | None = None,
        connections_per_host: int = 100,
        patience: Patience = Patience(),
    ) -> None:
        self.guard = guard
        self._patience = patience
        manner = Manner(
            _CONNECTIONS,
            connections_per_host,
            headers={},
            # What the caller does not say is not said for them: which encodings they can read, they alone know.
            without=("Accept", "Accept-Encoding", "Content-Type"),
            decompress=False,
            connect_seconds=_CONNECT_SECONDS,
        )
        self._session = LateSession(guard, ca_file, manner)

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *ending: object) -> None:
        await self._session.__aexit__(None, None, None)

    @asynccontextmanager
    async def open(self, request: StreamedRequest) -> AsyncIterator["StreamedAnswer"]:
        """Send a request, and have its answer from the head on. At the end of the block what is still under way is broken off at once.

        A body that comes piece by piece goes on being sent while the answer is read. Raises EgressRefused, Unreachable, DeadlineExceeded.
        """
        destination = self.guard.check(request.url)
        check_head(request.method, request.headers, destination.origin)
        stillness, progress = _Stillness(), Progress()
        # What the first call loads is no time that the server takes.
        session = await self._session.opened()
        try:
            async with stillness.at_most(self._patience.head):
                with reaching(destination, progress):
                    response = await _begin(session, request, destination, stillness, progress)
        except TimeoutError:
            raise DeadlineExceeded(destination.origin, self._patience.head, may_have_arrived=progress.is_connected) from None
        try:
            if response.status < 200:
                raise Unreachable(destination.origin, Obstacle.EXCHANGE, may_have_arrived=True)
            yield StreamedAnswer(response, destination, stillness, self._patience.idle)
        finally:
            # One that was read to its end has given its connection back already; this closes all others, and stops the sending.
            response.close()


async def _begin(
    session: "aiohttp.ClientSession", request: StreamedRequest, destination: Destination, stillness: "_Stillness", progress: Progress
) -> "aiohttp.ClientResponse":
    from yarl import URL

    headers, body = CIMultiDict(request.headers), request.body
    if body is not None and not isinstance(body, bytes):
        body = _Upload(body, stillness)
        if request.length is not None:
            headers["Content-Length"] = str(request.length)
    return await session.request(
        request.method,
        URL(destination.url, encoded=True),
        headers=headers,
        data=body,
        allow_redirects=False,
        raise_for_status=False,
        trace_request_ctx=progress,
    )


class StreamedAnswer:
    """What a server says, while it says it. `headers` are as they came, also those that came several times."""

    def __init__(self, response: "aiohttp.ClientResponse", destination: Destination, stillness: "_Stillness", idle: timedelta) -> None:
        self.status = response.status
        self.headers: Sequence[tuple[bytes, bytes]] = response.raw_headers
        self._response = response
        self._destination = destination
        self._stillness = stillness
        self._idle = idle

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, undecoded: whatever is there, as soon as it is there. Nothing more is read while nobody asks for it.

        Ends only where the body is complete. Raises Unreachable where it breaks off, DeadlineExceeded where it stands still.
        """
        progress = Progress(is_connected=True)
        try:
            while True:
                async with self._stillness.at_most(self._idle):
                    with reaching(self._destination, progress):
                        chunk = await self._response.content.readany()
                if not chunk:
                    return
                yield chunk
        except TimeoutError:
            raise DeadlineExceeded(self._destination.origin, self._idle, may_have_arrived=True) from None


class _Stillness:
    """How long nothing may move. Also what is sent meanwhile is a movement."""

    def __init__(self) -> None:
        self._limit: asyncio.Timeout | None = None
        self._span = timedelta(0)

    @asynccontextmanager
    async def at_most(self, span: timedelta) -> AsyncIterator[None]:
        """Raises TimeoutError."""
        async with asyncio.timeout(span.total_seconds()) as self._limit:
            self._span = span
            try:
                yield
            finally:
                self._limit = None

    def moved(self) -> None:
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._span.total_seconds())


class _Upload(AsyncIterator[bytes]):
    """A body, each piece of which is a movement. It can be sent once."""

    def __init__(self, pieces: AsyncIterable[bytes], stillness: _Stillness) -> None:
        self._pieces = aiter(pieces)
        self._stillness = stillness

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._stillness.moved()
        return piece
