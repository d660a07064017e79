"""A circuit breaker: a host that fails is asked nothing for a while, then one question, and then more and more.

Times are seconds of a clock that nobody sets.
"""

import random
from collections import deque

_FAILURES_IN_A_ROW = 5
_WINDOW = 60.0
_WINDOW_AT_LEAST = 20
_FIRST_WAIT = 10.0
_LAST_WAIT = 300.0
_SHORTEST_WAIT = 1.0
# How long those who come meanwhile are put off, while one asks for all.
_WHILE_PROBING = 5.0
_RAMP = 600.0
_RAMP_FROM = 0.1


class Breaker:
    """Opens after five failures in a row, or when more than half of at least twenty requests within a minute failed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        # What came of the requests of the last minute: when, and whether the host served it.
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._failing = 0
        self._in_a_row = 0
        self._opened_until: float | None = None
        self._times_opened = 0
        self._is_probing = False
        self._closed_at: float | None = None

    def held_until(self, now: float) -> float | None:
        """Until when nothing may be sent; None where a request may go."""
        if self._opened_until is None:
            return None
        if now < self._opened_until:
            return self._opened_until
        return now + _WHILE_PROBING if self._is_probing else None

    def enter(self) -> bool:
        """A request goes, which may: whether it is the one that probes."""
        self._is_probing = self._opened_until is not None
        return self._is_probing

    def leave(self, now: float, *, probes: bool, served: bool | None) -> None:
        """The request is over. `served`: whether the host did its work; None where that is not known."""
        if probes:
            self._is_probing = False
        # What was under way when it opened says nothing new.
        if served is None or (self._opened_until is not None and not probes):
            return
        if not probes:
            self._count(now, served)
        elif served:
            self._close(now)
        else:
            self._open(now)

    def share(self, now: float) -> float:
        """How much of the usual rate the host gets: a tenth once it is back, and all of it after ten minutes."""
        if self._closed_at is None:
            return 1.0
        passed = (now - self._closed_at) / _RAMP
        if passed < 1:
            return _RAMP_FROM + (1 - _RAMP_FROM) * passed
        self._closed_at = None
        self._times_opened = 0
        return 1.0

    def is_at_rest(self, now: float) -> bool:
        """Whether there is nothing to remember of the host."""
        self._forget(now)
        return self._opened_until is None and self.share(now) == 1.0 and not self._outcomes

    def _count(self, now: float, served: bool) -> None:
        self._forget(now)
        self._outcomes.append((now, served))
        self._failing += not served
        self._in_a_row = 0 if served else self._in_a_row + 1
        mostly_fails = len(self._outcomes) >= _WINDOW_AT_LEAST and 2 * self._failing > len(self._outcomes)
        if not served and (self._in_a_row >= _FAILURES_IN_A_ROW or mostly_fails):
            self._open(now)

    def _forget(self, now: float) -> None:
        while self._outcomes and self._outcomes[0][0] <= now - _WINDOW:
            self._failing -= not self._outcomes.popleft()[1]

    def _open(self, now: float) -> None:
        # It was open within the last ten minutes: then it goes on doubling.
        self.share(now)
        longest = min(_FIRST_WAIT * 2.0 ** min(self._times_opened, 20), _LAST_WAIT)
        self._times_opened += 1
        self._opened_until = now + max(longest * self._chance.random(), _SHORTEST_WAIT)
        self._closed_at = None

    def _close(self, now: float) -> None:
        self._outcomes.clear()
        self._failing = self._in_a_row = 0
        self._opened_until = None
        self._closed_at = now
