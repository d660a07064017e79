"""Backups of an SQLite database: made beside the server, looked through, put back.

PostgreSQL has its own tools for that. The master key is in no backup, and belongs somewhere else.
"""

import asyncio
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import models
from api.clock import Clock
from api.errors import BackupRefused
from api.vault.keys import MasterKeys
from api.vault.opening import open_vault
from api.vault.sealed_values import Opened, open_all
from models import sqlite_file
from models.database import CorruptDatabase, later_migrations, migrate, open_database, pending_migrations


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup holds that is whole."""

    # What this version would still apply to it, and what it does not know.
    pending: list[str]
    later: list[str]
    secrets: Opened
    # By noun.
    counts: dict[str, int]


def make_backup(database: Path, to: Path) -> None:
    """Copy a database that may be in use, whole as of one moment, for its owner alone. Raises BackupRefused and CorruptDatabase."""
    if to.exists():
        raise _taken(to)
    if not to.parent.is_dir():
        raise BackupRefused(f"There is no folder {to.parent} for the backup.", "Make it, or name another.")
    try:
        sqlite_file.copy_anew(database, to)
    except FileExistsError as error:
        raise _taken(to) from error


async def look_through(backup: Path, master_keys: MasterKeys, clock: Clock) -> Contents:
    """What a backup holds: found out on a copy in the folder for temporary files, so that the backup itself is only read.

    Raises BackupRefused where it is damaged, and KeyTrouble where the keys at hand are not those of the backup.
    """
    if sqlite_file.has_log(backup):
        raise BackupRefused(f"{backup} has a log beside it, so it is a database in use and no backup.", "Copy it with `patchbay backup`.")
    with TemporaryDirectory(prefix="patchbay-backup-") as folder:
        copy = Path(folder) / "patchbay.db"
        await asyncio.to_thread(shutil.copyfile, backup, copy)
        try:
            await asyncio.to_thread(sqlite_file.examine_thoroughly, copy)
        except CorruptDatabase as error:
            raise BackupRefused(f"The backup {backup} is damaged: {error.finding}.", "Use an earlier one. Nothing was changed.") from error
        return await _contents(f"sqlite://{copy}", master_keys, clock)


def put_back(backup: Path, database: Path, *, now: datetime) -> Path | None:
    """Put a backup where the database is; where the former database is kept, if there was one. Nobody may serve it meanwhile."""
    aside = database.with_name(f"{database.name}.replaced-{now:%Y%m%dT%H%M%SZ}")
    was_there = database.exists()
    sqlite_file.put_in_place(database, backup, aside=aside)
    return aside if was_there else None


async def _contents(url: str, master_keys: MasterKeys, clock: Clock) -> Contents:
    pending, later = await pending_migrations(url), await later_migrations(url)
    await migrate(url)
    async with open_database(url):
        secrets = await open_all(await open_vault(master_keys, clock))
        counts = {
            "users": await models.User.all().count(),
            "folders": await models.Folder.all().count(),
            "connections": await models.Connection.all().count(),
            "OAuth apps": await models.OAuthApp.all().count(),
            "entries of the audit log": await models.AuditEntry.all().count(),
        }
    return Contents(pending, later, secrets, counts)


def _taken(to: Path) -> BackupRefused:
    return BackupRefused(f"There is a file {to} already.", "Name another: a backup overwrites nothing.")
