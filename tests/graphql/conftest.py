from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clock import HeldClock
from tests.graphql.asking import Graph
from tests.installation import installed


@pytest.fixture
async def graph(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Graph]:
    """A whole Patchbay on SQLite, asked in Ada's name."""
    async with installed(sqlite_url, tmp_path, HeldClock()) as installation:
        yield Graph(installation, installation.ada)


@pytest.fixture
async def graph_on_both(database_url: str, tmp_path: Path) -> AsyncIterator[Graph]:
    """As `graph`, once on each database."""
    async with installed(database_url, tmp_path, HeldClock()) as installation:
        yield Graph(installation, installation.ada)
