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

    Who waits longest gets the next one. None goes from hand to hand that is not known to be sound: those go back to the pool.
    """

    def __init__(self, pool: Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._idle: deque[Lent] = deque()
        # Each is given a connection, or None: then one may be taken from the pool.
        self._waiting: deque[asyncio.Future[Lent | None]] = deque()
        # How many are lent, at hand, or promised to one who waits.
        self._out = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._idle)

    async def take(self) -> Lent:
        """Raises TimeoutError where all are at work for too long, and what the driver raises where it cannot connect."""
        while self._idle:
            lent = self._idle.pop()
            if _is_sound(lent.connection):
                return lent
            await self._return(lent)
        if self._out < self._pool.get_max_size():
            self._out += 1
            return await self._acquired()
        return await self._handed_on() or await self._acquired()

    async def give_back(self, lent: Lent, *, done: bool) -> None:
        """Give it back, and tell whether all that was asked of it is known to have been done: no error, no cancellation."""
        now = self._clock()
        if not (done and now < lent.until and not self._closed and _is_sound(lent.connection)):
            await self._return(lent)
        elif not self._passed_on(lent):
            self._idle.append(lent)
        # After many at once, those that nobody needs any more.
        if self._idle and self._idle[0].until <= now:
            await self._return(self._idle.popleft())

    async def close(self) -> None:
        self._closed = True
        while self._idle:
            await self._return(self._idle.pop())

    async def _acquired(self) -> Lent:
        """One from the pool, which is counted already."""
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                return Lent(await self._pool.acquire(), self._clock() + HANDED_ON_SECONDS)
        except BaseException:
            self._make_room()
            raise

    async def _handed_on(self) -> Lent | None:
        """What somebody gives back; None where one may be taken from the pool instead."""
        waiting: asyncio.Future[Lent | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                return await waiting
        except BaseException:
            # Given up in the moment in which it was given something.
            if waiting.done() and not waiting.cancelled():
                await self._pass(waiting.result())
            raise

    async def _pass(self, lent: Lent | None) -> None:
        if lent is None:
            self._make_room()
        else:
            await self.give_back(lent, done=True)

    async def _return(self, lent: Lent) -> None:
        """Give it to the pool, and let who waits take one from there."""
        try:
            await self._pool.release(lent.connection)
        finally:
            self._make_room()

    def _make_room(self) -> None:
        if not self._passed_on(None):
            self._out -= 1

    def _passed_on(self, lent: Lent | None) -> bool:
        """Whether there was somebody who waits."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(lent)
                return True
        return False


def _is_sound(connection: Any) -> bool:
    try:
        return not (connection.is_closed() or connection.is_in_transaction())
    except InterfaceError:
        # Lost meanwhile, and the pool has noticed.
        return False
