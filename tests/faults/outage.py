"""A provider that is away for hours, and what happens when it comes back: simulated, with a hundred thousand connections.

    .venv/bin/python -m tests.faults.outage [--connections 100000] [--rate 20] [--runs 3]

Real are the rows in a SQLite file with the real schema, the statements that claim and postpone, the lanes, the breaker, the admission,
and the schedule. Made up are the time, the provider, which answers at once or not at all, and the saving, which is one statement for
all of a tick, by the same rules, instead of one transaction for each connection with its event.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import models
from api.catalog.catalog import Catalog
from api.catalog.connector import Option
from api.connections import reasons
from api.connections.admission import Admission
from api.connections.clock_watch import ClockWatch
from api.connections.pacing import Limits, Pacing, Visit
from api.connections.provider import Provider
from api.connections.providers import Providers
from api.connections.schedule import FIRST, ORDINARY, next_due, priority_of, retry_at
from api.errors import ProviderFailure
from models import ConnectionStatus
from models.database import migrate, open_database, rows, transaction
from models.leases import Term
from tests.clock import HeldClock
from tests.many import NOW, a_connection, a_folder, add

# With so many for each request a second that the provider takes, all of them take the same time whatever their number.
SECONDS_FOR_ALL = 5000
_LEASE = timedelta(seconds=60)
_PLACES = 64
_BEAT, _QUEUE_BEAT = timedelta(seconds=5), timedelta(seconds=0.25)
_MEMORY = Path("/dev/shm")
_GIVE_UP = timedelta(hours=12)

_CONNECTOR = """
name = "Acme"
vendor = "Acme"
category = "dev"
base_url = "https://api.acme.example"

[verify]
path = "/me"

[consent]
label = "Sign in"
authorize_url = "https://acme.example/authorize"
token_url = "https://acme.example/token"

[consent.refresh]
rotates = true
"""
_SAVE = """
UPDATE connection SET status = saved.column2, expires_at = saved.column3, due_at = saved.column4, priority = saved.column5,
  failures = saved.column6, last_refreshed_at = saved.column7, lease_holder = NULL, lease_until = NULL
FROM (VALUES {rows}) AS saved WHERE id = saved.column1
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    connections: int = 100_000
    # Requests a second.
    rate: float = 20
    away: timedelta = timedelta(hours=4)
    lifetime: timedelta = timedelta(hours=3)
    # Shares of the connections that were used within a day, and not for two months.
    used_lately: float = 0.2
    long_unused: float = 0.2
    seed: int = 1


