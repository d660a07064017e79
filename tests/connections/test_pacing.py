"""What goes to a host: how many at once, when it gets nothing, and who learns what from its answers."""

import asyncio
import random
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.connections import reasons
from api.connections.incidents import AppFault
from api.connections.pacing import Held, Limits, Pacing, Visit
from api.errors import ProviderFailure
from models import StatusReasonCode
from tests.clock import HeldClock

pytestmark = pytest.mark.anyio

APP = UUID(int=1)
UNREACHABLE = ProviderFailure(reasons.provider_unreachable("Acme"), retryable=True)
TOO_MANY = ProviderFailure(reasons.rate_limited("Acme"), retryable=True, retry_after=timedelta(seconds=30))


@pytest.fixture
def pacing(clock: HeldClock) -> Pacing:
    return Pacing(steady=lambda: clock.now.timestamp(), chance=random.Random(1))


def visit(host: str = "acme.example", *, app_id: UUID | None = APP, **more: Any) -> Visit:
    return Visit(uuid4(), "Acme", host, app_id, **more)


async def refusal(pacing: Pacing, asked: Visit | None = None) -> ProviderFailure:
    with pytest.raises(ProviderFailure) as failure:
        async with pacing.turn(asked or visit()):
            pytest.fail("a turn was given")
    return failure.value


async def ask(pacing: Pacing, asked: Visit | None = None, *, meets: Exception | None = None) -> None:
    try:
        async with pacing.turn(asked or visit()):
            if meets is not None:
                raise meets
    except Exception as error:
        if error is not meets:
            raise


async def fail(pacing: Pacing, count: int = 5) -> None:
    for _ in range(count):
        await ask(pacing, meets=UNREACHABLE)


class Crowd:
    """Many that go at once, each until it may end."""

    def __init__(self, pacing: Pacing, visits: list[Visit]) -> None:
        self.begun: list[int] = []
        self.may_end = asyncio.Semaphore(0)
        self._pacing = pacing
        self._visits = visits

    async def __aenter__(self) -> "Crowd":
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        for number, asked in enumerate(self._visits):
            self._tasks.create_task(self._go(number, asked))
        await _others_went_on()
        return self

    async def __aexit__(self, *error: object) -> None:
        for _ in self._visits:
            self.may_end.release()
        await self._tasks.__aexit__(None, None, None)

    async def _go(self, number: int, asked: Visit) -> None:
        async with self._pacing.turn(asked):
            self.begun.append(number)
            await self.may_end.acquire()


# At once


async def test_eight_have_their_turn_at_once_and_the_next_when_one_is_done(pacing: Pacing) -> None:
    async with Crowd(pacing, [visit() for _ in range(12)]) as crowd:
        assert crowd.begun == [0, 1, 2, 3, 4, 5, 6, 7]
        crowd.may_end.release()
        await _others_went_on()
        assert crowd.begun == [0, 1, 2, 3, 4, 5, 6, 7, 8]

    assert len(crowd.begun) == 12


async def test_of_those_that_spend_refresh_tokens_four_go_at_once_and_proofs_do_not_count(pacing: Pacing) -> None:
    strict = [visit(is_strict=True, app_id=uuid4()) for _ in range(6)]
    proofs = [visit() for _ in range(8)]

    async with Crowd(pacing, strict + proofs) as crowd:
        assert crowd.begun == [0, 1, 2, 3, *range(6, 14)]


async def test_the_operator_and_the_connector_may_allow_fewer(clock: HeldClock) -> None:
    pacing = Pacing(steady=lambda: clock.now.timestamp(), chance=random.Random(1), limits=Limits(rate=20, at_once=3))

    async with Crowd(pacing, [visit(is_strict=True) for _ in range(5)]) as crowd:
        assert crowd.begun == [0, 1, 2]
    async with Crowd(pacing, [visit(concurrency=2) for _ in range(5)]) as crowd:
        assert crowd.begun == [0, 1]


async def test_one_host_does_not_wait_for_another(pacing: Pacing) -> None:
    async with Crowd(pacing, [visit() for _ in range(20)]), asyncio.timeout(5), pacing.turn(visit("other.example")):
        pass


async def test_a_turn_that_fails_or_is_not_waited_for_any_more_is_given_back(pacing: Pacing) -> None:
    for _ in range(20):
        with pytest.raises(OSError):
            async with pacing.turn(visit()):
                raise OSError
    async with Crowd(pacing, [visit() for _ in range(8)]):
        waiting = [asyncio.ensure_future(ask(pacing)) for _ in range(8)]
        await _others_went_on()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async with asyncio.timeout(5), pacing.turn(visit()):
        pass


async def test_a_turn_that_is_given_to_one_that_goes_away_at_that_moment_goes_to_the_next(pacing: Pacing) -> None:
    async with Crowd(pacing, [visit() for _ in range(7)]):
        async with pacing.turn(visit()):
            called, following = asyncio.ensure_future(ask(pacing)), asyncio.ensure_future(ask(pacing))
            await _others_went_on()

        called.cancel()

        async with asyncio.timeout(5):
            await following
    assert called.cancelled()


