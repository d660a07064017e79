"""Notices between processes that share a PostgreSQL database. A notice is a hint: it may be lost, and it tells nothing but "look again"."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tortoise.context import require_context

from models.database import Database
from models.rows import rows

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
_CONNECT_SECONDS = 10.0


async def notify(channel: str) -> None:
    """Tell every process that listens, once the running transaction is committed. On SQLite there is no other process to tell."""
    if require_context().db().capabilities.dialect == "postgres":
        await rows("SELECT pg_notify($1, '')", [channel])


@asynccontextmanager
async def listening(database: Database, channel: str, callback: Callable[[], None]) -> AsyncIterator[None]:
    """Call back at each notice for as long as this lasts. A connection that is lost is made again; meanwhile notices are missed."""
    if database.dialect == "sqlite":
        yield
        return
    async with asyncio.TaskGroup() as tasks:
        listener = tasks.create_task(_listen_for_ever(database, channel, callback))
        try:
            yield
        finally:
            listener.cancel()


async def _listen_for_ever(database: Database, channel: str, callback: Callable[[], None]) -> None:
    from asyncpg import InterfaceError, PostgresError

    while True:
        try:
            await _listen(database, channel, callback)
        except (OSError, PostgresError, InterfaceError):
            logger.warning("notices not listened for", extra={"again_after_seconds": _AGAIN_SECONDS})
        await asyncio.sleep(_AGAIN_SECONDS)


async def _listen(database: Database, channel: str, callback: Callable[[], None]) -> None:
    """Until the connection is lost."""
    import asyncpg

    lost = asyncio.Event()
    session = await asyncpg.connect(**database.url.credentials, timeout=_CONNECT_SECONDS)
    try:
        session.add_termination_listener(lambda _: lost.set())
        await session.add_listener(channel, lambda *_: callback())
        # What was told before this is found by looking once now.
        callback()
        await lost.wait()
    finally:
        session.terminate()
