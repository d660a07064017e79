"""The command line: `patchbay serve`, and what an operator sets up."""

import asyncio
import getpass
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import click

import models
from api.alone import alone
from api.audit_commands import audit
from api.backup_commands import backup, restore
from api.clock import utc_now
from api.connector_commands import connectors
from api.errors import KeyTrouble, StartRefused
from api.key_commands import keys
from api.logs import configure_logging
from api.master_keys import key_file, master_keys
from api.opening import load_catalog, open_patchbay, take_room_for_courier
from api.patchbay import Patchbay
from api.reaching import database_exists, reaching_database, with_patchbay
from api.refreshing import refresh_until_stopped
from api.refusing import refusing
from api.serving import listening, serve_until_stopped
from api.settings import Settings
from api.vault.keys import create_key_file
from api.vault.opening import check_stored_keys
from models import fold, sqlite_file
from models.database import DatabaseUrl, migrate

logger = logging.getLogger(__name__)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Patchbay keeps people's connections to other companies' services alive."""


main.add_command(audit)
main.add_command(backup)
main.add_command(connectors)
main.add_command(keys)
main.add_command(restore)


@main.command()
@click.option("--no-refresh", is_flag=True, help="Answer only, and leave it to other processes to keep connections alive.")
@refusing
def serve(no_refresh: bool) -> None:
    """Migrate the database and serve, until stopped."""
    settings = _settings()
    configure_logging(settings.log_level)
    with listening(settings) as listener, _made_ready(settings):
        serve_until_stopped(settings, listener, owner=getpass.getuser(), refreshes=not no_refresh)


@main.command()
@refusing
def refresh() -> None:
    """Migrate the database and keep connections alive without answering anybody, until stopped."""
    settings = _settings()
    configure_logging(settings.log_level)
    with _made_ready(settings):
        asyncio.run(refresh_until_stopped(settings))


@main.command(name="migrate")
@refusing
def migrate_command() -> None:
    """Bring the database to the form that this version needs."""
    settings = _settings()
    _prepare(settings)
    applied = asyncio.run(_migrate(settings))
    click.echo("\n".join(f"Applied {name}." for name in applied) or "Nothing to do.")


@main.group()
def users() -> None:
    """People who may sign in."""


@users.command(name="create")
@click.option("--name", required=True, help="How others see them.")
@click.option("--email", help="Their email address.")
@click.option("--administrator", is_flag=True, help="May do everything but use others' personal workspaces.")
@refusing
def create_user(name: str, email: str | None, administrator: bool) -> None:
    """Create a user with a personal workspace; print the user's id and a sign-in link."""

    async def create(patchbay: Patchbay) -> None:
        user = await patchbay.people.add_user(name=name, email=email, administrator=administrator)
        click.echo(f"Created {user.name}: {user.id}")
        click.echo(f"Sign in, once, within an hour: {await sign_in_link(patchbay, user.id)}")

    with_patchbay(_settings(), create)


@main.group()
def tokens() -> None:
    """API tokens."""


@tokens.command(name="create")
@click.option("--user", required=True, help="The user's id or email address.")
@click.option("--name", required=True, help="What the token is for.")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it lasts. Without it the token does not end.")
@refusing
def create_token(user: str, name: str, days: int | None) -> None:
    """Create an API token and print it; it is shown this once."""

    async def create(patchbay: Patchbay) -> None:
        expires_at = None if days is None else utc_now() + timedelta(days=days)
        new = await patchbay.people.add_token(await _user_id(user), name=name, expires_at=expires_at)
        click.echo(new.token.reveal())

    with_patchbay(_settings(), create)


async def sign_in_link(patchbay: Patchbay, user_id: UUID) -> str:
    link = await patchbay.people.new_sign_in_link(user_id)
    return f"{patchbay.settings.public_url}/sign-in?link={link.reveal()}"


def _settings() -> Settings:
    return Settings.from_environment(os.environ)


@contextmanager
def _made_ready(settings: Settings) -> Iterator[None]:
    """All that is needed to run: the key, the database, and on SQLite nobody else who runs upon it."""
    _prepare(settings)
    where = DatabaseUrl.parse(settings.database_url.reveal())
    with alone(where):
        if where.dialect == "sqlite" and where.file.exists():
            sqlite_file.examine_thoroughly(where.file)
        asyncio.run(_migrate(settings))
        # What is refused is told here, in a sentence; the server would tell it as a crash.
        asyncio.run(_open_once(settings))
        logger.info("database ready", extra={"database": str(where), "sqlite_version": sqlite3.sqlite_version})
        yield


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


async def _open_once(settings: Settings) -> None:
    """Opening is the work: it checks the keys, and makes them at the first start."""
    if settings.courier:
        take_room_for_courier(settings)
    async with open_patchbay(settings, serves=False, refreshes=False):
        pass


async def _user_id(user: str) -> UUID:
    """Raises BadParameter where there is no such user."""
    try:
        return UUID(user)
    except ValueError:
        found = await models.User.get_or_none(email_key=fold(user))
    if found is None:
        raise click.BadParameter(f"there is no user with the address {user}", param_hint="--user")
    return found.id
