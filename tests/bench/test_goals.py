from dataclasses import dataclass
from typing import ClassVar

from tests.bench.goals import Outcome, outcomes
from tests.bench.rows import Spread


@dataclass(frozen=True, slots=True)
class _Answered:
    heading: ClassVar[str] = ""

    work: str
    database: str
    clients: int
    side: str
    patchbay_by_rate: Spread


def test_a_goal_is_met_by_the_median() -> None:
    rows = [
        _Answered("issue", "postgresql", 16, "ceiling", Spread(0.5, 0.4, 0.6)),
        _Answered("issue", "sqlite", 16, "ceiling", Spread(0.49, 0.4, 0.6)),
    ]

    assert list(outcomes(rows, ["issue"])) == [
        Outcome("issue", "a credential issued, PostgreSQL: of the ceiling", 0.5, None, 0.5, True),
        Outcome("issue", "a credential issued, SQLite: of the ceiling", 0.5, None, 0.49, False),
    ]


def test_what_a_run_did_not_measure_is_neither_met_nor_missed() -> None:
    rows = [_Answered("issue", "postgresql", 1, "ceiling", Spread(0.9, 0.9, 0.9))]

    assert [outcome.is_met for outcome in outcomes(rows, ["issue"])] == [None, None]


def test_a_limit_from_above_is_kept_by_less() -> None:
    quick, slow = (_Started("start", "patchbay", Spread(seconds, seconds, seconds), 80) for seconds in (1.0, 1.1))

    assert [outcome.is_met for outcome in outcomes([quick], ["start"])] == [True, True]
    assert [outcome.is_met for outcome in outcomes([slow], ["start"])] == [False, True]


@dataclass(frozen=True, slots=True)
class _Started:
    heading: ClassVar[str] = ""

    work: str
    side: str
    seconds: Spread
    share_megabytes: float
