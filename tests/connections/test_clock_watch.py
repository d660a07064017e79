"""A clock that is set, while time goes on."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from api.connections.clock_watch import ClockWatch
from tests.clock import HeldClock

JUMPS = {
    "an hour on": timedelta(hours=1),
    "an hour back": timedelta(hours=-1),
    "ten years on": timedelta(days=3650),
    "ten years back": timedelta(days=-3650),
    "back to 1970": datetime(1970, 1, 1, tzinfo=UTC) - HeldClock().now,
}


class Time:
    """A clock, and the time that passes whatever it says."""

    def __init__(self) -> None:
        self.clock = HeldClock()
        self.passed = 0.0

    def steady(self) -> float:
        return self.passed

    def move(self, seconds: float) -> None:
        self.clock.move(timedelta(seconds=seconds))
        self.passed += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def watch(time: Time) -> ClockWatch:
    return ClockWatch(time.clock, time.steady)


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
def test_a_jump_is_noted_once_and_doubted_for_ten_minutes(
    time: Time, watch: ClockWatch, caplog: pytest.LogCaptureFixture, jump: timedelta
) -> None:
    assert watch.look() is None
    time.move(5)
    time.clock.move(jump)

    assert watch.look() == jump
    time.move(599)
    assert watch.look() is None
    assert watch.is_in_doubt
    time.move(1)

    assert not watch.is_in_doubt
    (noted,) = caplog.records
    assert (noted.levelno, noted.message, noted.__dict__["seconds"]) == (logging.WARNING, "clock jumped", jump.total_seconds())


def test_a_clock_that_goes_as_time_does_is_believed(time: Time, watch: ClockWatch, caplog: pytest.LogCaptureFixture) -> None:
    for seconds in (0.25, 5, 3600, 7 * 86_400):
        time.move(seconds)
        # As it is set by a minute at most, now and then.
        time.clock.move(timedelta(seconds=60))
        assert watch.look() is None

    assert not watch.is_in_doubt
    assert not caplog.records
