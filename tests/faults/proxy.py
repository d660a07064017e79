"""Between Patchbay and PostgreSQL: passes everything on, and cuts a connection at the statement that it is told to."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self


class Side(StrEnum):
    """Whether PostgreSQL still gets the statement. Patchbay hears nothing of it in either case."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Cut:
    side: Side
    happened: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """It cuts at statements that this pattern is found in."""

    def __init__(self, database: Path, pattern: bytes) -> None:
        self.port = 0
        self._database = database
        self._pattern = re.compile(pattern)
        # How asyncpg prepares it: from then on it says only the name.
        self._prepared = re.compile(rb"(__asyncpg_\w+)\0[^\0]*?(?:" + pattern + rb")")
        self._cut: Cut | None = None

    @classmethod
    @asynccontextmanager
    async def started(cls, database: Path, pattern: bytes) -> AsyncIterator[Self]:
        """Before the PostgreSQL server that listens at this socket, on a port of this machine."""
        proxy = cls(database, pattern)
        server = await asyncio.start_server(proxy._pass_on, "127.0.0.1", 0)
        async with server:
            proxy.port = server.sockets[0].getsockname()[1]
            yield proxy

    async def cut(self, side: Side) -> None:
        """Cut the next connection that has the statement executed, and return once that is done."""
        self._cut = Cut(side)
        await self._cut.happened.wait()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_database, to_database = await asyncio.open_unix_connection(self._database)
        except OSError:
            writer.transport.abort()
            return
        answers = asyncio.create_task(_copy(from_database, writer))
        try:
            await self._copy_statements(reader, to_database, answers)
        finally:
            answers.cancel()
            writer.transport.abort()
            to_database.transport.abort()

    async def _copy_statements(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: asyncio.Task[None]) -> None:
        names: set[bytes] = set()
        with contextlib.suppress(OSError):
            while statement := await reader.read(65_536):
                names.update(self._prepared.findall(statement))
                cut = self._cut
                if cut is not None and self._executes(statement, names):
                    self._cut = None
                    await self._end(cut, statement, writer, answers)
                    return
                writer.write(statement)
                await writer.drain()

    def _executes(self, statement: bytes, names: set[bytes]) -> bool:
        """Whether it is executed with this message: as a simple query, or by the name under which it was prepared."""
        match statement[:1]:
            case b"Q":
                return self._pattern.search(statement) is not None
            case b"B":
                return any(b"\0%s\0" % name in statement for name in names)
        return False

    async def _end(self, cut: Cut, statement: bytes, writer: asyncio.StreamWriter, answers: asyncio.Task[None]) -> None:
        if cut.side is Side.AFTER:
            # From here on Patchbay hears nothing, and PostgreSQL has time to do it.
            answers.cancel()
            writer.write(statement)
            await writer.drain()
            await asyncio.sleep(0.05)
        cut.happened.set()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
