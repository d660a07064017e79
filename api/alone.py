"""One server process on an SQLite file: each would claim what is due by itself, and see nothing of what the other streams."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from api.errors import StartRefused
from models.database import DatabaseUrl
from models.file_lock import FileLock


@contextmanager
def alone(where: DatabaseUrl) -> Iterator[None]:
    """Be the one server of an SQLite file; it ends with the process, however that ends. Any number share a PostgreSQL.

    Raises StartRefused, which names the process that is the one.
    """
    if where.dialect == "postgresql":
        yield
        return
    lock = FileLock(where.file.with_name(f"{where.file.name}.server"))
    if not lock.take():
        raise StartRefused(
            f"The database {where} is served already, by {lock.words() or 'another process'}. An SQLite file has one server at a time.",
            "Stop that process, or use PostgreSQL (PATCHBAY_DATABASE_URL), which any number of servers may share. Nothing was written.",
        )
    try:
        lock.leave(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        lock.let_go()
