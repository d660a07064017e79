"""Expected failures, told on the command line in their own words."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

from api.errors import PatchbayError, StartRefused
from models.database import CorruptDatabase, InvalidDatabaseUrl, MigrationBroke

# sysexits.h: EX_CONFIG, something was found in an unconfigured or misconfigured state.
_REFUSED = 78

Parameters = ParamSpec("Parameters")


def refusing(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
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
