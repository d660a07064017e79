"""How fast Patchbay means to be, and whether a run found it so. All goals stand here.

A goal is looked for in the rows of a run, as they are in JSON: the one with all these values, and the figure in it. The median counts.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from tests.bench.rows import Row


@dataclass(frozen=True, slots=True)
class Goal:
    told: str
    row: Mapping[str, Any]
    figure: str
    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, measured: float) -> bool:
        return (self.at_least is None or measured >= self.at_least) and (self.at_most is None or measured <= self.at_most)

    def measured(self, rows: Sequence[Mapping[str, Any]]) -> float | None:
        for row in rows:
            if row.items() >= self.row.items():
                figure = row[self.figure]
                return float(figure["median"] if isinstance(figure, dict) else figure)
        return None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run says of a goal."""

    heading: ClassVar[str] = f"\n{'goal':60}  {'':>15}  {'measured':>8}"

    work: str
    goal: str
    at_least: float | None
    at_most: float | None
    # None: this run did not measure it.
    measured: float | None
    is_met: bool | None

    def __str__(self) -> str:
        limit = f"at most {self.at_most:g}" if self.at_least is None else f"at least {self.at_least:g}"
        if self.measured is None:
            return f"{self.goal:60}  {limit:>15}  {'':>8}  not measured"
        return f"{self.goal:60}  {limit:>15}  {self.measured:8.2f}  {'met' if self.is_met else 'NOT MET'}"


def outcomes(rows: Sequence[Row], works: Collection[str]) -> Iterator[Outcome]:
    """All goals of these works."""
    found = [asdict(row) for row in rows]
    for goal in GOALS:
        if goal.row["work"] in works:
            measured = goal.measured(found)
            is_met = None if measured is None else goal.is_met(measured)
            yield Outcome(goal.row["work"], goal.told, goal.at_least, goal.at_most, measured, is_met)


def _answers(work: str, database: str, clients: int, side: str) -> dict[str, Any]:
    return {"work": work, "database": database, "clients": clients, "side": side}


def _half_of_the_ceiling(told: str, work: str) -> Iterator[Goal]:
    for database, name in (("postgresql", "PostgreSQL"), ("sqlite", "SQLite")):
        yield Goal(f"{told}, {name}: of the ceiling", _answers(work, database, 16, "ceiling"), "patchbay_by_rate", at_least=0.5)


_RATE, _P99 = "patchbay_by_rate", "patchbay_by_p99"
_START = {"work": "start", "side": "patchbay"}

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
    Goal("seconds from start to first answer", _START, "seconds", at_most=1),
    Goal("megabytes, idle", _START, "share_megabytes", at_most=80),
)
