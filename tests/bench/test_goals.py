from dataclasses import dataclass, fields
from typing import ClassVar

from tests.bench.claiming import Claims
from tests.bench.fanout import Fanout
from tests.bench.goals import GOALS, Outcome, outcomes
from tests.bench.growing import Growth
from tests.bench.measuring import Result
from tests.bench.refreshing import Refreshes
from tests.bench.rows import Spread
from tests.bench.starting import Start
from tests.bench.works import WORKS


@dataclass(frozen=True, slots=True)
class _Answered:
    heading: ClassVar[str] = ""

    work: str
    database: str
    clients: int
    side: str
    patchbay_by_rate: Spread
    patchbay_by_processor: Spread


def test_a_goal_is_met_by_the_median() -> None:
    rows = [
        _Answered("issue", "postgresql", 16, "ceiling", Spread(0.5, 0.4, 0.6), _even(0.6)),
        _Answered("issue", "sqlite", 16, "ceiling", Spread(0.49, 0.4, 0.6), _even(0.7)),
    ]

    assert list(outcomes(rows, ["issue"])) == [
        Outcome("issue", "a credential issued, PostgreSQL: of the ceiling", 0.5, None, 0.5, True, 0.6),
        Outcome("issue", "a credential issued, SQLite: of the ceiling", 0.5, None, 0.49, False, 0.7),
    ]


def test_what_a_run_did_not_measure_is_neither_met_nor_missed() -> None:
    rows = [_Answered("issue", "postgresql", 1, "ceiling", _even(0.9), _even(0.9))]

    assert [outcome.is_met for outcome in outcomes(rows, ["issue"])] == [None, None]


def test_every_goal_is_of_a_figure_that_a_row_has() -> None:
    others = {"start": Start, "refresh": Refreshes, "claims": Claims, "growth": Growth, "fanout": Fanout}
    rows: dict[str, type] = {**dict.fromkeys(WORKS, Result), **others}

    for goal in GOALS:
        assert {*goal.row, goal.figure} <= {field.name for field in fields(rows[goal.row["work"]])}
        assert (goal.at_least is None) != (goal.at_most is None)


def test_a_limit_from_above_is_kept_by_less() -> None:
    quick, slow = (_Started("start", "patchbay", _even(seconds), _even(0.5), 80) for seconds in (1.0, 1.1))

    assert [outcome.is_met for outcome in outcomes([quick], ["start"])] == [True, True]
    assert [outcome.measured_by_processor for outcome in outcomes([quick], ["start"])] == [0.5, None]
    assert [outcome.is_met for outcome in outcomes([slow], ["start"])] == [False, True]


@dataclass(frozen=True, slots=True)
class _Started:
    heading: ClassVar[str] = ""

    work: str
    side: str
    seconds: Spread
    processor_seconds: Spread
    share_megabytes: float


def _even(value: float) -> Spread:
    return Spread(value, value, value)
