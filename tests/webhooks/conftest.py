from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.webhooks.scene import Scene, opened_scene


@pytest.fixture
async def scene(database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    """A whole Patchbay and a receiver, once on each database."""
    async with opened_scene(database_url, tmp_path) as scene:
        yield scene
