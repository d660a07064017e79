"""A few lives of subscriptions, led by chance; many are led by `python -m tests.events.life`."""

from pathlib import Path

import pytest

from tests.conftest import Copies
from tests.events.life import Life
from tests.lives import lead, postgresql_copy, sqlite_copy

pytestmark = [
    # Each is a life of some seconds, so that the limit of other tests is none for these.
    pytest.mark.timeout(120),
    # What an operation has begun when it is left is left by the executor as it is.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]


def test_no_promise_is_broken_on_sqlite(sqlite_template: Path) -> None:
    lead(Life, lambda: sqlite_copy(sqlite_template), examples=4, steps=40, derandomize=True, shrinks=False)


def test_no_promise_is_broken_on_postgresql(postgresql_copies: Copies) -> None:
    lead(Life, lambda: postgresql_copy(postgresql_copies), examples=1, steps=40, derandomize=True, shrinks=False)
