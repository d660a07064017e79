"""The command line for what works without the server's doors."""

import asyncio
import os

import click

from api.logs import configure_logging
from api.making_ready import made_ready, migrated
from api.refreshing import refresh_until_stopped
from api.refusing import refusing
from api.settings import Settings


@click.command()
@refusing
def refresh() -> None:
    """Migrate the database and keep connections alive without answering anybody, until stopped."""
    settings = Settings.from_environment(os.environ)
    configure_logging(settings.log_level)
    with made_ready(settings):
        asyncio.run(refresh_until_stopped(settings))


@click.command(name="migrate")
@refusing
def migrate_command() -> None:
    """Bring the database to the form that this version needs."""
    applied = migrated(Settings.from_environment(os.environ))
    click.echo("\n".join(f"Applied {name}." for name in applied) or "Nothing to do.")
