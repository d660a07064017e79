"""When all that a feed has to do is done, without waiting for time to pass."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from api.events.subscriber import Subscriber

# Small, so that few events are many.
_SMALL = {
    "api.events.order._BATCH": 7,
    "api.events.subscriber._QUEUE": 5,
    "api.events.audience._IN_ONE_GO": 2,
}


@contextmanager
def small() -> Iterator[None]:
    with ExitStack() as stack:
        for name, value in _SMALL.items():
            stack.enter_context(patch(name, value))
        yield


class Rest:
    """Where the reader waits to be called: nothing is found because a second went by."""

    # For this it waits now.
    ticket: asyncio.Event | None = None

    async def __call__(self, ticket: asyncio.Event, *, seconds: float) -> None:
        self.ticket = ticket
        await ticket.wait()
        self.ticket = None

    async def settle(self, feed: Any, last_id: int, unfinished: Callable[[], int], stuck: Callable[[], int]) -> None:
        """Wake the reader, and wait until every stream has what there is up to this event, but for those that are stuck."""
        feed._wakeup.signal()
        async with asyncio.timeout(30):
            while not self._is_quiet(feed, last_id, unfinished(), stuck()):
                # PostgreSQL holds back what is newer than any transaction of the whole server.
                if self._waits(feed) and feed._position.id < last_id:
                    feed._wakeup.signal()
                await asyncio.sleep(0)

    def _waits(self, feed: Any) -> bool:
        return self.ticket is feed._wakeup.ticket()

    def _is_quiet(self, feed: Any, last_id: int, unfinished: int, stuck: int) -> bool:
        streams = streams_of(feed)
        return (
            self._waits(feed)
            and feed._position.id >= last_id
            and len(streams) == unfinished
            and len(feed._subscribers) - len(streams) == len(feed._audiences)
            and sum(not _waits(subscriber) for subscriber in feed._subscribers) == stuck
        )


def streams_of(feed: Any) -> list[Subscriber]:
    """Those of somebody; the others are of audiences."""
    return [subscriber for subscriber in feed._subscribers if subscriber.actor is not None]


def _waits(subscriber: Any) -> bool:
    """Whether nothing comes to it but what is yet to happen."""
    if subscriber.member is not None:
        return not subscriber.member.left.done()
    queue = subscriber._queue
    return queue is not None and queue.empty() and any(not getter.done() for getter in queue._getters) and subscriber.full_since is None
