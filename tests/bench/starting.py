"""From the start of a server to its first answer, and what it then takes while nobody asks."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.bench.ground import Ground, ground
from tests.bench.rows import Options, Spread
from tests.bench.servers import served
from tests.bench.sides import SideName
from tests.bench.works import WORKS

_SIDES: tuple[SideName, ...] = ("patchbay", "ceiling")
# Until what a start leaves to be done is done.
_IDLE_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Start:
    heading: ClassVar[str] = ""

    work: str
    database: str
    side: SideName
    rounds: int
    seconds: Spread
    processor_seconds: Spread
    resident_megabytes: Spread
    # Memory that several processes use counts to each of them in part.
    share_megabytes: Spread

    def __str__(self) -> str:
        return (
            f"{self.work:10}  {self.database:10}  {'':7}  {self.side:10}  first answer after {self.seconds.told(2)} s, "
            f"processor {self.processor_seconds.told(2)} s; idle: resident {self.resident_megabytes.told(0)} MB, "
            f"its share {self.share_megabytes.told(0)} MB"
        )


async def measure_start(options: Options) -> AsyncIterator[Start]:
    """Both sides in turns, on a migrated database. The first answer is a list, by an API token."""
    with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as folder:
        async with ground("sqlite", Path(folder), 100) as here:
            found: dict[SideName, list[tuple[float, ...]]] = {side: [] for side in _SIDES}
            for _ in range(options.rounds):
                for side in _SIDES:
                    found[side].append(await _start(side, here))
    for side in _SIDES:
        yield Start("start", here.kind, side, options.rounds, *(Spread.of(values) for values in zip(*found[side], strict=True)))


async def _start(side: SideName, ground: Ground) -> tuple[float, ...]:
    began = time.perf_counter()
    async with served(side, ground) as server:
        await server.ask(WORKS["list"].question(side, ground))
        seconds, spent = time.perf_counter() - began, server.processor_seconds()
        await asyncio.sleep(_IDLE_SECONDS)
        return seconds, spent, *server.memory()
