"""What is asked of a measurement, and what it gives: rows that print themselves."""

import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from tests.bench.sides import SideName
from tests.faults.databases import Kind

COUNTS = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Options:
    """As the command line has them. A measurement takes those that mean something to it."""

    kinds: tuple[Kind, ...]
    rounds: int
    # How long a turn is.
    seconds: float
    # How many ask at once, one after the other.
    clients: tuple[int, ...]
    # How many there are.
    connections: int
    # What Patchbay is measured beside, where that is not all that there is.
    beside: tuple[SideName, ...] = ()
    # For what is measured as connections become many: from few to many.
    counts: tuple[int, ...] = COUNTS


class Row(Protocol):
    """A frozen dataclass: `str` makes a line of a table of it, `asdict` a line of JSON, by whose names the goals find it."""

    # Printed above the first of its kind; empty where a line tells all by itself.
    heading: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def work(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Measurement:
    """A work that is not one request and one answer."""

    told: str
    rows: Callable[[Options], AsyncIterator[Row]]


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values))

    def told(self, places: int) -> str:
        return f"{self.median:.{places}f} [{self.lowest:.{places}f}..{self.highest:.{places}f}]"
