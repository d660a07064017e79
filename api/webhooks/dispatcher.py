"""The loop that delivers: it turns events into deliveries, and begins the attempts that are due.

A slow receiver delays nobody else: of the attempts that are under way at once only a few are at one webhook, and at one host.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

import models
from api.clock import Clock
from api.events.log import CHANNEL
from api.events.wakeup import Wakeup, wait
from api.replicas import Replicas
from api.webhooks.outbox import Outbox
from api.webhooks.outcomes import WebhookOutcomes
from api.webhooks.places import Places
from api.webhooks.secrets import forget_ended
from api.webhooks.sending import DEADLINE, WebhookSender
from models.database import Database, database_trouble
from models.notices import listening

logger = logging.getLogger(__name__)

# An attempt is over within its deadline; clocks may differ by half a minute.
_LEASE = 3 * DEADLINE
# A signal may be lost, and a retry comes without one.
_POLL_SECONDS = 1.0
_IDLE_SECONDS = 5.0
_CHORES_EVERY = timedelta(minutes=1)
_FORGOTTEN_AFTER = timedelta(days=30)


class WebhookDispatcher:
    def __init__(
        self,
        outbox: Outbox,
        sender: WebhookSender,
        outcomes: WebhookOutcomes,
        replicas: Replicas,
        *,
        database: Database,
        wakeup: Wakeup,
        clock: Clock,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._outcomes = outcomes
        self._replicas = replicas
        self._database = database
        self._wakeup = wakeup
        self._clock = clock
        self._places = Places()
        self._attempts: set[asyncio.Task[None]] = set()
        # How many have ended so far.
        self._ended = 0
        # Of one tick at a time, so that two do not take the same places.
        self._turn = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._chores_done_at: datetime | None = None
        self._tasks = asyncio.TaskGroup()

    @asynccontextmanager
    async def running(self, *, listens: bool) -> AsyncIterator[None]:
        """Deliver for as long as this lasts. What is being sent at its end is given back.

        `listens`: nobody else in this process hears of what other processes commit.
        """
        async with AsyncExitStack() as stack:
            if listens:
                await stack.enter_async_context(listening(self._database, CHANNEL, self._wanted.set))
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            loops = [self._tasks.create_task(self._run()), self._tasks.create_task(self._hear())]
            try:
                yield
            finally:
                for task in (*loops, *self._attempts):
                    task.cancel()

    async def tick(self) -> bool:
        """Make deliveries of what happened, and begin those attempts that are due and have a place; whether anybody listens."""
        # Leases would not hold, and what is due would be judged wrongly.
        if self._replicas.clock_deviates:
            return False
        async with self._turn:
            await self._do_chores()
            if not await models.Webhook.any_enabled():
                return False
            while await self._outbox.make_deliveries():
                pass
            while await self._begin_due():
                pass
        return True

    async def settled(self) -> None:
        """Wait until no attempt is under way, nor one due that could be begun."""
        while True:
            ended = self._ended
            await self.tick()
            if self._attempts:
                await asyncio.wait(self._attempts)
            # One that ended while this looked may have had the place of another that is due.
            elif ended == self._ended:
                return

    async def _run(self) -> None:
        while True:
            self._wanted.clear()
            seconds = _POLL_SECONDS
            try:
                seconds = _POLL_SECONDS if await self.tick() else _IDLE_SECONDS
            # The loop must live: while the database is away it looks again now and then, and misses nothing.
            except Exception:
                logger.exception("webhooks not dispatched")
            await wait(self._wanted, seconds=seconds)

    async def _hear(self) -> None:
        """Look as soon as something was committed."""
        while True:
            await self._wakeup.ticket().wait()
            self._wanted.set()

    async def _do_chores(self) -> None:
        """Once a minute: forget what nobody needs any more."""
        now = self._clock()
        if self._chores_done_at is None or now >= self._chores_done_at + _CHORES_EVERY:
            self._chores_done_at = now
            await forget_ended(now)
            await models.WebhookDelivery.forget_old(now - _FORGOTTEN_AFTER)

    async def _begin_due(self) -> int:
        """Begin attempts at webhooks that have some due; how many."""
        free, full = self._places.free, self._places.full_webhooks
        due = await models.WebhookDelivery.due_webhooks(self._clock(), without=full, limit=free) if free > 0 else []
        return sum([await self._begin(webhook_id, url) for webhook_id, url in due])

    async def _begin(self, webhook_id: UUID, url: str) -> int:
        free = self._places.free_at(webhook_id, url)
        if free == 0:
            return 0
        claimed = await models.WebhookDelivery.claim(webhook_id, self._clock(), lease=_LEASE, limit=free)
        for delivery in claimed:
            self._places.take(webhook_id, url)
            attempt = self._tasks.create_task(self._attempt_safely(delivery, url))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._end)
        return len(claimed)

    def _end(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._ended += 1

    async def _attempt_safely(self, delivery: models.WebhookDelivery, url: str) -> None:
        with self._places.given_back(delivery.webhook_id, url):
            try:
                await self._attempt(delivery)
            except asyncio.CancelledError:
                await self._give_back(delivery)
                raise
            # What breaks one attempt must not end the others: it is due again when its lease is over.
            except Exception:
                logger.exception("webhook attempt broke", extra={"delivery": str(delivery.id)})
        self._wanted.set()

    async def _give_back(self, delivery: models.WebhookDelivery) -> None:
        """At the end of this process: nobody knows whether the message arrived, so whoever delivers next sends it again."""
        try:
            await delivery.give_back(self._clock())
        except database_trouble():
            logger.warning("webhook message not given back", extra={"delivery": str(delivery.id)})

    async def _attempt(self, delivery: models.WebhookDelivery) -> None:
        webhook = await models.Webhook.get_or_none(id=delivery.webhook_id)
        if webhook is None:
            return
        if webhook.disabled_at is not None:
            # Disabled since it was claimed: it waits as if it had not been.
            await delivery.give_back(self._clock())
            return
        outcome = await self._sender.send(webhook, delivery.message_id, delivery.payload)
        await self._outcomes.save(webhook, delivery, outcome)
