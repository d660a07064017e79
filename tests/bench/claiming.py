"""Claims of what is due, as the number of connections grows: within a backlog, beside other claimers, and where nothing is due."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from models.database import open_database, rows
from models.leases import Term, claim_due
from tests.bench.claimer import LATE_LIMIT, LIMIT, claim
from tests.bench.filling import grow
from tests.bench.ground import Ground, on_each
from tests.bench.rows import Options, Spread

_CLAIMERS = 4
# What is not claimed alone is left for those who claim at once.
_ALONE_SHARE = 0.4
_ALONE_AT_MOST = 100
_AT_ONCE_AT_MOST = 20
_IDLE_POLLS = 200
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Claims:
    """How long claims took, in milliseconds, and by processor: of this process, and of the server where there is one."""

    heading: ClassVar[str] = ""

    work: str
    database: str
    connections: int
    # One after the other, until much of the backlog is claimed.
    claims: int
    first: float
    alone: Spread
    last: Spread
    processor: Spread
    idle: Spread
    idle_processor: Spread
    # By several processes at once.
    claimers: int
    at_once: Spread
    rows_per_second: float
    claimed_twice: int

    def __str__(self) -> str:
        return (
            f"{self.work:10}  {self.database:10}  {self.connections:9}  claim of {LIMIT}: first {self.first:.1f} ms, "
            f"all {self.claims} {self.alone.told(1)}, last {self.last.told(1)}, processor {self.processor.told(1)}; "
            f"idle {self.idle.told(2)}, processor {self.idle_processor.told(2)}; "
            f"{self.claimers} at once {self.at_once.told(1)}, {self.rows_per_second:.0f} rows/s, {self.claimed_twice} twice"
        )


async def measure_all_claims(options: Options) -> AsyncIterator[Claims]:
    """`measure_claims` on each of these databases."""
    async for ground in on_each(options.kinds):
        async for claims in measure_claims(ground, options.counts):
            yield claims


async def measure_claims(ground: Ground, counts: Sequence[int]) -> AsyncIterator[Claims]:
    """The same database with more and more connections, all of which are due at first."""
    url = ground.environment["PATCHBAY_DATABASE_URL"]
    for count in counts:
        await grow(url, to=count)
        yield await _claims(ground, url, count)
        await _give_all_back(url)


async def _claims(ground: Ground, url: str, count: int) -> Claims:
    claims = max(2, min(_ALONE_AT_MOST, int(count * _ALONE_SHARE / LIMIT)))
    async with open_database(url):
        meter = await Meter.of(ground)
        # What is made at first use, and the plans that the database makes of a statement.
        await _poll()
        alone = [await meter.measured(_claim_alone) for _ in range(claims)]
        idle = [await meter.measured(_poll) for _ in range(_IDLE_POLLS)]
    at_once, twice, seconds = await _claimed_at_once(url, max(1, min(_AT_ONCE_AT_MOST, int(count * _ALONE_SHARE / LIMIT / _CLAIMERS))))
    milliseconds, processor = zip(*alone, strict=True)
    idle_milliseconds, idle_processor = zip(*idle, strict=True)
    return Claims(
        work="claims",
        database=ground.kind,
        connections=count,
        claims=claims,
        first=milliseconds[0],
        alone=Spread.of(milliseconds),
        last=Spread.of(milliseconds[-5:]),
        processor=Spread.of(processor),
        idle=Spread.of(idle_milliseconds),
        idle_processor=Spread.of(idle_processor),
        claimers=_CLAIMERS,
        at_once=Spread.of([each["milliseconds"] for each in at_once]),
        rows_per_second=sum(len(each["ids"]) for each in at_once) / seconds,
        claimed_twice=twice,
    )


async def _claim_alone() -> None:
    if not await claim("alone"):
        raise ValueError("nothing was due any more, so that no claim was measured")


async def _poll() -> None:
    await claim_due(Term("alone", _LONG_AGO, _LONG_AGO, 0), limit=LIMIT, late=_LONG_AGO, late_limit=LATE_LIMIT)


async def _claimed_at_once(url: str, claims: int) -> tuple[list[dict[str, Any]], int, float]:
    """What each claim of all claimers got, how many connections were got twice, and in how many seconds."""
    command = [sys.executable, "-m", "tests.bench.claimer", url]
    processes = [
        await asyncio.create_subprocess_exec(*command, str(number), str(claims), stdin=PIPE, stdout=PIPE, limit=2**20)
        for number in range(_CLAIMERS)
    ]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()
    began = time.perf_counter()
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    seconds = time.perf_counter() - began
    claimed = [json.loads(line) for output, _ in outputs for line in output.splitlines()]
    if len(claimed) != _CLAIMERS * claims:
        raise RuntimeError("a claimer did not come to its end; what it said is above")
    ids = [id for each in claimed for id in each["ids"]]
    return claimed, len(ids) - len(set(ids)), seconds


async def _give_all_back(url: str) -> None:
    async with open_database(url):
        await rows("UPDATE connection SET lease_holder = NULL, lease_until = NULL WHERE lease_until IS NOT NULL")


@dataclass(frozen=True, slots=True)
class Meter:
    """Milliseconds by the clock, and by the processor: of this process, and of the one session of a server that it uses."""

    session: Path | None

    @classmethod
    async def of(cls, ground: Ground) -> "Meter":
        if ground.kind == "sqlite":
            return cls(None)
        return cls(Path(f"/proc/{(await rows('SELECT pg_backend_pid() AS id'))[0]['id']}/schedstat"))

    async def measured(self, act: Callable[[], Awaitable[None]]) -> tuple[float, float]:
        processor, began = self._processor(), time.perf_counter()
        await act()
        return 1000 * (time.perf_counter() - began), self._processor() - processor

    def _processor(self) -> float:
        session = 0 if self.session is None else int(self.session.read_text().split()[0])
        return 1000 * time.process_time() + session / 1e6
