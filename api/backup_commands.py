"""The command line for backups."""

import asyncio
import os
import sys
from pathlib import Path

import click

from api.alone import alone
from api.backup import Contents, look_through, make_backup, put_back
from api.clock import utc_now
from api.errors import BackupRefused, StartRefused
from api.master_keys import master_keys
from api.refusing import refusing
from api.settings import Settings
from models.database import DatabaseUrl

_LOST = """\
What happened after the backup is undone. Refresh tokens that were renewed since are the former ones again: where a provider takes each
once, the connection will say that it needs a new sign-in. API tokens, sessions and permissions that were taken away since are back."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@refusing
def backup(file: Path) -> None:
    """Copy the SQLite database into a new FILE, also while it is served."""
    where = _sqlite("Back it up with pg_dump: see the README, “Backups”.")
    if not where.file.exists():
        raise StartRefused(f"There is no database {where} yet.", "Check PATCHBAY_DATABASE_URL and PATCHBAY_DATA_FOLDER.")
    make_backup(where.file, file.absolute())
    click.echo(f"Backed up {where} in {file}. It opens only with the master key, which is not in it.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--check", is_flag=True, help="Only look through FILE, and change nothing.")
@click.option("--replace", is_flag=True, help="Put FILE in the place of the database that is there, which is kept beside it.")
@refusing
def restore(file: Path, check: bool, replace: bool) -> None:
    """Put a backup where the SQLite database is, while no server runs; before that, look it through."""
    settings = Settings.from_environment(os.environ)
    where = _sqlite("Restore it with pg_restore: see the README, “Backups”.")
    contents = asyncio.run(look_through(file.absolute(), master_keys(settings), utc_now))
    _tell(file, contents)
    if contents.secrets.unreadable:
        sys.exit(1)
    if not check:
        _put_back(file.absolute(), where, replaces=replace)


def _put_back(file: Path, where: DatabaseUrl, *, replaces: bool) -> None:
    where.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(where):
        if where.file.exists() and not replaces:
            raise BackupRefused(f"There is a database {where} already.", "Give --replace to put the backup in its place; it is kept.")
        former = put_back(file, where.file, now=utc_now())
    click.echo(f"Restored {where}." + ("" if former is None else f" The former database is kept in {former}."))
    click.echo(_LOST)


def _sqlite(otherwise: str) -> DatabaseUrl:
    """The database, which is an SQLite file. Raises BackupRefused."""
    where = DatabaseUrl.parse(Settings.from_environment(os.environ).database_url.reveal())
    if where.dialect != "sqlite":
        raise BackupRefused(f"The database {where} is on PostgreSQL, which has its own tools for that.", otherwise)
    return where


def _tell(file: Path, contents: Contents) -> None:
    click.echo(f"{file} is whole: its pages, its indexes, and what its rows point to.")
    if contents.later:
        click.echo(f"A later version of Patchbay made it: {', '.join(contents.later)}.")
    if contents.pending:
        click.echo(f"An earlier version of Patchbay made it; migrations apply cleanly: {', '.join(contents.pending)}.")
    click.echo(f"It holds: {', '.join(f'{noun} {count}' for noun, count in contents.counts.items())}.")
    secrets = contents.secrets
    if not secrets.unreadable:
        click.echo(f"The master key opens all of its {secrets.values} sealed values.")
        return
    click.echo(f"{len(secrets.unreadable)} of its {secrets.values} sealed values do not open: they were changed or moved.", err=True)
    for place in secrets.unreadable[:10]:
        click.echo(f"  {place.table}.{place.column} of {place.row}", err=True)