@dataclass(slots=True)
class Result:
    scenario: Scenario
    asked_to_sign_in: int = 0
    # Requests in each second, and how many of them while the provider was away.
    sent: Counter[int] = field(default_factory=Counter)
    sent_while_away: int = 0
    # Who was renewed after the provider's return, in this order, by priority as it was at the return.
    renewed: list[int] = field(default_factory=list)
    back_at: datetime = NOW
    done_at: datetime | None = None
    moved: int = 0
    seconds: float = 0

    @property
    def peak(self) -> int:
        """The most requests in any ten seconds."""
        return max((sum(self.sent[second + each] for each in range(10)) for second in self.sent), default=0)

    @property
    def cap(self) -> float:
        """What the cap allows in ten seconds: the rate, and as much as may go at one moment."""
        return 10 * self.scenario.rate + max(self.scenario.rate, 4)

    @property
    def times_the_least(self) -> float:
        """How long it took until all were renewed, as a multiple of the least that the cap allows."""
        least = self.scenario.connections / self.scenario.rate
        return float("inf") if self.done_at is None else (self.done_at - self.back_at).total_seconds() / least

    @property
    def share_of_first(self) -> float:
        """How many of the first tenth that were renewed are of those that come first."""
        tenth = self.renewed[: max(len(self.renewed) // 10, 1)]
        return tenth.count(FIRST) / len(tenth) if tenth else 0.0

    def told(self) -> str:
        return (
            f"asked to sign in again {self.asked_to_sign_in}; peak {self.peak} of {self.cap:g} in ten seconds; "
            f"all renewed in {self.times_the_least:.2f} × N/cap; {self.share_of_first:.0%} of the first tenth come first; "
            f"{self.sent_while_away} requests while away; {self.moved} moves; {self.seconds:.0f} s"
        )


@dataclass(slots=True)
class _Row:
    """What an attempt would read of a connection."""

    id: UUID
    failures: int
    obtained_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    created_at: datetime
    renewed_at: datetime | None = None


class Simulation:
    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self._scenario = scenario
        self._result = Result(scenario)
        self._clock = HeldClock()
        self._chance = random.Random(scenario.seed)
        (folder / "connectors").mkdir()
        (folder / "connectors" / "acme.toml").write_text(_CONNECTOR)
        self._catalog = Catalog.load(folder / "connectors")
        self._connector = self._catalog.get("acme")
        self._option: Option = self._connector.options[0]
        self._provider = Provider(self._connector, self._option, {})
        self._pacing = Pacing(steady=self._steady, chance=self._chance, limits=Limits(rate=scenario.rate))
        self._admission = Admission(
            providers=Providers(self._catalog),
            pacing=self._pacing,
            watch=ClockWatch(self._clock, self._steady),
            chance=self._chance,
        )
        self._rows: dict[UUID, _Row] = {}
        self._first: set[UUID] = set()
        self._is_away = False
        self._missing = 0
        # As often as the loop looks, or twice for each request where that is seldom.
        self._queue_beat = min(max(_QUEUE_BEAT, timedelta(seconds=0.5 / scenario.rate)), _BEAT)

    async def run(self) -> Result:
        began = time.monotonic()
        await self._fill()
        self._is_away = True
        await self._tick_until(NOW + self._scenario.away)
        self._is_away = False
        self._result.sent_while_away = sum(self._result.sent.values())
        self._result.sent.clear()
        self._result.back_at, self._missing = self._clock.now, self._scenario.connections
        await self._tick_until(self._clock.now + _GIVE_UP)
        self._result.asked_to_sign_in = await self._broken()
        self._result.seconds = time.monotonic() - began
        return self._result

    def _steady(self) -> float:
        return (self._clock.now - NOW).total_seconds()

    async def _fill(self) -> None:
        """Connections in the middle of their lives, as they are when all is well."""
        folder = await a_folder()
        async with transaction():
            await add(self._connection(folder, number) for number in range(self._scenario.connections))

    def _connection(self, folder: models.Folder, number: int) -> models.Connection:
        scenario, chance = self._scenario, self._chance
        wait = scenario.lifetime * chance.uniform(0.5, 0.8)
        due_at = NOW + wait * chance.random()
        expires_at = due_at - wait + scenario.lifetime
        use = chance.random()
        last_used_at = NOW - timedelta(hours=chance.uniform(0, 12)) if use < scenario.used_lately else None
        created_at = NOW - timedelta(days=60 if use > 1 - scenario.long_unused else 5)
        priority = priority_of(due_at, now=NOW, expires_at=expires_at, last_used_at=last_used_at, created_at=created_at)
        id = UUID(int=number + 1)
        self._rows[id] = _Row(id, 0, NOW, expires_at, last_used_at, created_at)
        if last_used_at is not None:
            self._first.add(id)
        return a_connection(
            folder,
            number,
            due_at=due_at,
            expires_at=expires_at,
            last_used_at=last_used_at,
            created_at=created_at,
            priority=priority,
        )

    async def _tick_until(self, end: datetime) -> None:
        while self._clock.now < end and self._result.done_at is None:
            while await self._tick() == _PLACES:
                pass
            self._clock.move(self._queue_beat if self._pacing.has_queue else _BEAT)

    async def _tick(self) -> int:
        now = self._clock.now
        claimed = await self._admission.claim(Term("simulation", now, now + _LEASE, send_before=0), limit=_PLACES)
        self._result.moved += claimed.count - len(claimed.leases)
        saved = []
        for lease in claimed.leases:
            saved.append(await self._attempt(self._rows[lease.connection_id]))
            self._admission.done(lease)
        await self._save(saved)
        if self._missing == 0 and not self._is_away and self._result.done_at is None and self._result.renewed:
            self._result.done_at = self._clock.now
        return claimed.count

    async def _attempt(self, row: _Row) -> Sequence[object]:
        """As the refresher: a turn, the exchange, and what comes of it."""
        now = self._clock.now
        try:
            async with self._pacing.turn(Visit.exchange(row.id, None, self._provider)):
                self._result.sent[int(self._steady())] += 1
                if self._is_away:
                    raise ProviderFailure(reasons.provider_unreachable("Acme"), retryable=True)
        except ProviderFailure as failure:
            return self._failed(row, failure, now)
        return self._renewed(row, now)

    def _renewed(self, row: _Row, now: datetime) -> Sequence[object]:
        row.failures, row.obtained_at, row.expires_at = 0, now, now + self._scenario.lifetime
        if not self._is_away and self._missing and (row.renewed_at is None or row.renewed_at < self._result.back_at):
            self._missing -= 1
            self._result.renewed.append(FIRST if row.id in self._first else ORDINARY)
        row.renewed_at = now
        due_at = next_due(self._option, renewable=True, obtained_at=now, expires_at=row.expires_at, chance=self._chance)
        return self._columns(row, ConnectionStatus.CONNECTED, due_at)

    def _failed(self, row: _Row, failure: ProviderFailure, now: datetime) -> Sequence[object]:
        row.failures += 1
        lasts = row.expires_at > now
        status = ConnectionStatus.CONNECTED if lasts else ConnectionStatus.DEGRADED
        if not failure.retryable:
            status = ConnectionStatus.ACTION_REQUIRED
        due_at = retry_at(now, row.failures, self._chance, retry_after=failure.retry_after)
        return self._columns(row, status, min(due_at, row.expires_at) if lasts else due_at)

    def _columns(self, row: _Row, status: ConnectionStatus, due_at: datetime) -> Sequence[object]:
        priority = priority_of(
            due_at, now=self._clock.now, expires_at=row.expires_at, last_used_at=row.last_used_at, created_at=row.created_at
        )
        return (row.id, status, row.expires_at, due_at, priority, row.failures, row.renewed_at)

    async def _save(self, saved: Sequence[Sequence[object]]) -> None:
        if not saved:
            return
        width = len(saved[0])
        places = ", ".join("(" + ", ".join(f"${width * n + m + 1}" for m in range(width)) + ")" for n in range(len(saved)))
        await rows(_SAVE.format(rows=places), [value for columns in saved for value in columns])

    async def _broken(self) -> int:
        """Whoever a person is asked about, or nobody looks after any more."""
        found = await rows(
            "SELECT count(*) AS count FROM connection WHERE status = $1 OR due_at IS NULL", [ConnectionStatus.ACTION_REQUIRED]
        )
        return int(found[0]["count"])


async def simulate(scenario: Scenario, url: str, folder: Path) -> Result:
    """On a migrated, empty database; the folder gets the provider's description."""
    async with open_database(url):
        return await Simulation(scenario, folder).run()


async def _simulate_anew(scenario: Scenario, folder: Path) -> Result:
    url = f"sqlite://{folder / 'outage.db'}"
    await migrate(url)
    return await simulate(scenario, url, folder)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.outage", description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--rate", type=float, help="requests a second that the cap allows; else so many that all take the same time")
    parser.add_argument("--hours", type=float, default=4)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    rate = given.rate or given.connections / SECONDS_FOR_ALL
    worst = 0.0
    for seed in range(1, given.runs + 1):
        # In memory, where there is such a place: how long a disk takes is not what is measured.
        with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
            scenario = Scenario(given.connections, rate, timedelta(hours=given.hours), seed=seed)
            result = asyncio.run(_simulate_anew(scenario, Path(folder)))
        print(f"run {seed}: {result.told()}", flush=True)
        worst = max(worst, result.times_the_least if not result.asked_to_sign_in and result.peak <= result.cap else float("inf"))
    return 0 if worst <= 1.2 else 1


if __name__ == "__main__":
    raise SystemExit(main())
