"""The one place that tells Tortoise where the database is and which models there are."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from tortoise.context import TortoiseContext, _current_context

from models.database_url import DatabaseUrl, Dialect
from models.engines.uninterrupted import uninterrupted


def apps(dialect: Dialect) -> dict[str, dict[str, Any]]:
    # The connection is called by its dialect, because statements are cached by that name, and differ.
    return {"patchbay": {"models": ["models"], "migrations": "models.migrations", "default_connection": dialect}}


@asynccontextmanager
async def connected(url: DatabaseUrl, *, foreign_keys: bool = True) -> AsyncIterator[TortoiseContext]:
    """Connect, current in the running task; every connection is closed in the end."""
    context = TortoiseContext()
    with current(context):
        try:
            await context.init({"connections": {url.dialect: _engine(url, foreign_keys)}, "apps": apps(url.dialect)})
            await context.db().create_connection(with_db=True)
            yield context
        finally:
            await uninterrupted(context.close_connections())


@contextmanager
def current(context: TortoiseContext) -> Iterator[None]:
    """Let models use this context in the running task, and in the tasks that it starts meanwhile.

    The context itself keeps nothing of it, so that any number of tasks may do so at once.
    """
    token = _current_context.set(context)
    try:
        yield
    finally:
        _current_context.reset(token)


def _engine(url: DatabaseUrl, foreign_keys: bool) -> dict[str, Any]:
    if url.dialect == "sqlite":
        return {"engine": "models.engines.sqlite_engine", "credentials": url.credentials | _sqlite_pragmas(foreign_keys)}
    return {"engine": "models.engines.postgresql_engine", "credentials": url.credentials | _POOL}


def _sqlite_pragmas(foreign_keys: bool) -> dict[str, Any]:
    return {
        # First, so that it holds for what follows. In milliseconds.
        "busy_timeout": 10_000,
        "journal_mode": "WAL",
        # A refresh token that was saved must outlive a power cut: its provider has already forgotten the one before.
        "synchronous": "FULL",
        "foreign_keys": "ON" if foreign_keys else "OFF",
    }


# In seconds, where they are times.
_POOL: dict[str, Any] = {
    "minsize": 1,
    "maxsize": 20,
    "timeout": 10,
    "command_timeout": 30,
    "max_inactive_connection_lifetime": 300,
}
