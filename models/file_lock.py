"""A lock among the processes of one machine, kept by a file that nothing else is kept in.

The kernel lets go of it when its holder ends, however that ends. A child that is started does not inherit it.
"""

import asyncio
import fcntl
import os
from pathlib import Path

_LOOK_AGAIN_SECONDS = 0.002


class FileLock:
    """One holder at a time. Whoever holds it may leave words for those who find it taken."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether it is held through this object."""
        return self._descriptor is not None

    def take(self) -> bool:
        """Take it if it is free; whether it was."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    async def wait(self) -> None:
        """Take it, however long that takes. Cancelled meanwhile it holds nothing."""
        while not self.take():
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def let_go(self) -> None:
        assert self._descriptor is not None
        descriptor, self._descriptor = self._descriptor, None
        os.close(descriptor)

    def leave(self, words: str) -> None:
        """Leave these words in the file. They outlive the lock, so that they mean something only while it is taken."""
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, words.encode(), 0)

    def words(self) -> str:
        return self._file.read_text()
