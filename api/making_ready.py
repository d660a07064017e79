"""What is there before anything runs: the key, the data folder, the newest form of the database."""

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from api.alone import alone
from api.errors import KeyTrouble, StartRefused
from api.master_keys import key_file, master_keys
from api.opening import load_catalog, try_opening
from api.reaching import database_exists, reaching_database
from api.settings import Settings
from api.vault.keys import create_key_file
from api.vault.opening import check_stored_keys
from models import sqlite_file
from models.database import DatabaseUrl, migrate

logger = logging.getLogger(__name__)


@contextmanager
def made_ready(settings: Settings) -> Iterator[None]:
    """All that is needed to run: the key, the database, and on SQLite nobody else who runs upon it."""
    _prepare(settings)
    where = DatabaseUrl.parse(settings.database_url.reveal())
    with alone(where):
        if where.dialect == "sqlite" and where.file.exists():
            sqlite_file.examine_thoroughly(where.file)
        asyncio.run(_migrate(settings))
        # What is refused is told here, in a sentence; the server would tell it as a crash.
        asyncio.run(try_opening(settings))
        logger.info("database ready", extra={"database": str(where), "sqlite_version": sqlite3.sqlite_version})
        yield


def migrated(settings: Settings) -> list[str]:
    """The names of the migrations that were missing. Raises StartRefused."""
    _prepare(settings)
    return asyncio.run(_migrate(settings))


def _prepare(settings: Settings) -> None:
    """Make the data folder; for the local default make its key, and say so. Raises StartRefused before anything is written."""
    load_catalog(settings)
    path = key_file(settings)
    makes_key = settings.is_local_default and settings.keys is None and settings.key_file is None and not path.exists()
    if not makes_key:
        master_keys(settings)
    elif database_exists(settings):
        # Another key would open nothing that is in there.
        raise KeyTrouble(
            f"The database is there, and its master key {path} is not.",
            "Put the key back, or name its file with PATCHBAY_KEY_FILE. To begin anew, move the database away. Nothing was written.",
        )
    _make_data_folder(settings.data_folder)
    if makes_key:
        create_key_file(path)
        click.echo(f"Made a master key in {path}. Whoever has it can open every stored secret; without it nobody can. Back it up apart.")


def _make_data_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartRefused(f"The data folder {path} cannot be made: {error.strerror}.", "Set PATCHBAY_DATA_FOLDER to another.") from error


async def _migrate(settings: Settings) -> list[str]:
    """Raises KeyTrouble where the database belongs to other keys, before anything in it is changed."""
    with reaching_database(settings):
        return await migrate(settings.database_url.reveal(), first=partial(check_stored_keys, master_keys(settings)))
