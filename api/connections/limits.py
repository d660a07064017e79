"""How often a connection may be called through Patchbay, and how many times at once: counted by each process for itself."""

from datetime import timedelta
from math import ceil
from typing import Self
from uuid import UUID

from api.clock import Steady
from api.errors import PatchbayError
from api.throttling import Buckets, Rate, Seats

_SECONDS_IN_ONE_GO = 10
_A_MOMENT = 1


class Throttled(Exception):
    """What stops a call before anything is done. `seconds`: until another may come."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class TooManyCalls(PatchbayError):
    def __init__(self, throttled: Throttled) -> None:
        super().__init__(str(throttled), f"Try again in {throttled.seconds} s.")
        self.retry_after = timedelta(seconds=throttled.seconds)


class CallLimits:
    """`per_second`: in the long run; ten seconds' worth in one go."""

    def __init__(self, per_second: float, at_once: int, steady: Steady) -> None:
        self.calls = Buckets(Rate(per_second, per_second * _SECONDS_IN_ONE_GO), steady)
        self.seats = Seats(at_once)

    def visit(self, connection_id: UUID) -> "Visit":
        return Visit(self, connection_id)


class Visit:
    """One call. What it takes is given back at the end of the block."""

    def __init__(self, limits: CallLimits, connection_id: UUID) -> None:
        self._limits = limits
        self._connection_id = connection_id
        self._is_in = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_in:
            self._limits.seats.leave(self._connection_id)
            self._is_in = False

    def enter(self) -> None:
        """Once for a call, however often it is asked for. Raises Throttled."""
        if self._is_in:
            return
        seconds = ceil(self._limits.calls.take(self._connection_id))
        if seconds:
            raise Throttled("This connection is called more often than it may be.", seconds)
        if not self._limits.seats.take(self._connection_id):
            most = self._limits.seats.most
            raise Throttled(f"{most} calls of this connection are under way, which is as many as may be at once.", _A_MOMENT)
        self._is_in = True
