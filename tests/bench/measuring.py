"""Rounds in which the sides take turns, and what they come to."""

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from tests.bench.ground import Ground, ground
from tests.bench.load import Load, Order
from tests.bench.rows import Options, Spread
from tests.bench.servers import Server, served
from tests.bench.sides import SideName, at_hand
from tests.bench.works import Question, Work

# Whatever is made at first use, and compiled where a thing is used much, is made before the rounds.
_WARM_UP_SECONDS = 2.0
_TOLD_CHARACTERS = 1500
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one side did in one round."""

    requests_per_second: float
    # Of the server alone, a request; the machine's other work hardly changes them.
    processor_microseconds: float
    median_milliseconds: float
    p99_milliseconds: float
    failures: int


@dataclass(frozen=True, slots=True)
class Result:
    """One side of one work, for so many clients, over all rounds."""

    heading: ClassVar[str] = (
        f"{'work':10}  {'database':10}  {'clients':>7}  {'side':12}  {'requests/s':>18}  {'processor µs':>21}  {'p99 ms':>21}  "
        f"{'Patchbay: by rate':>18}  {'by processor':>18}  {'by p99':>18}"
    )

    work: str
    database: str
    clients: int
    side: SideName
    rounds: int
    seconds: float
    requests_per_second: Spread
    processor_microseconds: Spread
    median_milliseconds: Spread
    p99_milliseconds: Spread
    failures: int
    # Patchbay measured by this side, round by round: 1 where they are equal, more where Patchbay does better.
    patchbay_by_rate: Spread
    patchbay_by_processor: Spread
    # And how many times this side's p99 Patchbay's is: less is better.
    patchbay_by_p99: Spread

    def __str__(self) -> str:
        figures = [
            f"{self.requests_per_second.told(0):>18}",
            f"{self.processor_microseconds.told(0):>21}",
            f"{self.p99_milliseconds.told(1):>21}",
        ]
        if self.side != "patchbay":
            ratios = self.patchbay_by_rate, self.patchbay_by_processor, self.patchbay_by_p99
            figures += [f"{each.told(2):>18}" for each in ratios]
        if self.failures:
            figures.append(f"{self.failures} failed")
        return "  ".join([f"{self.work:10}", f"{self.database:10}", f"{self.clients:7}", f"{self.side:12}", *figures])


async def measure(works: Sequence[Work], options: Options) -> AsyncIterator[Result]:
    """All sides of these works, on each kind of database, for each number of clients.

    Raises ValueError where the sides of a work do not answer alike.
    """
    for kind in options.kinds if works else ():
        with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as folder:
            async with ground(kind, Path(folder), options.connections) as here:
                for work in works:
                    async for result in _measured(work, here, options):
                        yield result


async def _measured(work: Work, ground: Ground, options: Options) -> AsyncIterator[Result]:
    sides = work.sides(ground.kind, options.beside)
    if not options.beside:
        sides = await at_hand(sides)
    async with AsyncExitStack() as stack:
        servers = {side: await stack.enter_async_context(served(side, ground)) for side in sides}
        require_alike({side: await server.ask(work.question(side, ground)) for side, server in servers.items()})
        for count in options.clients:
            turns = {side: partial(_turn, _asked(work, ground, side, count), server) for side, server in servers.items()}
            for turn in turns.values():
                await turn(min(_WARM_UP_SECONDS, options.seconds))
            found: dict[SideName, list[Figures]] = {side: [] for side in sides}
            for number in range(options.rounds):
                # Forth and back, so that none is always the first.
                for side in sides if number % 2 == 0 else reversed(sides):
                    found[side].append(await turns[side](options.seconds))
            for side in sides:
                yield _result(work, ground, count, side, found, options.seconds)


def require_alike(answers: Mapping[SideName, Any]) -> None:
    """Raises ValueError where a side does not answer as Patchbay does: then it would be measured at something else.

    A time may be written in any way that means the same; field names that differ are told apart in the question.
    """
    for side, answer in answers.items():
        if _plain(answer) != _plain(answers["patchbay"]):
            told = json.dumps(answer)[:_TOLD_CHARACTERS], json.dumps(answers["patchbay"])[:_TOLD_CHARACTERS]
            raise ValueError(f"{side} does not answer as Patchbay does.\n{side}: {told[0]}\nPatchbay: {told[1]}")


def _plain(answer: Any) -> Any:
    """The answer, with times in place of texts that are times."""
    match answer:
        case dict():
            return {name: _plain(value) for name, value in answer.items()}
        case list():
            return [_plain(value) for value in answer]
        case str() if _TIME.fullmatch(answer):
            return datetime.fromisoformat(answer)
    return answer


def _asked(work: Work, ground: Ground, side: SideName, clients: int) -> list[Question]:
    return [work.question(side, ground, client) for client in range(clients)]


async def _turn(questions: Sequence[Question], server: Server, seconds: float) -> Figures:
    order = Order(server.port, [server.request(question) for question in questions], questions[0].expected, seconds)
    before = server.processor_seconds()
    load = await loaded(order)
    spent = server.processor_seconds() - before
    return Figures(
        load.requests / load.seconds, 1e6 * spent / load.requests, load.median_milliseconds, load.p99_milliseconds, load.failures
    )


async def loaded(order: Order) -> Load:
    """What a process of its own measured."""
    command = [sys.executable, "-m", "tests.bench.load"]
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate(json.dumps(asdict(order)).encode())
    if process.returncode:
        raise RuntimeError("the clients did not come to an end; what they said is above")
    return Load(**json.loads(output))


def _result(work: Work, ground: Ground, clients: int, side: SideName, found: dict[SideName, list[Figures]], seconds: float) -> Result:
    mine, patchbay = found[side], found["patchbay"]
    pairs = list(zip(patchbay, mine, strict=True))
    return Result(
        work=work.name,
        database=ground.kind,
        clients=clients,
        side=side,
        rounds=len(mine),
        seconds=seconds,
        requests_per_second=Spread.of([each.requests_per_second for each in mine]),
        processor_microseconds=Spread.of([each.processor_microseconds for each in mine]),
        median_milliseconds=Spread.of([each.median_milliseconds for each in mine]),
        p99_milliseconds=Spread.of([each.p99_milliseconds for each in mine]),
        failures=sum(each.failures for each in mine),
        patchbay_by_rate=Spread.of([one.requests_per_second / other.requests_per_second for one, other in pairs]),
        patchbay_by_processor=Spread.of([other.processor_microseconds / one.processor_microseconds for one, other in pairs]),
        patchbay_by_p99=Spread.of([one.p99_milliseconds / other.p99_milliseconds for one, other in pairs]),
    )
