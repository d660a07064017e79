"""`python -m api.courier FOLDER`: what `patchbay serve` starts beside itself, and waits for.

It stays small, and is there at once: nothing of `models` is imported, which brings the database with it.
"""

import asyncio
import fcntl
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from api.clock import seconds_since_boot, utc_now
from api.courier.process import CourierProcess, DiskFailed
from api.garbage import search_seldom
from api.logs import EventFormatter

logger = logging.getLogger("api.courier")

# One that ends still finishes what is under way, and nothing is for longer than a request may take.
_WAIT_FOR_FORMER_SECONDS = 40.0
_LOOK_AGAIN_SECONDS = 0.05
_LOG_BYTES = 1_000_000
_OPEN_FILES = 16_384
# sysexits.h: EX_IOERR, EX_TEMPFAIL.
_DISK_FAILED = 74
_ANOTHER_RUNS = 75


def main(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Whoever started it may be gone long before it, and with them whatever reads what it says.
    handler = RotatingFileHandler(folder / "log", maxBytes=_LOG_BYTES, backupCount=1)
    handler.setFormatter(EventFormatter())
    logging.basicConfig(level="INFO", handlers=[handler])
    with _sole(folder) as is_sole:
        if not is_sole:
            return _ANOTHER_RUNS
        _allow_open_files()
        (folder / "pid").write_text(f"{os.getpid()}\n")
        search_seldom()
        try:
            with asyncio.Runner(loop_factory=_fast_loop) as runner:
                runner.run(CourierProcess(folder, utc_now).serve())
        except DiskFailed:
            return _DISK_FAILED
    return 0


def _fast_loop() -> asyncio.AbstractEventLoop:
    """The one that uvicorn takes too, where it is to be had: it does with a sixth less."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _allow_open_files() -> None:
    """As many as the system lets: each exchange that is under way has a connection, and the usual thousand would bound them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@contextmanager
def _sole(folder: Path) -> Iterator[bool]:
    """Be the only courier of a folder; False where another does not end in time."""
    until = seconds_since_boot() + _WAIT_FOR_FORMER_SECONDS
    with (folder / "lock").open("ab") as lock:
        while not (is_sole := _take(lock)) and seconds_since_boot() < until:
            time.sleep(_LOOK_AGAIN_SECONDS)
        yield is_sole


def _take(lock: IO[bytes]) -> bool:
    """Whether it was free. It is let go of as the file is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
