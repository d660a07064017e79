"""The command line for people and their tokens."""

import os
from datetime import timedelta
from uuid import UUID

import click

import models
from api.clock import utc_now
from api.patchbay import Patchbay
from api.reaching import with_patchbay
from api.refusing import refusing
from api.settings import Settings
from models import fold


@click.group()
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
        click.echo(f"Sign in, once, within an hour: {await _sign_in_link(patchbay, user.id)}")

    with_patchbay(Settings.from_environment(os.environ), create)


@click.group()
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

    with_patchbay(Settings.from_environment(os.environ), create)


async def _sign_in_link(patchbay: Patchbay, user_id: UUID) -> str:
    link = await patchbay.people.new_sign_in_link(user_id)
    return f"{patchbay.settings.public_url}/sign-in?link={link.reveal()}"


async def _user_id(user: str) -> UUID:
    """Raises BadParameter where there is no such user."""
    try:
        return UUID(user)
    except ValueError:
        found = await models.User.get_or_none(email_key=fold(user))
    if found is None:
        raise click.BadParameter(f"there is no user with the address {user}", param_hint="--user")
    return found.id
