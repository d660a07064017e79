"""The audiences that there are: each from its first subscriber to its last, with one task that answers its events."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import Context, copy_context

from api.clock import Clock
from api.events.audience import Audience, Delivery, Events
from api.events.order import EventPosition
from api.events.selection import EventSelection

logger = logging.getLogger(__name__)


class Audiences:
    """`events`: all that there are after a position. `position`: where the log was read up to."""

    def __init__(
        self,
        clock: Clock,
        *,
        events: Callable[[EventPosition], AbstractAsyncContextManager[Events]],
        position: Callable[[], EventPosition],
    ) -> None:
        self._clock = clock
        self._events = events
        self._position = position
        self._audiences: dict[Hashable, tuple[Audience, asyncio.Task[None]]] = {}
        self._followers: Counter[Hashable] = Counter()
        self._running: tuple[asyncio.TaskGroup, Context] | None = None

    def __len__(self) -> int:
        return len(self._audiences)

    @contextmanager
    def running(self, tasks: asyncio.TaskGroup) -> Iterator[None]:
        """Let audiences have their tasks there; at its end all of them end."""
        # What subscribers happen to have about them is no part of what is done for all.
        self._running = (tasks, copy_context())
        try:
            yield
        finally:
            self._running = None
            for _, task in self._audiences.values():
                task.cancel()

    @contextmanager
    def followed(self, delivery: Delivery) -> Iterator[None]:
        """Somebody may be in this audience for as long as this lasts."""
        self._followers[delivery.key] += 1
        try:
            yield
        finally:
            self._followers[delivery.key] -= 1
            if not self._followers[delivery.key]:
                del self._followers[delivery.key]
                # Not left to its task, which may not even have begun.
                if (found := self._audiences.pop(delivery.key, None)) is not None:
                    found[1].cancel()

    def find(self, selection: EventSelection, delivery: Delivery) -> Audience | None:
        """The audience, begun if need be; None while nothing is delivered."""
        found = self._audiences.get(delivery.key)
        if found is not None:
            return found[0]
        if self._running is None:
            return None
        tasks, context = self._running
        audience = Audience(selection, delivery.answer, self._clock, self._position())
        self._audiences[delivery.key] = (audience, tasks.create_task(self._attend(delivery.key, audience), context=context))
        return audience

    async def _attend(self, key: Hashable, audience: Audience) -> None:
        try:
            async with self._events(audience.position) as events:
                await audience.attend(events)
        # Its members go on alone, and meet what is wrong each for themselves; other audiences must live.
        except Exception:
            logger.exception("event not shared")
        finally:
            audience.end()
            if (found := self._audiences.get(key)) is not None and found[0] is audience:
                del self._audiences[key]
