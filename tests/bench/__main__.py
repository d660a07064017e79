"""Patchbay measured beside what it could be at best, and beside its peers: ratios from one run, as a table, and what they say of the goals.

Each side is a process of its own, and so are the clients. The sides take turns within each round. A median stands before its spread.
PostGraphile and Mercurius come from npm at first use, into the user's cache folder, with a Node that they run on. They and Strawberry
know nobody and check nothing.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import get_args

import click

from tests.bench.claiming import measure_all_claims
from tests.bench.fanout import measure_fanout
from tests.bench.goals import outcomes
from tests.bench.growing import measure_all_growth
from tests.bench.measuring import measure
from tests.bench.refreshing import measure_all_refreshes
from tests.bench.rows import COUNTS, Measurement, Options, Row
from tests.bench.servers import keep_off_first_processor
from tests.bench.sides import SideName
from tests.bench.starting import measure_start
from tests.bench.works import WORKS
from tests.faults.databases import Kind

# A work that is one request and one answer stands in WORKS; any other has a line here.
_OTHERS = {
    "start": Measurement("to the first answer, and idle; on SQLite", measure_start),
    "claims": Measurement("of what is due, as connections become many", measure_all_claims),
    "growth": Measurement("lists, as connections become many", measure_all_growth),
    "refresh": Measurement("tokens renewed in the background, beside bare aiohttp at the same token endpoint", measure_all_refreshes),
    "fanout": Measurement("an event to 1,000 and to 5,000 subscribers", measure_fanout),
}
_KINDS: tuple[Kind, ...] = ("postgresql", "sqlite")
_SIDES = [side for side in get_args(SideName) if side != "patchbay"]
_TOLD = {name: work.told for name, work in WORKS.items()} | {name: other.told for name, other in _OTHERS.items()}


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]}, epilog="  ".join(f"{name}: {told}." for name, told in _TOLD.items())
)
@click.argument("names", nargs=-1, type=click.Choice(list(_TOLD)), metavar="[WORK]...")
@click.option("--database", "kind", type=click.Choice(_KINDS), help="Only on this one.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="How many times each side has its turn.")
@click.option("--seconds", type=click.FloatRange(0.1), default=2.0, show_default=True, help="How long a turn is.")
@click.option(
    "--clients", type=click.IntRange(1), multiple=True, default=(1, 16, 64), show_default=True, help="How many ask at once; repeatable."
)
@click.option("--connections", type=click.IntRange(100), default=10_000, show_default=True, help="How many there are.")
@click.option("--beside", type=click.Choice(_SIDES), multiple=True, help="What Patchbay is measured beside, if not all; repeatable.")
@click.option(
    "--count",
    "counts",
    type=click.IntRange(200),
    multiple=True,
    default=COUNTS,
    show_default=True,
    help="For claims and growth, how many connections there are, from few to many; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line a row, instead of a table.")
def main(
    names: tuple[str, ...],
    kind: Kind | None,
    rounds: int,
    seconds: float,
    clients: tuple[int, ...],
    connections: int,
    beside: tuple[SideName, ...],
    counts: tuple[int, ...],
    as_json: bool,
) -> None:
    """Measure these works, or all of them.

    By rate and by processor: how many times Patchbay does what the other side does, in the same round. 1 is equal, more is better.
    By p99: how many times as long Patchbay's takes; less is better.
    """
    options = Options((kind,) if kind else _KINDS, rounds, seconds, clients, connections, beside, counts)
    keep_off_first_processor()
    wanted = names or list(_TOLD)
    asyncio.run(_print(_with_goals(_rows(wanted, options), wanted), options, as_json))


async def _rows(names: Sequence[str], options: Options) -> AsyncIterator[Row]:
    async for result in measure([WORKS[name] for name in names if name in WORKS], options):
        yield result
    for name in names:
        if name in _OTHERS:
            async for row in _OTHERS[name].rows(options):
                yield row


async def _with_goals(rows: AsyncIterator[Row], names: Sequence[str]) -> AsyncIterator[Row]:
    """What is measured, and then what that says of the goals."""
    seen: list[Row] = []
    async for row in rows:
        seen.append(row)
        yield row
    for outcome in outcomes(seen, names):
        yield outcome


async def _print(rows: AsyncIterator[Row], options: Options, as_json: bool) -> None:
    if as_json:
        async for row in rows:
            click.echo(json.dumps(asdict(row)))
        return
    machine = f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the beginning"
    click.echo(f"{machine}; {options.rounds} rounds of {options.seconds:g} s; median [lowest..highest]")
    heading = ""
    async for row in rows:
        if row.heading != heading:
            heading = row.heading
            click.echo(heading)
        click.echo(row)


if __name__ == "__main__":
    main()
