"""Limits of time for what seldom waits."""

import asyncio

import pytest

from api.graphql.waiting import Begun, within

pytestmark = pytest.mark.anyio


async def at_once() -> str:
    return "done"


async def after(*events: asyncio.Event) -> str:
    for event in events:
        await event.wait()
    return "done"


async def test_what_does_not_wait_is_done_even_where_there_is_no_time() -> None:
    begun = Begun(at_once())

    assert (begun.waits, await begun, await within(0, at_once())) == (False, "done", "done")


async def test_what_waits_comes_to_its_end_with_its_value() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_soon(first.set)
    asyncio.get_running_loop().call_later(0, second.set)

    begun = Begun(after(first, second))

    assert begun.waits
    assert await begun == "done"


async def test_what_waits_for_too_long_is_stopped() -> None:
    stopped: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            stopped.append("stopped")

    with pytest.raises(TimeoutError):
        await within(0, endless())

    assert stopped == ["stopped"]


async def test_what_is_cancelled_may_still_come_to_an_end() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "done"

    async def awaiting() -> str:
        return await Begun(stubborn())

    task = asyncio.create_task(awaiting())
    await asyncio.sleep(0)
    task.cancel()

    assert await task == "done"


@pytest.mark.parametrize("waits", [False, True])
async def test_what_fails_fails_with_its_own_error(waits: bool) -> None:
    async def failing() -> None:
        if waits:
            await asyncio.sleep(0)
        raise KeyError

    with pytest.raises(KeyError):
        await within(5, failing())


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancellation_reaches_what_waits(times: int) -> None:
    heard = 0

    async def listening() -> None:
        nonlocal heard
        for _ in range(times):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard += 1
        raise asyncio.CancelledError

    task = asyncio.create_task(within(60, listening()))
    for _ in range(times):
        await asyncio.sleep(0)
        task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == times
