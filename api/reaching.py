"""The database as commands find it: there or not, within reach or not, as new as this version or not."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from api.errors import StartRefused
from api.master_keys import master_keys
from api.opening import open_patchbay
from api.patchbay import Patchbay
from api.settings import Settings
from models.database import DatabaseUrl, pending_migrations

_MIGRATE = "Run `patchbay migrate`."


def database_exists(settings: Settings) -> bool:
    """Whether its file is there. A database on PostgreSQL is made by the operator, before Patchbay first sees it."""
    url = DatabaseUrl.parse(settings.database_url.reveal())
    return url.dialect == "postgresql" or url.file.exists()


@contextmanager
def reaching_database(settings: Settings) -> Iterator[None]:
    """Raises StartRefused where there is no database to reach."""
    try:
        yield
    except _out_of_reach() as error:
        where = DatabaseUrl.parse(settings.database_url.reveal())
        raise StartRefused(f"The database {where} cannot be used: {error}.", "Check PATCHBAY_DATABASE_URL, and that it runs.") from error


def _out_of_reach() -> tuple[type[Exception], ...]:
    from asyncpg import InvalidAuthorizationSpecificationError, InvalidCatalogNameError

    return OSError, InvalidAuthorizationSpecificationError, InvalidCatalogNameError


async def require_current_database(settings: Settings) -> None:
    """Raises StartRefused where the database is not there or older than this version, or where its key is not there."""
    where = DatabaseUrl.parse(settings.database_url.reveal())
    if not database_exists(settings):
        raise StartRefused(f"There is no database {where} yet.", _MIGRATE)
    # Before the database is opened: that alone writes beside an SQLite file.
    master_keys(settings)
    with reaching_database(settings):
        if await pending_migrations(settings.database_url.reveal()):
            raise StartRefused(f"The database {where} is older than this version of Patchbay.", _MIGRATE)


def with_patchbay(settings: Settings, act: Callable[[Patchbay], Coroutine[Any, Any, None]]) -> None:
    """Run one command on an open Patchbay that refreshes nothing."""

    async def run() -> None:
        await require_current_database(settings)
        async with open_patchbay(settings, serves=False, refreshes=False) as patchbay:
            await act(patchbay)

    asyncio.run(run())
