"""Patchbay measured beside what it could be at best, and beside stock Strawberry: ratios from one run, as a table.

Each side is a process of its own, and so are the clients. The sides take turns within each round. A median stands before its spread.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from tests.bench.ground import ground
from tests.bench.measuring import Result, Spread, measure
from tests.bench.servers import keep_off_first_processor
from tests.bench.starting import Start, measure_start
from tests.bench.works import WORKS
from tests.faults.databases import Kind

_KINDS: tuple[Kind, ...] = ("postgresql", "sqlite")
_CLIENTS = (1, 16, 64)
_CONNECTIONS = 10_000


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice([*WORKS, "start"]), metavar="[WORK]...")
@click.option("--database", "kind", type=click.Choice(_KINDS), help="Only on this one.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="How many times each side has its turn.")
@click.option("--seconds", type=click.FloatRange(0.1), default=2.0, show_default=True, help="How long a turn is.")
@click.option("--clients", type=click.IntRange(1), multiple=True, help="How many ask at once; several times for several.")
@click.option("--connections", type=click.IntRange(100), default=_CONNECTIONS, show_default=True, help="How many there are.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a row, instead of a table.")
def main(
    names: tuple[str, ...], kind: Kind | None, rounds: int, seconds: float, clients: tuple[int, ...], connections: int, as_json: bool
) -> None:
    """Measure these works, or all: list, connection, issue, and start, which is measured on SQLite alone."""
    wanted = names or (*WORKS, "start")
    keep_off_first_processor()
    if not as_json:
        load = os.getloadavg()[0]
        click.echo(
            f"{os.cpu_count()} processors, load {load:.1f} at the beginning; {rounds} rounds of {seconds:g} s; median [lowest..highest]"
        )
        click.echo(_HEADING)

    async def measured() -> None:
        works = [name for name in wanted if name in WORKS]
        for each in [kind] if kind else _KINDS:
            async for result in _measured(works, each, clients or _CLIENTS, rounds, seconds, connections):
                click.echo(json.dumps(asdict(result)) if as_json else _row(result))
        if "start" in wanted:
            for start in await _started(rounds):
                click.echo(json.dumps(asdict(start)) if as_json else _start_row(start))

    asyncio.run(measured())


async def _measured(
    works: Sequence[str], kind: Kind, clients: Sequence[int], rounds: int, seconds: float, connections: int
) -> AsyncIterator[Result]:
    if not works:
        return
    with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as folder:
        async with ground(kind, Path(folder), connections) as here:
            for name in works:
                for result in await measure(WORKS[name], here, clients, rounds=rounds, seconds=seconds):
                    yield result


async def _started(rounds: int) -> list[Start]:
    with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as folder:
        async with ground("sqlite", Path(folder), 100) as here:
            return await measure_start(here, rounds=rounds)


_HEADING = (
    f"{'work':10}  {'database':10}  {'clients':>7}  {'side':10}  {'requests/s':>22}  {'processor µs':>22}  {'p99 ms':>22}  "
    f"{'Patchbay: by rate':>20}  {'by processor':>20}"
)


def _row(result: Result) -> str:
    figures = [_spread(each, 22, "g") for each in (result.requests_per_second, result.processor_microseconds)]
    figures.append(_spread(result.p99_milliseconds, 22, "1"))
    is_patchbay = result.side == "patchbay"
    figures += ["" if is_patchbay else _spread(each, 20, "2") for each in (result.patchbay_by_rate, result.patchbay_by_processor)]
    where = f"{result.work:10}  {result.database:10}  {result.clients:7}  {result.side:10}"
    return "  ".join([where, *figures, f"{result.failures} failed" if result.failures else ""]).rstrip()


def _start_row(start: Start) -> str:
    return (
        f"start       sqlite               {start.side:10}  first answer after {_spread(start.seconds, 0, '2')} s, "
        f"processor {_spread(start.processor_seconds, 0, '2')} s; idle: resident {_spread(start.resident_megabytes, 0, '0')} MB, "
        f"its share {_spread(start.share_megabytes, 0, '0')} MB"
    )


def _spread(spread: Spread, width: int, places: str) -> str:
    digits = "0" if places == "g" else places
    text = f"{spread.median:.{digits}f} [{spread.lowest:.{digits}f}..{spread.highest:.{digits}f}]"
    return f"{text:>{width}}"


if __name__ == "__main__":
    main()
