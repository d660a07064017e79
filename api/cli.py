"""The command line: `patchbay serve`, and what an operator sets up."""

import asyncio
import getpass
import os
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec
from uuid import UUID

import click

import models
from api.clock import utc_now
from api.errors import PatchbayError, StartRefused
from api.logs import configure_logging
from api.patchbay import Patchbay, key_file, load_catalog, master_keys, open_patchbay
from api.serving import serve_until_stopped
from api.settings import Settings
from api.vault.keys import create_key_file, generate_key_text
from models import fold
from models.database import CorruptDatabase, InvalidDatabaseUrl, MigrationBroke, migrate

# sysexits.h: EX_CONFIG, something was found in an unconfigured or misconfigured state.
_REFUSED = 78

Parameters = ParamSpec("Parameters")


def _refusing(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Tell an expected failure in its own words, and end with the exit code that says which kind it is."""

    @wraps(command)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (StartRefused, CorruptDatabase, InvalidDatabaseUrl, MigrationBroke) as error:
            _complain(error)
            sys.exit(_REFUSED)
        except PatchbayError as error:
            _complain(error)
            sys.exit(1)

    return wrapper


def _complain(error: Exception) -> None:
    click.echo(str(error), err=True)
    if isinstance(error, PatchbayError) and error.remedy:
        click.echo(error.remedy, err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Patchbay keeps people's connections to other companies' services alive."""


@main.command()
@_refusing
def serve() -> None:
    """Migrate the database and serve, until stopped."""
    settings = _settings()
    configure_logging(settings.log_level)
    made = _prepare(settings)
    if made is not None:
        click.echo(f"Made a master key in {made}. Whoever has it can open every stored secret; without it nobody can. Back it up apart.")
    asyncio.run(_migrate(settings))
    serve_until_stopped(settings, owner=getpass.getuser())


@main.command(name="migrate")
@_refusing
def migrate_command() -> None:
    """Bring the database to the form that this version needs."""
    settings = _settings()
    applied = asyncio.run(_migrate(settings))
    click.echo("\n".join(f"Applied {name}." for name in applied) or "Nothing to do.")


@main.group()
def users() -> None:
    """People who may sign in."""


@users.command(name="create")
@click.option("--name", required=True, help="How others see them.")
@click.option("--email", help="Their email address.")
@click.option("--administrator", is_flag=True, help="May do everything but use others' personal workspaces.")
@_refusing
def create_user(name: str, email: str | None, administrator: bool) -> None:
    """Create a user with a personal workspace; print the user's id and a sign-in link."""

    async def create(patchbay: Patchbay) -> None:
        user = await patchbay.people.add_user(name=name, email=email, administrator=administrator)
        click.echo(f"Created {user.name}: {user.id}")
        click.echo(f"Sign in, once, within an hour: {await sign_in_link(patchbay, user.id)}")

    _with_patchbay(create)


@main.group()
def tokens() -> None:
    """API tokens."""


@tokens.command(name="create")
@click.option("--user", required=True, help="The user's id or email address.")
@click.option("--name", required=True, help="What the token is for.")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it lasts. Without it the token does not end.")
@_refusing
def create_token(user: str, name: str, days: int | None) -> None:
    """Create an API token and print it; it is shown this once."""

    async def create(patchbay: Patchbay) -> None:
        expires_at = None if days is None else utc_now() + timedelta(days=days)
        new = await patchbay.people.add_token(await _user_id(user), name=name, expires_at=expires_at)
        click.echo(new.token.reveal())

    _with_patchbay(create)


@main.group()
def keys() -> None:
    """Master keys."""


@keys.command()
@click.option("--id", "key_id", default="k1", show_default=True, help="The key's name, to tell it from later ones.")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Write it to this new file with mode 0600; else it is printed.")
@_refusing
def generate(key_id: str, path: Path | None) -> None:
    """Make a new master key."""
    if path is None:
        click.echo(generate_key_text(key_id))
        return
    create_key_file(path, key_id)
    click.echo(f"Made a master key in {path}.")


async def sign_in_link(patchbay: Patchbay, user_id: UUID) -> str:
    link = await patchbay.people.new_sign_in_link(user_id)
    return f"{patchbay.settings.public_url}/sign-in?link={link.reveal()}"


def _settings() -> Settings:
    return Settings.from_environment(os.environ)


def _prepare(settings: Settings) -> Path | None:
    """Make the data folder; for the local default make its key, and tell where. Raises StartRefused before anything is written."""
    load_catalog(settings)
    path = key_file(settings)
    if settings.keys is None and settings.is_local_default and not path.exists():
        settings.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_key_file(path)
        return path
    master_keys(settings)
    settings.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return None


async def _migrate(settings: Settings) -> list[str]:
    return await migrate(settings.database_url.reveal())


async def _user_id(user: str) -> UUID:
    """Raises BadParameter where there is no such user."""
    try:
        return UUID(user)
    except ValueError:
        found = await models.User.get_or_none(email_key=fold(user))
    if found is None:
        raise click.BadParameter(f"there is no user with the address {user}", param_hint="--user")
    return found.id


def _with_patchbay(act: Callable[[Patchbay], Coroutine[Any, Any, None]]) -> None:
    """Run one command on an open Patchbay that refreshes nothing."""
    settings = _settings()

    async def run() -> None:
        async with open_patchbay(settings, refreshes=False) as patchbay:
            await act(patchbay)

    asyncio.run(run())
