"""The servers of the sides: processes of their own, on a processor of their own where there are two. Linux tells what they used."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.acceptance.processes import Program, free_port, running, until
from tests.bench.ground import Ground
from tests.bench.sides import ENVIRONMENT, SideName, command
from tests.bench.works import Question

_READY_SECONDS = 60
_FIRST_PROCESSOR = min(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Server:
    side: str
    port: int
    token: str = field(repr=False)
    program: Program = field(repr=False)

    def request(self, question: Question) -> str:
        return question.request(self.port, self.token)

    async def ask(self, question: Question) -> Any:
        """Its answer. Raises ValueError where it is not the right one."""
        async with httpx2.AsyncClient(timeout=_READY_SECONDS) as client:
            answer = await client.post(
                f"http://127.0.0.1:{self.port}{question.path}",
                json=question.body,
                headers={"Authorization": f"Bearer {self.token}"},
            )
        if answer.status_code != 200 or question.expected not in answer.text:
            raise ValueError(
                f"{self.side} answered {answer.status_code} to {question.path}: {answer.text[:500]}\n{self.program.log[-3000:]}"
            )
        return answer.json()

    def processor_seconds(self) -> float:
        """How long its threads have been running on a processor, as far as they still are."""
        process = Path(f"/proc/{self.program.process_id}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in process.iterdir()) / 1e9

    def memory(self) -> tuple[float, float]:
        """In megabytes: what is resident, and its share of that, where some is used by other processes too."""
        lines = Path(f"/proc/{self.program.process_id}/smaps_rollup").read_text().splitlines()
        sizes = {line.split(":")[0]: line.split() for line in lines[1:]}
        return int(sizes["Rss"][1]) / 1024, int(sizes["Pss"][1]) / 1024


@asynccontextmanager
async def served(side: SideName, ground: Ground) -> AsyncIterator[Server]:
    """A side, answering, for as long as this lasts."""
    port = free_port()
    environment = ground.environment | ENVIRONMENT | {"PATCHBAY_PORT": str(port)}
    async with serving(await command(side, port, ground), port, ground, environment, side=side) as server:
        yield server


@asynccontextmanager
async def serving(program: Sequence[str], port: int, ground: Ground, environment: dict[str, str], *, side: str) -> AsyncIterator[Server]:
    """Whatever this starts, answering at this port, for as long as this lasts."""
    async with running(*program, words=ground.folder / f"{side}-{port}", environment=environment) as started:
        _keep_on_first_processor(started)

        async def look() -> bool:
            assert started.runs, f"{side} ended:\n{started.log[-3000:]}"
            return await _listens(port)

        await until(look, within=_READY_SECONDS)
        _keep_on_first_processor(started)
        yield Server(side, port, ground.token.reveal(), started)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _keep_on_first_processor(program: Program) -> None:
    """With the threads that it has by now; those to come go where the one is that starts them."""
    for task in Path(f"/proc/{program.process_id}/task").iterdir():
        # It may have ended.
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), {_FIRST_PROCESSOR})


def keep_off_first_processor() -> None:
    """This process, and all that it starts from now on but servers, leave one processor to those."""
    if others := os.sched_getaffinity(0) - {_FIRST_PROCESSOR}:
        os.sched_setaffinity(0, others)
