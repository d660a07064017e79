from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clock import HeldClock
from tests.installation import Installation, installed


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    """A whole Patchbay, once on each database."""
    async with installed(database_url, tmp_path, HeldClock()) as installation:
        yield installation
