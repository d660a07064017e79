"""One who follows the log: what waits for them, and where they are kept while nothing does."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from api.access import Actor
from api.events.audience import Audience, Member
from api.events.order import EventPosition, PlacedEvent

_QUEUE = 100
_PATIENCE = timedelta(seconds=10)


class Subscriber:
    """The events that one subscriber has yet to take: at most a hundred. What does not fit is read from the log again."""

    def __init__(self, actor: Actor | None) -> None:
        # None: an audience, which looks itself who may see what.
        self.actor = actor
        self.member: Member | None = None
        self._queue: asyncio.Queue[PlacedEvent | None] | None = None
        # Since when something did not fit.
        self.full_since: datetime | None = None
        self.has_ended = False

    @property
    def queue(self) -> asyncio.Queue[PlacedEvent | None]:
        """Made when it is needed: of thousands in audiences hardly any is."""
        if self._queue is None:
            self._queue = asyncio.Queue(_QUEUE)
        return self._queue

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, nor has to be read again."""
        return self.full_since is None and (self._queue is None or self._queue.empty())

    async def rest(self, audience: Audience, write: Callable[[bytes], bool], last: EventPosition) -> EventPosition:
        """Be in an audience until it is left, or everything ends; up to which position it has been served."""
        assert self.actor is not None
        self.member = member = Member(self.actor, write, last)
        self._queue = None
        try:
            await audience.keep(member)
        finally:
            self.member = None
        return member.position

    def has_lagged(self, now: datetime) -> bool:
        """Whether it left more waiting than there is room for, and for too long. Of an audience nobody takes anything away."""
        return self.actor is not None and self.full_since is not None and now - self.full_since > _PATIENCE

    def offer(self, placed: PlacedEvent, now: datetime) -> None:
        if self.has_ended:
            return
        try:
            self.queue.put_nowait(placed)
        except asyncio.QueueFull:
            self.full_since = self.full_since or now

    def end(self) -> None:
        """Nothing comes any more, not even what waits."""
        self.has_ended, self.full_since = True, None
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)
        if self.member is not None:
            self.member.leave(self.member.position)

    def catch_up(self, position: EventPosition) -> bool:
        """Drop what was read from the log up to a position; False where more must be read there, because it did not fit."""
        if self.has_ended:
            return True
        waiting = [self.queue.get_nowait() for _ in range(self.queue.qsize())]
        if self.full_since is not None:
            self.full_since = None
            return False
        for placed in waiting:
            if placed is not None and placed.position > position:
                self.queue.put_nowait(placed)
        return True
