"""The file of an SQLite database: readable by its owner alone, examined before use, copied before it changes."""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from models.file_lock import FileLock


class CorruptDatabase(Exception):
    """The file of the database is damaged. It is left as it is."""

    def __init__(self, file: Path, finding: str) -> None:
        super().__init__(
            f"the database {file} is damaged ({finding}); nothing was changed. "
            f"Stop everything that uses it, keep it together with its -wal file, and put the latest good copy in its place."
        )
        self.file = file


def create(file: Path) -> None:
    """Make the file, and its folder, for the owner alone. What is there stays as it is."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))


def examine(file: Path) -> None:
    """Raises CorruptDatabase. Reads the whole file, and changes nothing."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            findings = [row[0] for row in database.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError:
        # It is locked, or may not be read: that tells nothing about its content.
        raise
    except sqlite3.DatabaseError as error:
        raise CorruptDatabase(file, str(error)) from error
    if findings != ["ok"]:
        raise CorruptDatabase(file, findings[0])


def copy(file: Path, to: Path) -> None:
    """Copy a database that may be in use, whole as of one moment."""
    unfinished = to.with_name(f"{to.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    create(unfinished)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(unfinished)) as target:
        source.backup(target)
    unfinished.replace(to)


@asynccontextmanager
async def migrating(file: Path) -> AsyncIterator[None]:
    """Keep out every other process that migrates."""
    lock = FileLock(file.with_name(f"{file.name}.lock"))
    await lock.wait()
    try:
        yield
    finally:
        lock.let_go()
