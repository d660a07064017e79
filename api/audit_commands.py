"""The command line for the audit log."""

import asyncio
import os
from datetime import UTC, datetime

import click

from api.opening import open_patchbay
from api.organization.audit_log import AuditSelection
from api.refusing import refusing
from api.settings import Settings

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.group()
def audit() -> None:
    """Who did what."""


@audit.command()
@click.option("--since", type=_MOMENT, help="From this moment on, in UTC.")
@click.option("--until", type=_MOMENT, help="Before this moment, in UTC.")
@click.option("--action", help="Only this action, such as connection.rename.")
@refusing
def export(since: datetime | None, until: datetime | None, action: str | None) -> None:
    """Print the audit log as lines of JSON, oldest first."""
    settings = Settings.from_environment(os.environ)
    selection = AuditSelection(action=action, since=_utc(since), until=_utc(until))

    async def run() -> None:
        async with open_patchbay(settings, serves=False, refreshes=False) as patchbay:
            async for line in patchbay.audit_log.export(selection):
                click.echo(line)

    asyncio.run(run())


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
