"""A few lives of connections, led by chance; many are led by `python -m tests.connections.life`."""

from pathlib import Path

import pytest

from tests.conftest import Copies
from tests.connections.life import Life
from tests.lives import lead, postgresql_copy, sqlite_copy

# Each is a life of some seconds, so that the limit of other tests is none for these.
pytestmark = pytest.mark.timeout(120)


def test_no_law_is_broken_on_sqlite(sqlite_template: Path) -> None:
    lead(Life, lambda: sqlite_copy(sqlite_template), examples=5, steps=15, derandomize=True, shrinks=False)


def test_no_law_is_broken_on_postgresql(postgresql_copies: Copies) -> None:
    lead(Life, lambda: postgresql_copy(postgresql_copies), examples=2, steps=15, derandomize=True, shrinks=False)
