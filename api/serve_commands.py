"""The command line for the server."""

import getpass
import os

import click

from api.logs import configure_logging
from api.making_ready import made_ready
from api.refusing import refusing
from api.serving import listening, serve_until_stopped
from api.settings import Settings


@click.command()
@click.option("--no-refresh", is_flag=True, help="Answer only, and leave it to other processes to keep connections alive.")
@refusing
def serve(no_refresh: bool) -> None:
    """Migrate the database and serve, until stopped."""
    settings = Settings.from_environment(os.environ)
    configure_logging(settings.log_level)
    with listening(settings) as listener, made_ready(settings):
        serve_until_stopped(settings, listener, owner=getpass.getuser(), refreshes=not no_refresh)
