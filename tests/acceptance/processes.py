"""Programs as processes: started, waited for by what they say, and always stopped."""

import asyncio
import os
import random
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent

_LOOK_AGAIN_SECONDS = 0.02

Seen = TypeVar("Seen")


class Program:
    """A program under way. What it says goes into files, so that it never waits for a reader."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path, log: Path) -> None:
        self._process = process
        self._output = output
        self._log = log

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def log(self) -> str:
        """What it said on standard error."""
        return self._log.read_text()

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    async def says(self, pattern: str, *, within: float = 20) -> re.Match[str]:
        """Wait until its standard output matches."""

        async def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output)
            assert found or self.runs, f"it ended with {self._process.returncode} instead of saying “{pattern}”:\n{self.log[-3000:]}"
            return found

        return await until(look, within=within)

    async def stop(self, *, within: float = 10) -> float:
        """Ask it to end; how many seconds that took."""
        began = time.monotonic()
        if self.runs:
            self._process.terminate()
        await self.ended(within=within)
        return time.monotonic() - began

    async def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self.runs:
            self._process.kill()
        await self._process.wait()

    async def ended(self, *, within: float = 10) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        return await asyncio.wait_for(self._process.wait(), within)


@asynccontextmanager
async def running(
    *command: str | Path, words: Path, environment: Mapping[str, str] | None = None, folder: Path = PROJECT
) -> AsyncIterator[Program]:
    """A program, for as long as this lasts. What it says is kept in files whose names begin with `words`."""
    output, log = words.with_name(f"{words.name}.out"), words.with_name(f"{words.name}.err")
    with output.open("ab") as out, log.open("ab") as err:
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=err, cwd=folder, env=clean_environment(environment))
    program = Program(process, output, log)
    try:
        yield program
    finally:
        try:
            await program.stop()
        finally:
            await program.kill()


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process without its settings for Patchbay, and with more."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PATCHBAY_")} | dict(more or {})


def free_port() -> int:
    """A port that nobody listens on, from below those that the system gives to callers by itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


async def until(look: Callable[[], Awaitable[Seen | None]], *, within: float = 20) -> Seen:
    """Look until there is something to see. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not (seen := await look()):
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    return seen


STOPPED_BY_US = {0, -signal.SIGTERM}
