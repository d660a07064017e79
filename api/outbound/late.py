"""A session that is opened for the first call.

What calls are made with takes a tenth of a second and 10 MB to load: a start does not wait for it, and a process that calls nobody does
without. A thread loads it, so that others are answered meanwhile.
"""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from api.outbound.dialling import tls_context
from api.outbound.egress import EgressGuard

if TYPE_CHECKING:
    import aiohttp

_SESSIONS: Final = "api.outbound.sessions"


@dataclass(frozen=True, slots=True)
class Manner:
    """How the calls of a session are made. `connect_seconds`: also for a turn, where a host has all the connections that it gets."""

    connections: int
    connections_per_host: int
    headers: Mapping[str, str]
    # Headers that aiohttp would add by itself.
    without: tuple[str, ...]
    decompress: bool = True
    connect_seconds: float | None = None


@dataclass(slots=True, eq=False)
class LateSession:
    """Owns the connections of its calls, from `async with` on, which raises OSError for authorities that cannot be read."""

    guard: EgressGuard
    ca_file: Path | None
    manner: Manner
    _is_entered: bool = field(default=False, init=False)
    _session: "aiohttp.ClientSession | None" = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        if self.ca_file is not None:
            # A file that cannot be read is better known at the start.
            tls_context(self.ca_file)
        self._is_entered = True
        return self

    async def __aexit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._is_entered = False
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def opened(self) -> "aiohttp.ClientSession":
        """The session. Raises RuntimeError where this is not entered."""
        if _SESSIONS not in sys.modules:
            await asyncio.to_thread(self._load)
        return self._session or self._open()

    def _load(self) -> None:
        import_module(_SESSIONS)
        # It is kept, and takes a while too.
        tls_context(self.ca_file)

    def _open(self) -> "aiohttp.ClientSession":
        from api.outbound.sessions import open_session

        if not self._is_entered:
            raise RuntimeError("the client is not open")
        self._session = open_session(self.guard, self.ca_file, self.manner)
        return self._session
