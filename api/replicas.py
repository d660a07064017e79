"""Which processes work on this database: each tells of itself every few seconds, and with that reads the key ring again.

A process that ends in order takes its row away; of one that dies the row gets old. Clocks decide that, as they decide leases, so each
process compares its clock with that of the database, and refreshes nothing while they differ by more than a few seconds.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import models
from api.clock import Clock
from api.vault.following import RingFollower
from api.vault.vault import Vault
from api.version import version
from models.replica import GONE_AFTER

logger = logging.getLogger(__name__)

# Leases leave ten seconds between the end of an attempt and the beginning of another's.
_TOLERATED = timedelta(seconds=5)

BEAT_SECONDS = 15.0
# A key that is asked for is looked for at once, but no more often than this.
_APART_SECONDS = 1.0
_LEAVE_WITHIN_SECONDS = 5.0


class Replicas:
    """This process among those that work on the database. `id` is the name under which it also holds leases."""

    def __init__(
        self,
        vault: Vault,
        follower: RingFollower,
        clock: Clock,
        *,
        id: str,
        refreshes: bool = True,
        time_of_all: Callable[[], Awaitable[datetime]] | None = None,
    ) -> None:
        """`time_of_all` is what the clocks of all processes are compared with; None: they have one clock."""
        self.id = id
        self.refreshes = refreshes
        # Of the courier whose journal holds the exchanges of this process; told with the next beat.
        self.courier_id: str | None = None
        self._vault = vault
        self._follower = follower
        self._clock = clock
        self._started_at = clock()
        # Since when this process reaches the database at each beat; None: it did not at the last.
        self._reaches_since: datetime | None = None
        self._time_of_all = time_of_all
        # Whether the clock of this process differs from that of all by so much that leases would not hold.
        self.clock_deviates = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be among the replicas for as long as this lasts. A database that is away stops nothing: it is told once it is back."""
        self._vault.follow(self._follower)
        try:
            await self._beat_safely()
            async with asyncio.TaskGroup() as tasks:
                loop = tasks.create_task(self._run())
                try:
                    yield
                finally:
                    loop.cancel()
        finally:
            await self._leave()

    async def alive(self) -> Sequence[models.Replica]:
        """The processes that told of themselves lately; this one is among them while it runs."""
        return await models.Replica.alive(self._clock())

    async def is_gone(self, courier_id: str) -> bool:
        """Whether nobody asks this courier any more. After the database was away, the others get time to tell of themselves."""
        now = self._clock()
        if self._reaches_since is None or now - self._reaches_since < GONE_AFTER:
            return False
        return not await models.Replica.filter(courier_id=courier_id, seen_at__gt=now - GONE_AFTER).exists()

    async def beat(self) -> None:
        """Read the ring, tell of this process, and forget those that are long gone."""
        await self._follower.read()
        await self._compare_clocks()
        now = self._clock()
        row = models.Replica(
            id=self.id, started_at=self._started_at, seen_at=now, version=version(), refreshes=self.refreshes, courier_id=self.courier_id
        )
        row.data_keys = self._vault.ring.key_ids
        await row.tell()
        await models.Replica.forget_gone(now)
        self._reaches_since = self._reaches_since or now

    async def _compare_clocks(self) -> None:
        if self._time_of_all is None:
            return
        before = self._clock()
        time_of_all = await self._time_of_all()
        # The answer took its time: the clock is right if the answer may have come from between.
        deviation = max(before - time_of_all, time_of_all - self._clock())
        self.clock_deviates = deviation > _TOLERATED
        if self.clock_deviates:
            logger.error("clock deviates, so nothing is refreshed here", extra={"seconds": round(deviation.total_seconds(), 1)})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_APART_SECONDS)
            try:
                async with asyncio.timeout(BEAT_SECONDS - _APART_SECONDS):
                    await self._follower.wanted.wait()
            except TimeoutError:
                pass
            await self._beat_safely()

    async def _beat_safely(self) -> None:
        try:
            await self.beat()
        # The loop must live: whatever keeps it from the database, it tries again at the next beat.
        except Exception:
            self._reaches_since = None
            logger.exception("heartbeat failed")

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_LEAVE_WITHIN_SECONDS):
                await models.Replica.filter(id=self.id).delete()
        # It is gone all the same: its row gets old.
        except Exception:
            logger.exception("heartbeat not ended")
