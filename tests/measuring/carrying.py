"""What it costs a refresh that its answer is on disk before anybody hears of it.

usage: python -m tests.measuring.carrying [ROUNDS]
One connection is refreshed by turns: by a Patchbay that asks the provider itself and keeps the answer in the database, and by one that has
a courier. The time of each refresh is taken from its claim to its save; medians, 99th percentiles and their ratio are printed.
"""

import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import models
from api.clock import utc_now
from api.opening import open_patchbay
from api.patchbay import Patchbay
from models.database import migrate
from tests.installation import Installation, installed
from tests.measuring.revocation import databases

_WARM_UP = 5


async def _refresh(here: Installation, patchbay: Patchbay) -> float:
    """Seconds that one refresh took."""
    with patchbay.database.entered():
        while True:
            await models.Connection.all().update(due_at=utc_now())
            begun = time.perf_counter()
            await patchbay.refresher.start_due(limit=1)
            # Else it was put off to its place in the lane.
            if patchbay.refresher.under_way:
                await patchbay.refresher.settled()
                return time.perf_counter() - begun


async def _compare(url: str, rounds: int) -> tuple[list[float], list[float]]:
    alone: list[float] = []
    carried: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        async with installed(url, Path(folder), utc_now, PATCHBAY_PROVIDER_RATE="10000") as here:  # type: ignore[arg-type]
            await here.connect_by_consent()
            async with open_patchbay(here.patchbay.settings, chance=random.Random(2), courier=True) as other:
                for _ in range(_WARM_UP + rounds):
                    alone.append(await _refresh(here, here.patchbay))
                    carried.append(await _refresh(here, other))
                refreshes = [grant.refreshes for grant in here.sandbox.overview().grants]
                assert refreshes == [2 * (_WARM_UP + rounds)], refreshes
    return alone[_WARM_UP:], carried[_WARM_UP:]


async def main(rounds: int) -> None:
    async with databases() as urls:
        for database, url in urls.items():
            await migrate(url)
            alone, carried = await _compare(url, rounds)
            for name, seconds in (("without courier", alone), ("with courier", carried)):
                shown = [statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]]
                print(database, name, f"{rounds} refreshes", "median, p99 (ms):", *(f"{1000 * each:.1f}" for each in shown))
            print(database, f"ratio of the medians: {statistics.median(carried) / statistics.median(alone):.2f}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
