"""A lane: the requests of one OAuth app to one host, so many a second.

A bucket fills at the lane's rate, and each request takes one out of it. Of what flows in, an eighth is kept for those that come second,
as long as they want it: so those that come first do not hold them up for ever. The rest is theirs, also while they are on their way in
their queue. Whoever finds nothing left is put off to a place in the
queue: the places are as far apart as the requests may be, so that what waits comes due just as fast as it can be sent, and asks for a
place again no more often than that.

Times are seconds of a clock that nobody sets.
"""

import random
from collections import defaultdict

_BURST_SECONDS = 1.0
# Fewer would be lost of a low rate whenever nobody is there at the moment.
_BURST_AT_LEAST = 4.0
_FOR_THE_SECOND = 1 / 8
_LOWEST = 1 / 16
# From nothing to the whole rate.
_RECOVERY = 600.0
# Nobody's place is further away: what waits there looks again whether it is still so far.
_QUEUE_AT_MOST = 1800.0
_SHORTEST_PAUSE = 1.0
_LONGEST_PAUSE = 3600.0


class Lane:
    """`rate` is in requests a second."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._burst = max(_BURST_AT_LEAST, rate * _BURST_SECONDS)
        self._left = self._burst
        self._left_for_second = 0.0
        self._filled_at = now
        self._factor = 1.0
        self._lowered_at = now
        self._paused_until = now
        # The end of each queue: one for each priority.
        self._last_place: defaultdict[int, float] = defaultdict(lambda: now)

    def held_until(self, now: float) -> float | None:
        """Until when the provider asked for a pause; None where it did not, or that is over."""
        return self._paused_until if now < self._paused_until else None

    def take(self, now: float, share: float, *, comes_first: bool) -> bool:
        """One request, if there is one left; `share` of the usual rate."""
        self._fill(now, share)
        # Of what would run over, nobody is deprived.
        if self._left >= 1 and (comes_first or self._last_place[0] <= now or self._left >= self._most(share)):
            self._left -= 1
            return True
        if not comes_first and self._left_for_second >= 1:
            self._left_for_second -= 1
            return True
        return False

    def owe(self, now: float, share: float) -> None:
        """One request for somebody who waits for it: the others wait longer for that."""
        self._fill(now, share)
        self._left = max(self._left - 1, -self._burst)

    def slow_down(self, now: float, pause: float) -> None:
        """The provider asks for fewer requests: none during the pause, and half as many from then on, by and by more again."""
        # Several that were under way are told the same: that is one wish.
        if now >= self._paused_until:
            self._factor = max(self._factor_at(now) / 2, _LOWEST)
            self._lowered_at = now
            self._left = min(self._left, 1.0)
            self._left_for_second = 0.0
        self.pause(now, pause)

    def pause(self, now: float, seconds: float) -> None:
        """Nothing goes for so long, between a second and an hour, or for as long as was asked for earlier."""
        self._paused_until = max(self._paused_until, now + min(max(seconds, _SHORTEST_PAUSE), _LONGEST_PAUSE))

    def next_place(self, opens_at: float, priority: int, chance: random.Random, *, no_later_than: float | None = None) -> float:
        """When one that cannot be sent now is to try again: at the end of its queue, or in the last half of one that is too long."""
        gap = 1 / (self._rate * self._factor_at(opens_at))
        last = max(self._last_place[priority], opens_at) + gap
        if no_later_than is not None and no_later_than < last:
            return no_later_than
        if last > opens_at + _QUEUE_AT_MOST:
            return opens_at + _QUEUE_AT_MOST * chance.uniform(0.5, 1)
        self._last_place[priority] = last
        return last - gap * chance.random()

    def has_queue(self, now: float) -> bool:
        """Whether any that were put off come due still."""
        return any(place > now for place in self._last_place.values())

    def is_at_rest(self, now: float) -> bool:
        """Whether there is nothing to remember of the lane."""
        self._fill(now, 1)
        return self._left >= self._burst and self._factor_at(now) == 1 and self.held_until(now) is None and not self.has_queue(now)

    def _factor_at(self, now: float) -> float:
        return min(1.0, self._factor + (now - self._lowered_at) / _RECOVERY)

    def _fill(self, now: float, share: float) -> None:
        flow = (now - self._filled_at) * self._rate * self._factor_at(now) * share
        self._filled_at = now
        most = self._most(share)
        second = min(self._left_for_second + flow * _FOR_THE_SECOND, max(1.0, most * _FOR_THE_SECOND))
        flow -= second - self._left_for_second
        self._left_for_second = second
        self._left = min(self._left + flow, most)

    def _most(self, share: float) -> float:
        """How many may go at one moment."""
        return max(_BURST_AT_LEAST, self._burst * share)
