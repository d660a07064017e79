"""Fuzzes Patchbay, and prints what was found.

A request that is answered by a 5xx, a secret in an answer or in the log, more than a second of processor time, or anything that the
server logs as an error is a finding; then it ends with status 1, and shows what was sent.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from models.database import migrate
from tests.fuzzing import answers, asking, frames, sites
from tests.fuzzing.scene import Run
from tests.fuzzing.tally import Tally, table, watching

# What can be fuzzed, by the name of the option: how, how often where nobody says, and the option's help.
KINDS: dict[str, tuple[Callable[[Run, int], Awaitable[Tally]], int, str]] = {
    "documents": (asking.ask_documents, 1_000, "GraphQL documents of our own grammar"),
    "drawn": (asking.ask_drawn_documents, 200, "GraphQL documents that hypothesis-graphql draws"),
    "bodies": (asking.send_bodies, 5_000, "bodies that are no operation, or hardly one"),
    "frames": (frames.send_frames, 300, "sockets, with up to ten frames each"),
    "answers": (answers.read_answers, 5_000, "answers of a token endpoint, to be read"),
    "refreshes": (answers.refresh_with_answers, 200, "answers of a token endpoint, to be refreshed with"),
    "sites": (sites.try_sites, 100, "values for each field of a connector that goes into a URL"),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=(__doc__ or "").strip())
    for name, (_, count, help) in KINDS.items():
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"{help} ({count:,})")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the same number fuzzes with the same (1)")
    return parser.parse_args()


async def main(arguments: argparse.Namespace) -> int:
    with TemporaryDirectory() as folder, watching() as watch:
        template = Path(folder) / "template.db"
        await migrate(f"sqlite://{template}")
        run = Run(watch, template, arguments.seed)
        tallies = [await _one(run, name, getattr(arguments, name)) for name in KINDS if getattr(arguments, name) > 0]
    print(table(tallies))
    return 1 if any(tally.found for tally in tallies) else 0


async def _one(run: Run, name: str, count: int) -> Tally:
    tally = await KINDS[name][0](run, count)
    outcomes = sorted(tally.outcomes.items(), key=lambda outcome: -outcome[1])
    print(f"{tally.what}: " + ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes[:8]), file=sys.stderr)
    for example in tally.examples:
        print(f"  {example}", file=sys.stderr)
    return tally


if __name__ == "__main__":
    sys.exit(asyncio.run(main(_arguments())))
