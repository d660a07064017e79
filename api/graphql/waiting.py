"""Limits of time for what seldom waits: the timer is set only where it does.

A body is mostly there when it is asked for, SQLite answers at once, and so does a socket that has room. Setting a timer for each, and
taking it back, costs more than all of them.
"""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Begun(Generic[T]):
    """Something to be awaited, brought as far as its first wait: `waits` is False where it has come to its end without one.

    To be awaited in the task that began it.
    """

    __slots__ = ("_steps", "_waits_for", "value", "waits")

    def __init__(self, awaited: Awaitable[T]) -> None:
        self._steps = awaited.__await__()
        self.waits = True
        try:
            self._waits_for = next(self._steps)
        except StopIteration as end:
            self.waits = False
            self.value: T = end.value

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.waits:
            return self.value
        try:
            yield self._waits_for
        except BaseException as thrown:
            # Cancelled while it waits. That is for it to know, and it may wait for more before it ends.
            return (yield from _thrown(self._steps, thrown))
        return (yield from self._steps)


def _thrown(steps: Generator[Any, Any, T], error: BaseException) -> Generator[Any, Any, T]:
    """The rest of something that is stopped where it waits."""
    while True:
        try:
            waits_for = steps.throw(error)
        except StopIteration as end:
            value: T = end.value
            return value
        try:
            yield waits_for
        except BaseException as thrown:
            error = thrown
        else:
            return (yield from steps)


async def within(seconds: float, awaited: Awaitable[T]) -> T:
    """What it comes to. Raises TimeoutError where it still waits so long after it began to wait."""
    begun = Begun(awaited)
    if not begun.waits:
        return begun.value
    async with asyncio.timeout(seconds):
        return await begun
