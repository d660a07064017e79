"""Doing in one go what many ask for at the same moment: one transaction or one round trip for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from models.database import in_own_transaction

# Between one batch and the next, so that that one is worth its transaction.
_MOMENT_SECONDS = 0.01

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Wish(Generic[Item, Result]):
    item: Item
    answer: asyncio.Future[Result]


class Gathering(Generic[Item, Result]):
    """`act` does some at once, and answers in their order. While it does, those who come next gather.

    Who finds nobody at work waits for no others to come. `act` runs in the context in which this was made, and so in nobody's
    transaction; but for whoever asks from within one, which is done at once, by itself, and in there.
    """

    def __init__(self, act: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], *, at_most: int) -> None:
        self._act = act
        self._at_most = at_most
        self._waiting: list[_Wish[Item, Result]] = []
        self._working: asyncio.Task[None] | None = None
        self._context = copy_context()

    async def ask(self, item: Item) -> Result:
        """What comes of this item. What `act` raises is raised for all that were done together."""
        if in_own_transaction():
            [result] = await self._act([item])
            return result
        wish: _Wish[Item, Result] = _Wish(item, asyncio.get_running_loop().create_future())
        self._waiting.append(wish)
        if self._working is None:
            # allowed: ownerless-task: it ends once all who asked are answered, and each of them waits for that
            self._working = asyncio.create_task(self._work(), context=self._context.copy())
        return await wish.answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[: self._at_most], self._waiting[self._at_most :]
                # Whoever was cancelled meanwhile wants nothing any more.
                if wanted := [wish for wish in some if not wish.answer.done()]:
                    await self._do(wanted)
                await asyncio.sleep(_MOMENT_SECONDS)
        finally:
            self._working = None

    async def _do(self, wishes: Sequence[_Wish[Item, Result]]) -> None:
        try:
            answers = await self._act([wish.item for wish in wishes])
        # Whatever it is, it is raised where it is waited for.
        except Exception as error:
            for wish in wishes:
                if not wish.answer.done():
                    wish.answer.set_exception(error)
        except asyncio.CancelledError:
            for wish in [*wishes, *self._waiting]:
                wish.answer.cancel()
            raise
        else:
            for wish, answer in zip(wishes, answers, strict=True):
                if not wish.answer.done():
                    wish.answer.set_result(answer)
