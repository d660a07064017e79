"""Time, passed in so that a test can hold it still."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
# Seconds since whenever, which only ever grow, at the pace of time: nobody sets this clock.
Steady = Callable[[], float]


def utc_now() -> datetime:
    return datetime.now(UTC)


# Where there is no such clock, one that stands still while the machine sleeps has to do.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def seconds_since_boot() -> float:
    """For deadlines: the same in all processes of a machine, never set back, and it goes on while the process or the machine sleeps."""
    return time.clock_gettime(_SINCE_BOOT)


def steady_beside(clock: Clock) -> Steady:
    """The steady clock of whoever has this one: of a clock that a test holds, the same."""
    return seconds_since_boot if clock is utc_now else lambda: clock().timestamp()
