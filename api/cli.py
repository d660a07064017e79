"""The command line: each command by its name, and imported when it is given."""

import gc
import sys
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import click


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a command is, and what its first sentence says, for the list of all."""

    module: str
    name: str
    says: str


# To import all of them takes most of a second.
_PLACES = {
    "audit": _Place("api.audit_commands", "audit", "Who did what."),
    "backup": _Place("api.backup_commands", "backup", "Copy the SQLite database into a new FILE, also while it is served."),
    "connectors": _Place("api.connector_commands", "connectors", "What can be connected."),
    "keys": _Place("api.key_commands", "keys", "Master keys, and the keys of the database that they wrap."),
    "migrate": _Place("api.refresh_commands", "migrate_command", "Bring the database to the form that this version needs."),
    "refresh": _Place(
        "api.refresh_commands", "refresh", "Migrate the database and keep connections alive without answering anybody, until stopped."
    ),
    "restore": _Place(
        "api.backup_commands", "restore", "Put a backup where the SQLite database is, while no server runs; before that, look it through."
    ),
    "serve": _Place("api.serve_commands", "serve", "Migrate the database and serve, until stopped."),
    "tokens": _Place("api.user_commands", "tokens", "API tokens."),
    "users": _Place("api.user_commands", "users", "People who may sign in."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _PLACES.get(cmd_name)
        if place is None:
            return None
        command: click.Command = getattr(_imported(place.module), place.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _PLACES[name].says) for name in self.list_commands(ctx)])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Patchbay keeps people's connections to other companies' services alive."""


def _imported(module: str) -> ModuleType:
    """Nothing that is imported becomes garbage: to look for it there takes a sixth of the start."""
    if module in sys.modules:
        return sys.modules[module]
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        gc.enable()
