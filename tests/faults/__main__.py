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
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from models.database import migrate
from tests.faults import cuts, disk, interruptions, kills, listener, outage, replicas
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


async def _outage(terms: Terms, folder: Path) -> Tally:
    """A provider that is away for four hours, on a simulated clock. A trial is a run with other chances."""
    tally, told = Tally(), []
    for seed in range(1, terms.trials + 1):
        url, connections = f"sqlite://{folder / f'outage-{seed}.db'}", terms.connections or 100_000
        await migrate(url)
        scenario = outage.Scenario(connections, connections / outage.SECONDS_FOR_ALL, timedelta(hours=4), seed=seed)
        result = await outage.simulate(scenario, url, folder)
        tally.trials += 1
        tally.falsely_broken += result.asked_to_sign_in
        told.append(result.told())
    tally.note = "; ".join(told)
    return tally


_BOTH: tuple[Kind, ...] = ("sqlite", "postgresql")
_ALONE: tuple[Kind, ...] = ("sqlite",)
_SHARED: tuple[Kind, ...] = ("postgresql",)

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill-server", 200, _BOTH, kills.kill_server),
        Fault("kill-both", 200, _BOTH, kills.kill_both),
        Fault("kill-grace", 200, _BOTH, kills.kill_grace),
        Fault("rolling", 100, _SHARED, replicas.rolling),
        Fault("restart-postgresql", 50, _SHARED, interruptions.restart_postgresql),
        Fault("cut-commit", 100, _SHARED, interruptions.cut_commit),
        Fault("cut-journal", 100, _SHARED, interruptions.cut_journal),
        Fault("disk-full", 20, _ALONE, disk.disk_full),
        Fault("outage", 3, _ALONE, _outage),
        # After each of the bytes, however many there are.
        Fault("cut-answer", 10_000, _BOTH, cuts.cut_answer),
        Fault("cut-answer-grace", 10_000, _BOTH, cuts.cut_answer_grace),
        Fault("cut-answer-family", 10_000, _BOTH, cuts.cut_answer_family),
        Fault("two-replicas", 5, _SHARED, replicas.two_replicas),
        Fault("paused", 50, _BOTH, replicas.paused),
        Fault("listener", 100, _SHARED, listener.listener),
    )
}

_COLUMNS = ("trials", "rotations", "lost", "flagged", "falsely_healthy", "falsely_broken", "duplicates")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(list(FAULTS)), metavar="[FAULT]...")
@click.option("--trials", type=click.IntRange(1), help="How many of each, instead of what the fault has.")
@click.option("--connections", type=click.IntRange(1), help="Of how many, instead of as many as the fault needs.")
@click.option("--database", "kind", type=click.Choice(_BOTH), help="Only on this one.")
@click.option("--courier", type=click.Choice(["on", "off"]), help="Whether servers have a courier; without it, as they choose.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a row, instead of a table.")
def main(names: tuple[str, ...], kind: Kind | None, as_json: bool, trials: int | None, **given: Any) -> None:
    """Do these faults to Patchbay, or all of them, and print what was lost."""
    if not as_json:
        click.echo("  ".join([f"{'fault':20}", f"{'database':10}", *_COLUMNS, "seconds"]))
    for fault in [FAULTS[name] for name in names] or FAULTS.values():
        for each in fault.databases:
            if kind in (None, each):
                began = time.monotonic()
                tally = asyncio.run(_run(fault, each, trials=trials or fault.trials, **given))
                click.echo((_line if as_json else _row)(fault, each, tally, round(time.monotonic() - began)))


async def _run(fault: Fault, kind: Kind, **given: Any) -> Tally:
    """Do one fault on one database, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="patchbay-faults-") as folder:
        async with database(kind, Path(folder)) as where:
            return await fault.act(Terms(where, **given), Path(folder))


def _row(fault: Fault, kind: Kind, tally: Tally, seconds: int) -> str:
    figures = [f"{getattr(tally, column):{len(column)}}" for column in _COLUMNS]
    return "  ".join([f"{fault.name:20}", f"{kind:10}", *figures, f"{seconds:7}", tally.note]).rstrip()


def _line(fault: Fault, kind: Kind, tally: Tally, seconds: int) -> str:
    return json.dumps({"fault": fault.name, "database": kind, **asdict(tally), "seconds": seconds})


if __name__ == "__main__":
    main()
