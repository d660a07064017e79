"""A small disk that fills up while exchanges are under way, and is freed again."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.faults.checker import Checker, Tally
from tests.faults.kills import check, conclude
from tests.faults.reader import Reader
from tests.faults.supervisor import Terms, installed
from tests.faults.tokens import Mode

# Of which the courier reserves sixteen.
_MEGABYTES = 24
_CONNECTIONS = 200
_FULL_SECONDS = 5.0
_FREE_SECONDS = 3.0


async def disk_full(terms: Terms, folder: Path) -> Tally:
    """The data folder, with the database and whatever is kept beside it, on a disk of its own."""
    checker = Checker()
    data = folder / "data"
    try:
        async with _small_disk(data):
            await _fill_again_and_again(checker, terms, folder, data)
    except subprocess.CalledProcessError:
        checker.tally.note = "not run: no file system may be mounted here"
    return checker.tally


async def _fill_again_and_again(checker: Checker, terms: Terms, folder: Path, data: Path) -> None:
    async with installed(folder, terms, Mode.STRICT) as here:
        await here.connect(terms.connections or _CONNECTIONS)
        reader = Reader([here.url], here.token)
        for _ in range(terms.trials):
            async with here.serving():
                await here.provider.trap()
                with _filled(data):
                    async with reader.reading():
                        await asyncio.sleep(_FULL_SECONDS)
                await asyncio.sleep(_FREE_SECONDS)
            await here.provider.settle()
            async with here.records() as records:
                await check(checker, here, records)
            checker.tally.trials += 1
        checker.tally.note = f"{reader.failed} of {reader.reads} reads failed {sorted(reader.failures)}"
        await conclude(checker, here)


@asynccontextmanager
async def _small_disk(place: Path) -> AsyncIterator[None]:
    """A file system of a few megabytes at this place. Raises CalledProcessError where none may be mounted."""
    place.mkdir(exist_ok=True)
    await _run("mount", "-t", "tmpfs", "-o", f"size={_MEGABYTES}m", "tmpfs", str(place))
    try:
        yield
    finally:
        await _run("umount", "--lazy", str(place))


@contextmanager
def _filled(place: Path) -> Iterator[None]:
    """Not one byte is free for as long as this lasts."""
    filler = place / "filler"
    try:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield
    finally:
        filler.unlink()


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    code = await process.wait()
    if code:
        raise subprocess.CalledProcessError(code, command)