async def test_as_many_are_admitted_as_have_their_turn_soon(pacing: Pacing) -> None:
    many = [visit(is_strict=True) for _ in range(20)]

    held = [pacing.admit(each, 1) for each in many]
    assert [each is None for each in held] == [True] * 8 + [False] * 12
    assert not any(each.is_shut for each in held if each is not None)
    assert pacing.has(many[0].connection_id) and not pacing.has(many[8].connection_id)
    pacing.done(many[0].connection_id)
    # Whoever was not admitted gives nothing back.
    pacing.done(many[8].connection_id)

    assert [pacing.admit(visit(is_strict=True), 1) is None for _ in range(2)] == [True, False]


# A second


async def test_a_lane_is_admitted_no_faster_than_its_rate(pacing: Pacing, clock: HeldClock) -> None:
    begun = []
    for _ in range(100):
        clock.move(timedelta(milliseconds=100))
        for each in [visit() for _ in range(20)]:
            if pacing.admit(each, 0) is None:
                begun.append(clock.now)
                pacing.done(each.connection_id)

    assert 200 <= len(begun) <= 220


async def test_another_app_has_a_lane_of_its_own(pacing: Pacing) -> None:
    for each in [visit() for _ in range(20)]:
        assert pacing.admit(each, 1) is None or each
        pacing.done(each.connection_id)

    assert pacing.admit(visit(), 1) is not None
    assert pacing.admit(visit(app_id=UUID(int=2)), 1) is None


async def test_a_connector_may_say_that_its_provider_takes_less(pacing: Pacing) -> None:
    slow = [visit(rate=0.5) for _ in range(5)]

    assert [pacing.admit(each, 1) is None for each in slow] == [True] * 4 + [False]


async def test_a_person_does_not_wait_for_the_rate_and_the_others_do(pacing: Pacing, clock: HeldClock) -> None:
    for _ in range(30):
        await ask(pacing)

    assert pacing.admit(visit(), 0) is not None
    clock.move(timedelta(seconds=1))
    assert pacing.admit(visit(), 0) is None


async def test_who_was_admitted_is_counted_once(pacing: Pacing) -> None:
    many = [visit() for _ in range(10)]
    for each in many:
        assert pacing.admit(each, 0) is None
        await ask(pacing, each)
        pacing.done(each.connection_id)

    assert [pacing.admit(visit(), 0) is None for _ in range(11)] == [True] * 10 + [False]


# Pauses


async def test_while_a_host_wants_a_pause_nothing_is_sent(pacing: Pacing, clock: HeldClock) -> None:
    await ask(pacing, meets=TOO_MANY)
    clock.move(timedelta(seconds=10))

    failure, held = await refusal(pacing), pacing.admit(visit(), 0)

    assert (failure.reason.code, failure.retryable, failure.retry_after) == (StatusReasonCode.RATE_LIMITED, True, timedelta(seconds=20))
    assert held is not None and held.is_shut
    # Of another app it said nothing, nor of another host.
    await ask(pacing, visit(app_id=None))
    await ask(pacing, visit("other.example"))
    clock.move(timedelta(seconds=20))
    await ask(pacing)


async def test_who_waited_for_a_turn_while_the_host_asked_for_a_pause_sends_nothing(pacing: Pacing) -> None:
    async with Crowd(pacing, [visit() for _ in range(7)]):
        met = asyncio.Event()

        async def meet() -> None:
            with pytest.raises(ProviderFailure):
                async with pacing.turn(visit()):
                    await met.wait()
                    raise TOO_MANY

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(meet())
            await _others_went_on()
            waiting = tasks.create_task(refusal(pacing))
            await _others_went_on()
            met.set()

    assert waiting.result().retry_after == timedelta(seconds=30)


async def test_a_server_that_is_busy_and_says_until_when_is_left_alone_until_then(pacing: Pacing) -> None:
    busy = ProviderFailure(reasons.provider_error("Acme", "HTTP 503"), retryable=True, retry_after=timedelta(seconds=90))

    await ask(pacing, meets=busy)

    assert (await refusal(pacing)).retry_after == timedelta(seconds=90)


# Hosts that fail


async def test_a_host_that_fails_is_asked_nothing_and_then_by_one(pacing: Pacing, clock: HeldClock) -> None:
    await fail(pacing)

    failure, held = await refusal(pacing), pacing.admit(visit(app_id=None), 0)
    assert failure.reason == reasons.provider_unreachable("Acme")
    assert failure.retryable and failure.retry_after is not None and failure.retry_after <= timedelta(seconds=10)
    assert held is not None and held.is_shut
    assert pacing.admit(visit("other.example"), 0) is None

    clock.move(timedelta(seconds=10))
    probe, other = visit(), visit()
    assert pacing.admit(probe, 0) is None
    assert pacing.admit(other, 0) is not None
    await refusal(pacing, other)
    await ask(pacing, probe)
    pacing.done(probe.connection_id)
    assert pacing.admit(other, 0) is None


