"""The file of an SQLite database: readable by its owner alone, examined before use, copied before it changes."""

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

from models.file_lock import FileLock

# More events than there will be between a backup and its restore.
_FAR = 1_000_000_000


class CorruptDatabase(Exception):
    """The file of the database is damaged. It is left as it is."""

    def __init__(self, file: Path, finding: str) -> None:
        super().__init__(
            f"the database {file} is damaged ({finding}); nothing was changed. "
            f"Stop everything that uses it, keep it together with its -wal file, and put the latest good copy in its place."
        )
        self.file = file
        self.finding = finding


def create(file: Path) -> None:
    """Make the file, and its folder, for the owner alone. What is there stays as it is."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))


def examine(file: Path) -> None:
    """Raises CorruptDatabase. Reads the whole file, and changes nothing."""
    _examine(file, "quick_check")


def examine_thoroughly(file: Path) -> None:
    """Compare also the indexes with the rows, and look for what rows point to, in about 7 ms a megabyte. Raises CorruptDatabase.

    SQLite keeps no checksums: a byte that was changed inside a value is found only where the value is indexed, checked, or points to
    a row. One inside a sealed value is found when that is opened.
    """
    _examine(file, "integrity_check")
    try:
        with _only_read(file) as database:
            dangling = database.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.DatabaseError as error:
        raise CorruptDatabase(file, str(error)) from error
    if dangling:
        raise CorruptDatabase(file, f"{len(dangling)} rows point to rows that are not there")


def _examine(file: Path, check: str) -> None:
    try:
        with _only_read(file) as database:
            # allowed: made-statement: the name of a check, and this file gives it
            findings = [row[0] for row in database.execute(f"PRAGMA {check}(1)")]
    except sqlite3.OperationalError:
        # It is locked, or may not be read: that tells nothing about its content.
        raise
    except sqlite3.DatabaseError as error:
        raise CorruptDatabase(file, str(error)) from error
    except UnicodeDecodeError as error:
        # Python cannot read SQLite's own words about a schema that is damaged.
        raise CorruptDatabase(file, "malformed database schema") from error
    if findings != ["ok"]:
        raise CorruptDatabase(file, findings[0])


@contextmanager
def _only_read(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        # What is found in a damaged file may repeat what stands there, and that may be anything.
        database.text_factory = lambda text: text.decode(errors="replace")
        yield database


def has_log(file: Path) -> bool:
    """Whether there is something in a write-ahead log beside the file, without which it is not the whole database."""
    log = _with_ending(file, "-wal")
    return log.exists() and log.stat().st_size > 0


def copy(file: Path, to: Path) -> None:
    """Copy a database that may be in use, whole as of one moment, in the place of an earlier copy. Raises CorruptDatabase."""
    _copied(file, to).replace(to)
    _sync(to.parent)


def copy_anew(file: Path, to: Path) -> None:
    """The same, where nothing is yet. Raises FileExistsError also where a file appears meanwhile, and leaves that alone."""
    unfinished = _copied(file, to)
    try:
        os.link(unfinished, to)
    finally:
        unfinished.unlink()
    _sync(to.parent)


def put_in_place(file: Path, by: Path, *, aside: Path) -> None:
    """Put a copy of another database where this one is, and keep this one, with its log, as `aside`. Nobody may serve it meanwhile."""
    incoming = file.with_name(f"{file.name}.incoming")
    incoming.unlink(missing_ok=True)
    create(incoming)
    shutil.copyfile(by, incoming)
    _count_on(incoming)
    _sync(incoming)
    if file.exists():
        _settle(file)
        _keep(file, aside)
    # First: the log of the former database must never be read into the other.
    for ending in ("-wal", "-shm"):
        _with_ending(file, ending).unlink(missing_ok=True)
    incoming.replace(file)
    _sync(file.parent)


def _copied(file: Path, to: Path) -> Path:
    """A copy on the disk beside where it shall be, examined, that needs no file beside itself."""
    unfinished = to.with_name(f"{to.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    create(unfinished)
    try:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(unfinished)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        examine(unfinished)
        _sync(unfinished)
    except BaseException as error:
        unfinished.unlink()
        if isinstance(error, CorruptDatabase):
            raise CorruptDatabase(file, error.finding) from error
        raise
    return unfinished


def _count_on(file: Path) -> None:
    """Let no event get a number that one after the backup had: who goes on from such a one is given all that follows."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'connection_event'", [_FAR])


def _settle(file: Path) -> None:
    """Bring what is in the log into the file, as far as it can be: the last connection that closes does so."""
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(file)) as database:
        database.execute("SELECT count(*) FROM sqlite_schema")


def _keep(file: Path, aside: Path) -> None:
    os.link(file, aside)
    if (log := _with_ending(file, "-wal")).exists():
        os.link(log, _with_ending(aside, "-wal"))


def _with_ending(file: Path, ending: str) -> Path:
    return file.with_name(f"{file.name}{ending}")


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@asynccontextmanager
async def migrating(file: Path) -> AsyncIterator[None]:
    """Keep out every other process that migrates."""
    lock = FileLock(file.with_name(f"{file.name}.lock"))
    await lock.wait()
    try:
        yield
    finally:
        lock.let_go()
