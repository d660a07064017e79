"""The command line for the catalogue: what is in it, and whether a file may come into it."""

import sys
from pathlib import Path

import click

from api.catalog.catalog import CONNECTORS, Catalog, read_file
from api.catalog.connector import Connector, Evidence
from api.refusing import refusing


@click.group()
def connectors() -> None:
    """What can be connected."""


@connectors.command(name="list")
@click.option("--search", help="Only those that this text means.")
@click.option("--folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Further connector files, to be listed too.")
@refusing
def list_connectors(search: str | None, folder: Path | None) -> None:
    """Print every connector: its ways to authenticate, how each is verified, and what it rests on."""
    catalog = Catalog.load(CONNECTORS, *([folder] if folder else []))
    found = catalog.search(search)
    rows = [("KEY", "NAME", "CATEGORY", "WAYS TO AUTHENTICATE (VERIFIED BY)", "RESTS ON"), *(_row(connector) for connector in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 2)]
    for *columns, ways, rests_on in rows:
        padded = [text.ljust(width) for text, width in zip(columns, widths, strict=True)]
        click.echo("  ".join([*padded, rests_on.ljust(18), ways]))
    click.echo(f"{len(found)} connectors, {sum(len(connector.options) for connector in found)} ways to authenticate.")


@connectors.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def check(files: tuple[Path, ...]) -> None:
    """Check connector files, and tell every mistake by file and key."""
    readings = [read_file(file) for file in files]
    for reading in readings:
        for mistake in reading.mistakes:
            click.echo(str(mistake), err=True)
        if reading.connector is not None and not reading.mistakes:
            click.echo(f"{reading.file.name} is well: {_ways(reading.connector)}.")
    if any(reading.mistakes for reading in readings):
        sys.exit(1)


def _row(connector: Connector) -> tuple[str, str, str, str, str]:
    rests_on = connector.evidence.value if connector.evidence is Evidence.UNCONFIRMED else f"vendor{_doubts(connector)}"
    return connector.key, connector.name, connector.category, _ways(connector), rests_on


def _doubts(connector: Connector) -> str:
    return f", {len(connector.unconfirmed)} unsure" if connector.unconfirmed else ""


def _ways(connector: Connector) -> str:
    return ", ".join(f"{option.key} ({option.proof})" for option in connector.options)
