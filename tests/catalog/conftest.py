import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.catalog.simulator.installation import Simulation, simulated


@pytest.fixture(scope="module")
async def _simulation(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> AsyncIterator[Simulation]:
    """One Patchbay for all tests of a module: to open one takes longer than all that a test does with it."""
    folder = tmp_path_factory.mktemp("simulation")
    shutil.copy(sqlite_template, folder / "patchbay.db")
    async with simulated(f"sqlite://{folder / 'patchbay.db'}", folder) as simulation:
        yield simulation


@pytest.fixture
async def simulation(_simulation: Simulation) -> AsyncIterator[Simulation]:
    """That Patchbay, without any connection."""
    yield _simulation
    await _simulation.clear()
