import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from api.connections.gathering import Gathering

pytestmark = pytest.mark.anyio

_SECONDS = 10

who: ContextVar[str] = ContextVar("who", default="nobody")


class Doubling:
    """Doubles, as soon as it may, and remembers what it was asked for together."""

    def __init__(self) -> None:
        self.done: list[list[int]] = []
        self.began = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.seen_as: list[str] = []

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.done.append(list(numbers))
        self.seen_as.append(who.get())
        self.began.set()
        await self.may_go_on.wait()
        if 13 in numbers:
            raise ValueError("13")
        return [2 * number for number in numbers]


async def test_what_is_asked_for_meanwhile_is_done_together_and_in_order() -> None:
    doubling = Doubling()
    gathering = Gathering(doubling, at_most=3)
    async with asyncio.timeout(_SECONDS), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(gathering.ask(1))
        await doubling.began.wait()
        others = [tasks.create_task(gathering.ask(number)) for number in (2, 3, 4, 5)]
        await asyncio.sleep(0)
        doubling.may_go_on.set()

    assert doubling.done == [[1], [2, 3, 4], [5]]
    assert [first.result(), *(other.result() for other in others)] == [2, 4, 6, 8, 10]


async def test_what_is_raised_is_raised_for_those_that_were_done_together_alone() -> None:
    doubling = Doubling()
    doubling.may_go_on.set()
    gathering = Gathering(doubling, at_most=2)

    came = await asyncio.gather(*(gathering.ask(number) for number in (1, 13, 3)), return_exceptions=True)

    assert [str(each) for each in came] == ["13", "13", "6"]


async def test_who_goes_away_meanwhile_is_left_out_and_cuts_nobody_off() -> None:
    doubling = Doubling()
    gathering = Gathering(doubling, at_most=10)
    first = asyncio.ensure_future(gathering.ask(1))
    async with asyncio.timeout(_SECONDS):
        await doubling.began.wait()
        second, third = asyncio.ensure_future(gathering.ask(2)), asyncio.ensure_future(gathering.ask(3))
        await asyncio.sleep(0)

        first.cancel()
        second.cancel()
        doubling.may_go_on.set()

        assert await third == 6
    assert doubling.done == [[1], [3]]
    assert first.cancelled()
    assert second.cancelled()


async def test_nothing_of_whoever_asks_is_seen_where_it_is_done() -> None:
    doubling = Doubling()
    doubling.may_go_on.set()
    who.set("maker")
    gathering = Gathering(doubling, at_most=10)

    who.set("caller")
    await gathering.ask(1)

    assert doubling.seen_as == ["maker"]
