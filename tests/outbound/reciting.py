"""A server on loopback that recites: it says one part of its text, hears what comes, says the next, and keeps all that it heard."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Reciter:
    port: int = 0
    heard: bytearray = field(default_factory=bytearray)
    # How much of it came before TLS began.
    heard_in_the_clear: bytes | None = None
    # How many have come, and whether the last one has gone, in whichever way.
    visitors: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def recite(*parts: bytes | ssl.SSLContext, tls: ssl.SSLContext | None = None, hangs_up: bool = False) -> AsyncIterator[Reciter]:
    """Say the first part to who comes, and each other once something was heard. A context among them begins TLS, unasked.

    After the last part it only listens, unless it `hangs_up`.
    """
    reciter = Reciter()
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        reciter.visitors += 1
        reciter.came.set()
        try:
            for number, part in enumerate(parts):
                if isinstance(part, ssl.SSLContext):
                    reciter.heard_in_the_clear = bytes(reciter.heard)
                    await writer.start_tls(part)
                    continue
                if number:
                    reciter.heard += await reader.read(65_536)
                writer.write(part)
                await writer.drain()
            if hangs_up:
                return
            while more := await reader.read(65_536):
                reciter.heard += more
        # The listener asks this task for its exception; being cancelled is how it ends.
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            reciter.left.set()
            tasks.discard(task)
            # Not waited for: after a handshake that failed it would never be told.
            writer.close()

    listener = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls)
    reciter.port = listener.sockets[0].getsockname()[1]
    try:
        yield reciter
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()
