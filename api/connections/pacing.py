"""How many requests a provider's host gets from this process at once, and when it asked for a pause."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from api.clock import Clock

_AT_ONCE = 8


class HostPaused(Exception):
    """The host asked for fewer requests; nothing is sent before `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__()
        self.until = until


class Pacing:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))
        self._paused: dict[str, datetime] = {}

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for a place among the eight. Raises HostPaused."""
        async with self._turns[host]:
            until = self._paused.get(host)
            if until is not None and until > self._clock():
                raise HostPaused(until)
            self._paused.pop(host, None)
            yield

    def pause(self, host: str, until: datetime) -> None:
        self._paused[host] = until
