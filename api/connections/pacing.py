"""What providers get from this process: not too much a second, not too many at once, and nothing while they cannot or will not.

A lane is all that one OAuth app has to do with one host; its rate falls after a 429. What holds for all lanes of a host is its circuit
breaker and how many requests it gets at once: fewer where they spend refresh tokens, because each of those that is under way when this
machine dies may be the end of a connection.
"""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self
from uuid import UUID

from api.clock import Steady
from api.connections import reasons
from api.connections.breaker import Breaker
from api.connections.incidents import AppFault
from api.connections.lanes import Lane
from api.connections.provider import Provider
from api.errors import ProviderFailure
from models import Fixer, StatusReason, StatusReasonCode

STRICT_AT_ONCE = 4
# Beyond so many, those that have nothing to remember are forgotten.
_KEPT = 4096
_TROUBLE = {StatusReasonCode.PROVIDER_UNREACHABLE, StatusReasonCode.PROVIDER_ERROR}


@dataclass(frozen=True, slots=True)
class Visit:
    """What is to be sent for a connection, as far as it matters how much of it is sent."""

    connection_id: UUID
    provider: str
    host: str
    app_id: UUID | None
    # Whether it spends a refresh token for good.
    is_strict: bool = False
    # What the connector says instead of the usual: requests a second, and at once.
    rate: float | None = None
    concurrency: int | None = None

    @classmethod
    def exchange(cls, connection_id: UUID, app_id: UUID | None, provider: Provider) -> Self:
        """New tokens."""
        refresh, is_strict = provider.grant.refresh, provider.option.is_strict
        return cls(connection_id, provider.name, provider.host, app_id, is_strict, refresh.rate, refresh.concurrency)

    @classmethod
    def proof(cls, connection_id: UUID, app_id: UUID | None, provider: Provider) -> Self:
        return cls(connection_id, provider.name, provider.proof_host, app_id)


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests a second of each lane, and at once to each host."""

    rate: float = 20
    at_once: int = 8

    def at_once_of(self, visit: Visit) -> int:
        usual = min(self.at_once, STRICT_AT_ONCE) if visit.is_strict else self.at_once
        return usual if visit.concurrency is None else min(usual, visit.concurrency)


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing can be sent before then."""

    opens_at: float
    # The host is away or wants a pause; else it is just that many others come first.
    is_shut: bool


class Pacing:
    def __init__(self, *, steady: Steady, chance: random.Random, limits: Limits | None = None) -> None:
        self._now = steady
        self._chance = chance
        self._limits = limits or Limits()
        self._hosts: dict[str, _Host] = {}
        self._lanes: dict[tuple[UUID | None, str], Lane] = {}
        self._admitted: dict[UUID, _Admitted] = {}

    def admit(self, visit: Visit, priority: int) -> Held | None:
        """Let one begin that is due, if it can be sent soon; it has its place until it is `done`. Else say what holds it."""
        now, host = self._now(), self._host(visit.host)
        lane, share = self._lane(visit), host.breaker.share(now)
        shut_until = host.held_until(lane, now)
        if shut_until is not None:
            return Held(shut_until, is_shut=True)
        crowd = host.crowds[visit.is_strict]
        # As many may wait as have their turn: so nobody waits for longer than one exchange may take.
        if crowd.admitted >= 2 * self._limits.at_once_of(visit) or not lane.take(now, share, comes_first=priority == 0):
            return Held(now, is_shut=False)
        crowd.admitted += 1
        self._admitted[visit.connection_id] = _Admitted(host, crowd, probes=host.breaker.enter())
        return None

    def put_off(self, visit: Visit, held: Held, priority: int, *, at_most: timedelta | None) -> timedelta:
        """For how long one that is held goes out of the way."""
        now, latest = self._now(), None if at_most is None else self._now() + at_most.total_seconds()
        place = self._lane(visit).next_place(held.opens_at, priority, self._chance, no_later_than=latest)
        return timedelta(seconds=max(place - now, 0))

    def has(self, connection_id: UUID) -> bool:
        """Whether it was admitted and is not done."""
        return connection_id in self._admitted

    def done(self, connection_id: UUID) -> None:
        """Give back the place of one that was admitted, if it was."""
        admitted = self._admitted.pop(connection_id, None)
        if admitted is None:
            return
        admitted.crowd.admitted -= 1
        if admitted.probes:
            admitted.host.breaker.leave(self._now(), probes=True, served=None)

    @asynccontextmanager
    async def turn(self, visit: Visit) -> AsyncIterator[None]:
        """Wait for a place among those that the host gets at once, and learn from what the block meets there.

        One that was not admitted, because a person asks, does not wait for the rate; the others wait longer for that.
        Raises ProviderFailure, with nothing sent, while nothing may be.
        """
        host, lane = self._host(visit.host), self._lane(visit)
        async with host.crowds[visit.is_strict].place(self._limits.at_once_of(visit)):
            probes, served = self._enter(visit, host, lane), None
            try:
                yield
                served = True
            except ProviderFailure as failure:
                served = _served(failure)
                host.trouble = failure.reason if served is False else host.trouble
                self._heed(failure, lane)
                raise
            finally:
                host.breaker.leave(self._now(), probes=probes, served=served)

    @property
    def has_queue(self) -> bool:
        """Whether some wait for a lane that is not shut."""
        now = self._now()
        return any(lane.has_queue(now) and self._host(host).held_until(lane, now) is None for (_, host), lane in self._lanes.items())

    def _enter(self, visit: Visit, host: "_Host", lane: Lane) -> bool:
        now, admitted = self._now(), self._admitted.get(visit.connection_id)
        if (until := lane.held_until(now)) is not None:
            raise ProviderFailure(reasons.rate_limited(visit.provider), retryable=True, retry_after=timedelta(seconds=until - now))
        if admitted is not None and admitted.probes and admitted.host is host:
            admitted.probes = False
            return True
        if (until := host.breaker.held_until(now)) is not None:
            raise ProviderFailure(host.trouble_of(visit.provider), retryable=True, retry_after=timedelta(seconds=until - now))
        if admitted is None:
            lane.owe(now, host.breaker.share(now))
        return host.breaker.enter()

    def _heed(self, failure: ProviderFailure, lane: Lane) -> None:
        """Do as the provider asks."""
        now, seconds = self._now(), 0.0 if failure.retry_after is None else failure.retry_after.total_seconds()
        if failure.reason.code is StatusReasonCode.RATE_LIMITED:
            lane.slow_down(now, seconds)
        elif failure.retryable and failure.retry_after is not None:
            lane.pause(now, seconds)

    def _host(self, name: str) -> "_Host":
        if name not in self._hosts:
            self._forget_idle()
            self._hosts[name] = _Host(Breaker(self._chance))
        return self._hosts[name]

    def _lane(self, visit: Visit) -> Lane:
        key = (visit.app_id, visit.host)
        if key not in self._lanes:
            rate = self._limits.rate if visit.rate is None else min(visit.rate, self._limits.rate)
            self._lanes[key] = Lane(rate, self._now())
        return self._lanes[key]

    def _forget_idle(self) -> None:
        if len(self._hosts) < _KEPT:
            return
        now = self._now()
        self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.is_at_rest(now)}
        names = {host for _, host in self._lanes}
        self._hosts = {name: host for name, host in self._hosts.items() if name in names or not host.is_at_rest(now)}


