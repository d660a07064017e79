"""The loop that keeps connections alive: a metronome, and a tick that begins what is due."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiocron

import models
from api.clock import Clock
from api.connections.clock_watch import ClockWatch
from api.connections.incidents import Incidents
from api.connections.refresher import Refresher
from api.courier.client import CourierAway
from api.organization.app_warnings import AppWarnings
from api.organization.audit_log import AuditLog
from api.replicas import Replicas
from api.vault.vault import Vault
from models import AuthorizationStatus
from models.leases import bring_back

logger = logging.getLogger(__name__)

_CHORES_EVERY_SECONDS = 60.0
_WAKE_SECONDS = 30.0
# While connections queue for a provider, the next of them are begun without waiting for the metronome.
_QUEUE_SECONDS = 0.25


class RefreshLoop:
    """`schedule` is a cron expression of six fields, seconds first. At most `concurrency` attempts are under way at once."""

    def __init__(
        self,
        refresher: Refresher,
        vault: Vault,
        audit_log: AuditLog,
        incidents: Incidents,
        warnings: AppWarnings,
        watch: ClockWatch,
        replicas: Replicas,
        *,
        schedule: str,
        concurrency: int,
        clock: Clock,
    ) -> None:
        self._refresher = refresher
        self._vault = vault
        self._audit_log = audit_log
        self._incidents = incidents
        self._warnings = warnings
        self._watch = watch
        self._replicas = replicas
        self._schedule = schedule
        self._concurrency = concurrency
        self._clock = clock
        self._chores_done_at: float | None = None
        self.last_tick_at: datetime | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            loop = tasks.create_task(self._run())
            try:
                yield
            finally:
                loop.cancel()

    async def tick(self) -> bool:
        """Begin what is due, as far as there are places; whether more may be due."""
        now, steady = self._clock(), self._watch.steady()
        if self._replicas.clock_deviates:
            # Leases would not hold, and what is over would be judged wrongly.
            self.last_tick_at = now
            return False
        jump = self._watch.look()
        if self._chores_done_at is None or (jump is not None and jump < timedelta(0)):
            await bring_back(now)
        if self._chores_done_at is None or steady - self._chores_done_at >= _CHORES_EVERY_SECONDS:
            await self._do_chores(now)
            self._chores_done_at = steady
        await self._take_up()
        more = await self._begin_due()
        self.last_tick_at = now
        return more

    async def catch_up(self, beat: asyncio.Event) -> None:
        """A tick, and then one claim after the other, until nothing more is due or the next beat wants its tick."""
        more = await self.tick()
        while more and not beat.is_set():
            # Most places stay taken, and each claim is worth its statement.
            await self._refresher.settled(at_most=self._concurrency * 3 // 4)
            more = await self._begin_due()

    async def _run(self) -> None:
        beat = asyncio.Event()
        metronome = aiocron.crontab(self._schedule, func=beat.set, start=True, tz=UTC)
        try:
            while True:
                beat.clear()
                await self._catch_up_safely(beat)
                await self._wait(beat)
        finally:
            metronome.stop()

    async def _wait(self, beat: asyncio.Event) -> None:
        queued = self._refresher.has_queue
        try:
            async with asyncio.timeout(_QUEUE_SECONDS if queued else _WAKE_SECONDS):
                await beat.wait()
        except TimeoutError:
            if not queued:
                logger.warning("metronome missed")

    async def _begin_due(self) -> bool:
        """Whether more may be due than there were places for."""
        free = max(self._concurrency - self._refresher.under_way, 0)
        return free == 0 or await self._refresher.start_due(limit=free) == free

    async def _catch_up_safely(self, beat: asyncio.Event) -> None:
        try:
            await self.catch_up(beat)
        # The loop must live: while the database is away it tries again at each beat.
        except Exception:
            logger.exception("tick failed")

    async def _take_up(self) -> None:
        try:
            await self._refresher.take_up()
        except CourierAway:
            logger.warning("courier not there")

    async def _do_chores(self, now: datetime) -> None:
        """Once a minute: what a dead process left behind, what is over, too old or ends soon, and how often the keys were used."""
        await self._incidents.begin_probes()
        await self._vault.record_use()
        if self._watch.is_in_doubt:
            return
        await self._refresher.recover()
        await self._warnings.tell()
        over = models.Authorization.filter(status=AuthorizationStatus.PENDING, expires_at__lte=now)
        await over.update(status=AuthorizationStatus.EXPIRED, secrets=None, state_hash=None)
        await self._audit_log.forget_old()