async def test_whoever_is_told_of_a_host_that_fails_is_told_the_same_as_those_that_met_it(pacing: Pacing) -> None:
    for _ in range(5):
        await ask(pacing, meets=ProviderFailure(reasons.provider_error("Acme", "HTTP 502"), retryable=True))

    failure = await refusal(pacing, Visit(uuid4(), "Acme Mail", "acme.example", None))

    assert failure.reason == reasons.provider_error("Acme Mail", "HTTP 502")


async def test_a_probe_that_ends_without_having_asked_leaves_it_to_the_next(pacing: Pacing, clock: HeldClock) -> None:
    await fail(pacing)
    clock.move(timedelta(seconds=10))
    first, second = visit(), visit()

    assert pacing.admit(first, 0) is None
    pacing.done(first.connection_id)

    assert pacing.admit(second, 0) is None
    await fail_probe(pacing, second)
    assert (await refusal(pacing)).reason.code is StatusReasonCode.PROVIDER_UNREACHABLE


async def fail_probe(pacing: Pacing, probe: Visit) -> None:
    await ask(pacing, probe, meets=UNREACHABLE)
    pacing.done(probe.connection_id)


async def test_a_person_may_be_the_one_that_finds_out(pacing: Pacing, clock: HeldClock) -> None:
    await fail(pacing)
    clock.move(timedelta(seconds=10))

    await ask(pacing)

    await ask(pacing)


@pytest.mark.parametrize(
    "failure",
    [
        TOO_MANY,
        ProviderFailure(reasons.reauthentication_required("Acme", "invalid_grant"), retryable=False),
        ProviderFailure(reasons.invalid_client("Acme", "invalid_client"), retryable=False),
        ProviderFailure(reasons.refused("Acme", "odd"), retryable=True),
        ProviderFailure(reasons.unusable_answer("Acme"), retryable=True),
        ProviderFailure(reasons.address_refused("Acme"), retryable=False),
        AppFault(reasons.invalid_client("Acme", "invalid_client")),
    ],
    ids=["429", "grant", "app", "refused", "unusable", "address", "incident"],
)
async def test_what_is_about_one_connection_or_app_is_no_trouble_of_the_host(
    pacing: Pacing, clock: HeldClock, failure: ProviderFailure
) -> None:
    for _ in range(30):
        clock.move(timedelta(seconds=31))
        await ask(pacing, meets=failure)

    await ask(pacing, visit(app_id=UUID(int=2)))


async def test_an_incident_of_an_app_does_not_say_that_its_host_is_back(pacing: Pacing, clock: HeldClock) -> None:
    await fail(pacing)
    clock.move(timedelta(seconds=10))

    await ask(pacing, meets=AppFault(reasons.invalid_client("Acme", "invalid_client")))
    await ask(pacing, meets=UNREACHABLE)

    assert (await refusal(pacing)).reason.code is StatusReasonCode.PROVIDER_UNREACHABLE


async def test_a_host_that_is_back_gets_a_tenth_at_first(pacing: Pacing, clock: HeldClock) -> None:
    await fail(pacing)
    clock.move(timedelta(seconds=10))
    await ask(pacing)
    begun = 0

    for _ in range(100):
        clock.move(timedelta(milliseconds=100))
        for each in [visit() for _ in range(3)]:
            begun += pacing.admit(each, 0) is None
            pacing.done(each.connection_id)

    assert 20 <= begun <= 25


# Those who wait


async def test_who_is_held_comes_again_when_the_host_may_be_asked_and_not_all_together(pacing: Pacing) -> None:
    await ask(pacing, meets=TOO_MANY)
    places = []
    for each in [visit() for _ in range(100)]:
        held = pacing.admit(each, 1)
        assert held is not None
        places.append(pacing.put_off(each, held, 1, at_most=None))

    assert timedelta(seconds=30) <= min(places)
    # A hundred, twenty a second, at half that after a 429.
    assert timedelta(seconds=38) <= max(places) <= timedelta(seconds=41)
    assert len(set(places)) == 100


async def test_who_is_held_comes_at_the_end_of_its_token(pacing: Pacing) -> None:
    held = Held(pacing._now() + 600, is_shut=True)

    assert pacing.put_off(visit(), held, 1, at_most=timedelta(seconds=7)) == timedelta(seconds=7)


async def test_a_queue_counts_while_its_lane_is_open(pacing: Pacing, clock: HeldClock) -> None:
    assert not pacing.has_queue
    for each in [visit() for _ in range(40)]:
        if (held := pacing.admit(each, 1)) is not None:
            pacing.put_off(each, held, 1, at_most=None)

    assert pacing.has_queue
    await ask(pacing, meets=TOO_MANY)
    assert not pacing.has_queue
    clock.move(timedelta(minutes=1))
    assert not pacing.has_queue


async def test_hosts_with_nothing_to_remember_are_forgotten(pacing: Pacing, clock: HeldClock) -> None:
    await ask(pacing, meets=TOO_MANY)
    for number in range(5000):
        each = visit(f"{number}.example")
        pacing.admit(each, 1)
        pacing.done(each.connection_id)
        clock.move(timedelta(milliseconds=1))

    assert len(pacing._hosts) < 4500 and len(pacing._lanes) < 4500
    assert (await refusal(pacing)).retry_after == timedelta(seconds=25)


async def _others_went_on() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