class _Crowd:
    """Those that go to one host, as far as they count together."""

    def __init__(self) -> None:
        self.admitted = 0
        self._under_way = 0
        # By how many their hosts get at once: those who wait, the longest waiting first.
        self._waiting: defaultdict[int, deque[asyncio.Future[None]]] = defaultdict(deque)

    @property
    def is_empty(self) -> bool:
        return self.admitted == self._under_way == 0

    @asynccontextmanager
    async def place(self, at_once: int) -> AsyncIterator[None]:
        if self._under_way < at_once:
            self._under_way += 1
        else:
            await self._called(at_once)
        try:
            yield
        finally:
            self._leave()

    async def _called(self, at_once: int) -> None:
        """Wait for a place, and have it."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[at_once].append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if not waiting.cancelled():
                # It was called just now: another goes in its place.
                self._leave()
            raise

    def _leave(self) -> None:
        self._under_way -= 1
        for at_once, line in self._waiting.items():
            while line and self._under_way < at_once:
                waiting = line.popleft()
                if not waiting.done():
                    self._under_way += 1
                    waiting.set_result(None)


@dataclass(slots=True)
class _Host:
    breaker: Breaker
    # Those that spend refresh tokens, and all others.
    crowds: dict[bool, _Crowd] = field(default_factory=lambda: {True: _Crowd(), False: _Crowd()})
    # Of its own, the last that was met.
    trouble: StatusReason | None = None

    def trouble_of(self, provider: str) -> StatusReason:
        """The reason for which it is not asked, the same as of those that met it: so nothing changes for whoever is told of both."""
        if self.trouble is None or self.trouble.code is StatusReasonCode.PROVIDER_UNREACHABLE:
            return reasons.provider_unreachable(provider)
        return reasons.provider_error(provider, self.trouble.provider_error)

    def held_until(self, lane: Lane, now: float) -> float | None:
        held = [until for until in (lane.held_until(now), self.breaker.held_until(now)) if until is not None]
        return max(held, default=None)

    def is_at_rest(self, now: float) -> bool:
        return self.breaker.is_at_rest(now) and all(crowd.is_empty for crowd in self.crowds.values())


@dataclass(slots=True)
class _Admitted:
    host: _Host
    crowd: _Crowd
    probes: bool


def _served(failure: ProviderFailure) -> bool | None:
    """Whether the host did its work, whatever it said; None where it may not have been asked, or where the answer tells nothing."""
    if isinstance(failure, AppFault):
        return None
    if failure.reason.code not in _TROUBLE:
        return True
    # Where somebody can mend it, it is the address, or an answer of a kind that no host gives to everybody.
    return False if failure.reason.fixable_by is Fixer.NOBODY else None
