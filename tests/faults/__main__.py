"""The fault campaign: what Patchbay loses when it is killed, starved or cut off, as one table.

A strict provider runs as a process of its own, a supervisor starts Patchbay as people run it and does the harm, and a checker compares
what the provider knows with what Patchbay's database holds.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from tests.faults import interruptions, kills
from tests.faults.checker import Tally
from tests.faults.databases import Kind, database
from tests.faults.supervisor import Terms

Act = Callable[[Terms, Path], Awaitable[Tally]]


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    trials: int
    databases: tuple[Kind, ...]
    act: Act


_BOTH: tuple[Kind, ...] = ("sqlite", "postgresql")
_SHARED: tuple[Kind, ...] = ("postgresql",)

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill-server", 200, _BOTH, kills.kill_server),
        Fault("kill-both", 200, _BOTH, kills.kill_both),
        Fault("kill-grace", 200, _BOTH, kills.kill_grace),
        Fault("restart-postgresql", 50, _SHARED, interruptions.restart_postgresql),
        Fault("cut-commit", 100, _SHARED, interruptions.cut_commit),
        Fault("cut-journal", 100, _SHARED, interruptions.cut_journal),
    )
}

_COLUMNS = ("trials", "rotations", "lost", "flagged", "falsely_healthy", "falsely_broken", "duplicates")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(list(FAULTS)), metavar="[FAULT]...")
@click.option("--trials", type=click.IntRange(1), help="How many of each, instead of what the fault has.")
@click.option("--database", "kind", type=click.Choice(_BOTH), help="Only on this one.")
@click.option("--courier", type=click.Choice(["on", "off"]), help="Whether servers have a courier; without it, as they choose.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a row, instead of a table.")
def main(names: tuple[str, ...], trials: int | None, kind: Kind | None, courier: str | None, as_json: bool) -> None:
    """Do these faults to Patchbay, or all of them, and print what was lost."""
    if not as_json:
        click.echo("  ".join([f"{'fault':20}", f"{'database':10}", *_COLUMNS, "seconds"]))
    for fault in [FAULTS[name] for name in names] or FAULTS.values():
        for each in fault.databases:
            if kind in (None, each):
                _print(fault, each, trials or fault.trials, courier, as_json=as_json)


def _print(fault: Fault, kind: Kind, trials: int, courier: str | None, *, as_json: bool) -> None:
    began = time.monotonic()
    tally = asyncio.run(_run(fault, kind, trials, courier))
    seconds = round(time.monotonic() - began)
    if as_json:
        click.echo(json.dumps({"fault": fault.name, "database": kind, **asdict(tally), "seconds": seconds}))
        return
    figures = [f"{getattr(tally, column):{len(column)}}" for column in _COLUMNS]
    click.echo("  ".join([f"{fault.name:20}", f"{kind:10}", *figures, f"{seconds:7}", tally.note]).rstrip())


async def _run(fault: Fault, kind: Kind, trials: int, courier: str | None) -> Tally:
    """Do one fault on one database, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="patchbay-faults-") as folder:
        async with database(kind, Path(folder)) as where:
            return await fault.act(Terms(where, trials, courier), Path(folder))


if __name__ == "__main__":
    main()
