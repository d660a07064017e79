"""How often, and how many at once: counted in the memory of one process.

Each process counts for itself. A count that all of them share would cost a write for every request, and a flood would then bring down
the database instead of the process that it reaches. So of several processes behind a balancer somebody gets as many times as much.
"""

from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

from api.clock import Steady

_KEPT = 10_000
_SECONDS_IN_ONE_GO = 10


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second in the long run, and so many in one go after a pause."""

    per_second: float
    in_one_go: float


class Bucket:
    """A token bucket, full at first."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = rate.in_one_go
        self._filled_at = now

    def take(self, now: float) -> float:
        """Take one: 0. Where there is none, in how many seconds there will be."""
        self._left = min(self._rate.in_one_go, self._left + (now - self._filled_at) * self._rate.per_second)
        self._filled_at = now
        if self._left < 1:
            return (1 - self._left) / self._rate.per_second
        self._left -= 1
        return 0


class Buckets:
    """A bucket for each key. Beyond `kept`, the one that was not used for longest is forgotten, and so is full again."""

    def __init__(self, rate: Rate, steady: Steady, *, kept: int = _KEPT) -> None:
        self._rate = rate
        self._now = steady
        self._kept = kept
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Hashable) -> float:
        """As `Bucket.take`."""
        now = self._now()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._kept:
            self._buckets.popitem(last=False)
        return bucket.take(now)


class Seats:
    """So many at once for each key."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    def take(self, key: Hashable) -> bool:
        if self._taken[key] >= self.most:
            return False
        self._taken[key] += 1
        return True

    def leave(self, key: Hashable) -> None:
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]


class Seat:
    """At most one seat at a time, given back at the end of the block."""

    def __init__(self) -> None:
        self._held: tuple[Seats, Hashable] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def take(self, among: Seats, key: Hashable) -> bool:
        """Take a seat, and give back the one before; where there is none, keep that one."""
        if not among.take(key):
            return False
        self.leave()
        self._held = (among, key)
        return True

    def leave(self) -> None:
        """Give back the seat, where there is one."""
        if self._held is not None:
            seats, key = self._held
            seats.leave(key)
            self._held = None


def calls_of_users(per_second: float, steady: Steady) -> Buckets:
    """What each user may ask for, by whichever door: so much a second in the long run, and ten seconds' worth in one go."""
    return Buckets(Rate(per_second, per_second * _SECONDS_IN_ONE_GO), steady)
