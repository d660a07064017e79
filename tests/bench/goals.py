"""How fast Patchbay means to be, and whether a run found it so. All goals stand here.

A goal is looked for in the rows of a run, as they are in JSON: the one with all these values, and the figure in it. The median counts.
What is promised is what a clock shows; the same by processor time tells how much the rest of the machine has to do with it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from tests.bench.rows import Row

_RATE, _P99 = "patchbay_by_rate", "patchbay_by_p99"
_BY_PROCESSOR = {_RATE: "patchbay_by_processor", "seconds": "processor_seconds"}


@dataclass(frozen=True, slots=True)
class Goal:
    told: str
    row: Mapping[str, Any]
    figure: str
    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, measured: float) -> bool:
        return (self.at_least is None or measured >= self.at_least) and (self.at_most is None or measured <= self.at_most)

    def find(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        return next((row for row in rows if row.items() >= self.row.items()), None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run says of a goal."""

    heading: ClassVar[str] = f"\n{'goal':60}  {'':>15}  {'measured':>8}  {'by processor':>12}"

    work: str
    goal: str
    at_least: float | None
    at_most: float | None
    # None: this run did not measure it.
    measured: float | None
    is_met: bool | None
    measured_by_processor: float | None

    def __str__(self) -> str:
        limit = f"at most {self.at_most:g}" if self.at_least is None else f"at least {self.at_least:g}"
        figures = ["" if each is None else f"{each:.2f}" for each in (self.measured, self.measured_by_processor)]
        verdict = {None: "not measured", True: "met", False: "NOT MET"}[self.is_met]
        return f"{self.goal:60}  {limit:>15}  {figures[0]:>8}  {figures[1]:>12}  {verdict}"


def outcomes(rows: Sequence[Row], works: Collection[str]) -> Iterator[Outcome]:
    """All goals of these works."""
    found = [asdict(row) for row in rows]
    return (_outcome(goal, goal.find(found)) for goal in GOALS if goal.row["work"] in works)


def _outcome(goal: Goal, row: Mapping[str, Any] | None) -> Outcome:
    if row is None:
        return Outcome(goal.row["work"], goal.told, goal.at_least, goal.at_most, None, None, None)
    measured = _median(row[goal.figure])
    by_processor = _median(row[_BY_PROCESSOR[goal.figure]]) if goal.figure in _BY_PROCESSOR else None
    return Outcome(goal.row["work"], goal.told, goal.at_least, goal.at_most, measured, goal.is_met(measured), by_processor)


def _median(figure: Any) -> float:
    return float(figure["median"] if isinstance(figure, dict) else figure)


def _answers(work: str, database: str, clients: int, side: str) -> dict[str, Any]:
    return {"work": work, "database": database, "clients": clients, "side": side}


def _half_of_the_ceiling(told: str, work: str) -> Iterator[Goal]:
    for database, name in (("postgresql", "PostgreSQL"), ("sqlite", "SQLite")):
        yield Goal(f"{told}, {name}: of the ceiling", _answers(work, database, 16, "ceiling"), _RATE, at_least=0.5)


def _watched(subscribers: int, side: str) -> dict[str, Any]:
    return {"work": "fanout", "database": "postgresql", "subscribers": subscribers, "side": side}


def _of_an_event(subscribers: int) -> Iterator[Goal]:
    told = f"an event to {subscribers:,}"
    yield Goal(f"{told}: of a raw broadcast", _watched(subscribers, "broadcast"), _RATE, at_least=0.75)
    yield Goal(f"{told}: times stock Strawberry", _watched(subscribers, "strawberry"), _RATE, at_least=15)
    yield Goal(f"{told}: times graphql-ws on Node", _watched(subscribers, "graphql-ws"), _RATE, at_least=2.5)
    yield Goal(f"{told}: kilobytes a subscriber", _watched(subscribers, "patchbay"), "kilobytes_a_subscriber", at_most=35)


def _refreshed(provider: str, side: str) -> dict[str, Any]:
    return {"work": "refresh", "database": "postgresql", "provider": provider, "side": side}


_START = {"work": "start", "side": "patchbay"}
_CLAIMED = {"work": "claims", "database": "postgresql", "connections": 1_000_000}

GOALS = (
    Goal("list of 50, PostgreSQL: of the ceiling", _answers("list", "postgresql", 16, "ceiling"), _RATE, at_least=0.7),
    Goal("list of 50, SQLite: of the ceiling", _answers("list", "sqlite", 16, "ceiling"), _RATE, at_least=0.6),
    Goal("list, PostgreSQL: p99, times the ceiling's", _answers("list", "postgresql", 16, "ceiling"), _P99, at_most=1.5),
    Goal("list, 16 clients: times PostGraphile", _answers("list", "postgresql", 16, "postgraphile"), _RATE, at_least=2),
    Goal("list, 64 clients: times PostGraphile", _answers("list", "postgresql", 64, "postgraphile"), _RATE, at_least=2.7),
    Goal("list, 64 clients: times Mercurius with graphql-jit", _answers("list", "postgresql", 64, "mercurius"), _RATE, at_least=1),
    Goal("list, PostgreSQL: times tuned Strawberry", _answers("list", "postgresql", 16, "tuned"), _RATE, at_least=7),
    *_half_of_the_ceiling("one connection by its id", "connection"),
    *_half_of_the_ceiling("a credential issued", "issue"),
    *_half_of_the_ceiling("a connection renamed", "rename"),
    Goal("refreshes a second, no latency", _refreshed("at once", "patchbay"), "per_second", at_least=3_000),
    Goal("refreshes a second, 100 ms, 1,000 in flight", _refreshed("after 100 ms", "patchbay"), "per_second", at_least=3_500),
    Goal("refreshes, a new TLS connection each: of bare aiohttp", _refreshed("new TLS", "aiohttp"), _RATE, at_least=0.8),
    Goal("claim of 200 at 1,000,000, in milliseconds", _CLAIMED, "alone", at_most=8),
    Goal("claimed twice by four at once", _CLAIMED, "claimed_twice", at_most=0),
    *_of_an_event(1_000),
    *_of_an_event(5_000),
    Goal("milliseconds until the last of 5,000 has it", _watched(5_000, "patchbay"), "last_milliseconds", at_most=150),
    Goal("seconds from start to first answer", _START, "seconds", at_most=1),
    Goal("megabytes, idle", _START, "share_megabytes", at_most=80),
)
