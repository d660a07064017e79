"""From the start of a server to its first answer, and what it then takes while nobody asks."""

import asyncio
import time
from dataclasses import dataclass

from tests.bench.ground import Ground
from tests.bench.measuring import Spread
from tests.bench.servers import served
from tests.bench.works import WORKS, SideName

_SIDES: tuple[SideName, ...] = ("patchbay", "ceiling")
# Until what a start leaves to be done is done.
_IDLE_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Start:
    work: str
    database: str
    side: SideName
    rounds: int
    seconds: Spread
    processor_seconds: Spread
    resident_megabytes: Spread
    # Memory that several processes use counts to each of them in part.
    share_megabytes: Spread


async def measure_start(ground: Ground, *, rounds: int) -> list[Start]:
    """Both sides in turns, on a migrated database. The first answer is a list, by an API token."""
    found: dict[SideName, list[tuple[float, ...]]] = {side: [] for side in _SIDES}
    for _ in range(rounds):
        for side in _SIDES:
            found[side].append(await _start(side, ground))
    return [Start("start", ground.kind, side, rounds, *(Spread.of(values) for values in zip(*found[side], strict=True))) for side in _SIDES]


async def _start(side: SideName, ground: Ground) -> tuple[float, ...]:
    began = time.perf_counter()
    async with served(side, ground) as server:
        await server.ask(WORKS["list"].question(side, ground))
        seconds, spent = time.perf_counter() - began, server.processor_seconds()
        await asyncio.sleep(_IDLE_SECONDS)
        return seconds, spent, *server.memory()
