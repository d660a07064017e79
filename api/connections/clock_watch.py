"""Whether the clock can be believed: it was set, or the machine slept, when it moves otherwise than time does.

A clock that jumps must not end what has not ended. So for some minutes after a jump nothing is judged, ended or forgotten by the clock
alone. What is due by it is renewed all the same, which does no harm: no faster than providers take it.
"""

import logging
from datetime import datetime, timedelta

from api.clock import Clock, Steady

logger = logging.getLogger(__name__)

_JUMP = timedelta(seconds=60)
_DOUBT_SECONDS = 600.0


class ClockWatch:
    def __init__(self, clock: Clock, steady: Steady) -> None:
        self._clock = clock
        self.steady = steady
        self._seen: tuple[datetime, float] | None = None
        self._jumped_at: float | None = None

    def look(self) -> timedelta | None:
        """By how much the clock has jumped since the last look, forward or back; None where it did not by more than a minute."""
        now, steady = self._clock(), self.steady()
        seen, self._seen = self._seen, (now, steady)
        if seen is None:
            return None
        jump = now - seen[0] - timedelta(seconds=steady - seen[1])
        if abs(jump) <= _JUMP:
            return None
        self._jumped_at = steady
        logger.warning("clock jumped", extra={"seconds": round(jump.total_seconds())})
        return jump

    @property
    def is_in_doubt(self) -> bool:
        """Whether the clock has jumped within the last ten minutes."""
        return self._jumped_at is not None and self.steady() - self._jumped_at < _DOUBT_SECONDS
