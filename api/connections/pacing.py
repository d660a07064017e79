"""How many requests a provider's host gets from this process at once, and when it asked for a pause."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from api.clock import Clock
from api.connections import reasons
from api.errors import ProviderFailure

_AT_ONCE = 8


class Pacing:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))
        self._paused: dict[str, datetime] = {}

    @asynccontextmanager
    async def turn(self, host: str, provider: str) -> AsyncIterator[None]:
        """Wait for a place among the eight. Raises ProviderFailure, with nothing sent, while the host wants a pause."""
        async with self._turns[host]:
            now = self._clock()
            until = self._paused.get(host, now)
            if until > now:
                raise ProviderFailure(reasons.rate_limited(provider), retryable=True, retry_after=until - now)
            yield

    def pause(self, host: str, until: datetime) -> None:
        """Send the host nothing before then, or before what it asked for earlier."""
        self._paused[host] = max(until, self._paused.get(host, until))
