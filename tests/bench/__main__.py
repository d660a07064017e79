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
_START = "start"
_TOLD = "  ".join([*(f"{work.name}: {work.told}." for work in WORKS.values()), f"{_START}: to the first answer, and idle; on SQLite."])


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_TOLD)
@click.argument("names", nargs=-1, type=click.Choice([*WORKS, _START]), metavar="[WORK]...")
@click.option("--database", "kind", type=click.Choice(_KINDS), help="Only on this one.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="How many times each side has its turn.")
@click.option("--seconds", type=click.FloatRange(0.1), default=2.0, show_default=True, help="How long a turn is.")
@click.option("--clients", type=click.IntRange(1), multiple=True, help="How many ask at once; several times for several.")
@click.option("--connections", type=click.IntRange(100), default=10_000, show_default=True, help="How many there are.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a row, instead of a table.")
def main(
    names: tuple[str, ...], kind: Kind | None, rounds: int, seconds: float, clients: tuple[int, ...], connections: int, as_json: bool
) -> None:
    """Measure these works, or all of them.

    By rate and by processor: how many times Patchbay does what the other side does, in the same round. 1 is equal, more is better.
    """
    wanted = names or (*WORKS, _START)
    keep_off_first_processor()
    if not as_json:
        machine = f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the beginning"
        click.echo(f"{machine}; {rounds} rounds of {seconds:g} s; median [lowest..highest]")
        click.echo(_HEADING)

    async def measured() -> None:
        works = [name for name in wanted if name in WORKS]
        for each in [kind] if kind else _KINDS:
            async for result in _measured(works, each, clients or _CLIENTS, rounds, seconds, connections):
                click.echo(json.dumps(asdict(result)) if as_json else _row(result))
        if _START in wanted:
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
                async for result in measure(WORKS[name], here, clients, rounds=rounds, seconds=seconds):
                    yield result


async def _started(rounds: int) -> list[Start]:
    with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as folder:
        async with ground("sqlite", Path(folder), 100) as here:
            return await measure_start(here, rounds=rounds)


_HEADING = (
    f"{'work':10}  {'database':10}  {'clients':>7}  {'side':10}  {'requests/s':>18}  {'processor µs':>21}  {'p99 ms':>21}  "
    f"{'Patchbay: by rate':>18}  {'by processor':>18}"
)


def _row(result: Result) -> str:
    figures = [
        f"{_told(result.requests_per_second, 0):>18}",
        f"{_told(result.processor_microseconds, 0):>21}",
        f"{_told(result.p99_milliseconds, 1):>21}",
    ]
    if result.side != "patchbay":
        figures += [f"{_told(each, 2):>18}" for each in (result.patchbay_by_rate, result.patchbay_by_processor)]
    if result.failures:
        figures.append(f"{result.failures} failed")
    return "  ".join([f"{result.work:10}", f"{result.database:10}", f"{result.clients:7}", f"{result.side:10}", *figures])


def _start_row(start: Start) -> str:
    return (
        f"{start.work:10}  {start.database:10}  {'':7}  {start.side:10}  first answer after {_told(start.seconds, 2)} s, "
        f"processor {_told(start.processor_seconds, 2)} s; idle: resident {_told(start.resident_megabytes, 0)} MB, "
        f"its share {_told(start.share_megabytes, 0)} MB"
    )


def _told(spread: Spread, places: int) -> str:
    return f"{spread.median:.{places}f} [{spread.lowest:.{places}f}..{spread.highest:.{places}f}]"


if __name__ == "__main__":
    main()
