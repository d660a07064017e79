"""How many requests a host gets at once, and when it gets none."""

import asyncio
from datetime import timedelta

import pytest

from api.connections.pacing import Pacing
from api.errors import ProviderFailure
from models import StatusReasonCode
from tests.clock import HeldClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def pacing(clock: HeldClock) -> Pacing:
    return Pacing(clock)


async def refusal(pacing: Pacing, host: str = "acme.example") -> ProviderFailure:
    with pytest.raises(ProviderFailure) as failure:
        async with pacing.turn(host, "Acme"):
            pytest.fail("a turn was given")
    return failure.value


async def test_eight_have_their_turn_at_once_and_the_next_when_one_is_done(pacing: Pacing) -> None:
    begun, may_end = [], asyncio.Semaphore(0)

    async def ask(number: int) -> None:
        async with pacing.turn("acme.example", "Acme"):
            begun.append(number)
            await may_end.acquire()

    async with asyncio.TaskGroup() as tasks:
        for number in range(12):
            tasks.create_task(ask(number))
        await _others_went_on()
        assert begun == [0, 1, 2, 3, 4, 5, 6, 7]
        may_end.release()
        await _others_went_on()
        assert begun == [0, 1, 2, 3, 4, 5, 6, 7, 8]
        for _ in range(11):
            may_end.release()

    assert len(begun) == 12


async def test_one_host_does_not_wait_for_another(pacing: Pacing) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        may_end = asyncio.Event()

        async def ask() -> None:
            async with pacing.turn("acme.example", "Acme"):
                await may_end.wait()

        for _ in range(20):
            tasks.create_task(ask())
        await _others_went_on()
        async with pacing.turn("other.example", "Other"):
            may_end.set()


async def test_a_turn_that_fails_is_given_back(pacing: Pacing) -> None:
    for _ in range(20):
        with pytest.raises(OSError):
            async with pacing.turn("acme.example", "Acme"):
                raise OSError

    async with asyncio.timeout(5), pacing.turn("acme.example", "Acme"):
        pass


async def test_while_a_host_wants_a_pause_nothing_is_sent(pacing: Pacing, clock: HeldClock) -> None:
    pacing.pause("acme.example", clock.now + timedelta(seconds=30))
    clock.move(timedelta(seconds=10))

    failure = await refusal(pacing)

    assert (failure.reason.code, failure.retryable, failure.retry_after) == (StatusReasonCode.RATE_LIMITED, True, timedelta(seconds=20))
    async with pacing.turn("other.example", "Other"):
        pass
    clock.move(timedelta(seconds=20))
    async with pacing.turn("acme.example", "Acme"):
        pass


async def test_a_shorter_pause_does_not_end_a_longer_one(pacing: Pacing, clock: HeldClock) -> None:
    pacing.pause("acme.example", clock.now + timedelta(seconds=30))
    pacing.pause("acme.example", clock.now + timedelta(seconds=5))
    clock.move(timedelta(seconds=10))

    assert (await refusal(pacing)).retry_after == timedelta(seconds=20)


async def test_who_waited_for_a_turn_while_the_host_asked_for_a_pause_sends_nothing(pacing: Pacing, clock: HeldClock) -> None:
    may_end = asyncio.Event()

    async def ask() -> None:
        async with pacing.turn("acme.example", "Acme"):
            await may_end.wait()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(ask())
        await _others_went_on()
        waiting = tasks.create_task(refusal(pacing))
        await _others_went_on()
        pacing.pause("acme.example", clock.now + timedelta(seconds=30))
        may_end.set()

    assert (await waiting).retry_after == timedelta(seconds=30)


async def _others_went_on() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
