"""Connections of a pool that one statement hands on to the next, without the way through the pool each time."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asyncpg import InterfaceError, Pool

# How long to wait for a connection while all of the pool are at work.
ACQUIRE_SECONDS = 10

# How long a connection is handed on before the pool sees it again, which replaces those that have grown old.
HANDED_ON_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Lent:
    """A connection, and until when it may be handed on."""

    connection: Any
    until: float


class AtHand:
    """What lends the connections of a pool; nobody else may take one from it.

    None is kept at hand while anybody waits for one, and none that is not known to be sound: those go back to the pool.
    """

    def __init__(self, pool: Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._idle: deque[Lent] = deque()
        self._waiting = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._idle)

    async def take(self) -> Lent:
        """Raises TimeoutError where all are at work for too long, and what the driver raises where it cannot connect."""
        while self._idle:
            lent = self._idle.pop()
            if _is_sound(lent.connection):
                return lent
            await self._pool.release(lent.connection)
        return Lent(await self._acquired(), self._clock() + HANDED_ON_SECONDS)

    async def give_back(self, lent: Lent, *, done: bool) -> None:
        """Give it back, and tell whether all that was asked of it is known to have been done: no error, no cancellation."""
        now = self._clock()
        if done and now < lent.until and not (self._waiting or self._closed) and _is_sound(lent.connection):
            self._idle.append(lent)
        else:
            await self._pool.release(lent.connection)
        # After many at once, those that nobody needs any more.
        if self._idle and self._idle[0].until <= now:
            await self._pool.release(self._idle.popleft().connection)

    async def close(self) -> None:
        self._closed = True
        while self._idle:
            await self._pool.release(self._idle.pop().connection)

    async def _acquired(self) -> Any:
        self._waiting += 1
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                return await self._pool.acquire()
        finally:
            self._waiting -= 1


def _is_sound(connection: Any) -> bool:
    try:
        return not (connection.is_closed() or connection.is_in_transaction())
    except InterfaceError:
        # Lost meanwhile, and the pool has noticed.
        return False
