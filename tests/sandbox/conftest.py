from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sandbox.visiting import HandClock, Visitor, visiting


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    return tmp_path / "sandbox.db"


@pytest.fixture
async def visitor(data_file: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    async with visiting(data_file, clock) as visitor:
        yield visitor
