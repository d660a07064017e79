"""State machines that hypothesis leads through a whole Patchbay: the common part of those, and of how many of them are led.

The short form is in the suite. The long one is a command: `python -m tests.connections.life --examples 1000 --steps 50`.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from models.database import migrate
from tests.conftest import Copies, beside, make_template, postgresql_started

World = TypeVar("World")
Result = TypeVar("Result")

# Makes a migrated, empty database, and takes it away again.
Databases = Callable[[], AbstractContextManager[str]]


class Led(RuleBasedStateMachine, Generic[World]):
    """Hypothesis leads it step by step; everything happens in one task of a loop of its own."""

    databases: Databases

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._acts: asyncio.Queue[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]] | None] = asyncio.Queue()
        self._database = type(self).databases()
        self._folder = tempfile.TemporaryDirectory()
        self._runner.run(self._begin(self._database.__enter__()))

    async def begin(self, stack: AsyncExitStack, url: str, folder: Path) -> World:
        """What the rules are about; it is closed with the stack."""
        raise NotImplementedError

    async def _begin(self, url: str) -> None:
        ready: asyncio.Future[World] = asyncio.get_running_loop().create_future()
        self._host = asyncio.ensure_future(self._serve(url, ready))
        self.world = await ready

    async def _serve(self, url: str, ready: asyncio.Future[World]) -> None:
        async with AsyncExitStack() as stack:
            try:
                ready.set_result(await self.begin(stack, url, Path(self._folder.name)))
            # As below.
            except Exception as error:
                ready.set_exception(error)
            while (given := await self._acts.get()) is not None:
                act, answer = given
                try:
                    answer.set_result(await act())
                # It is raised where the rule waits for it, and must not end the world before that is looked at.
                except Exception as error:
                    answer.set_exception(error)

    def live(self, act: Callable[[], Awaitable[Result]]) -> Result:
        async def ask() -> Result:
            answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            await self._acts.put((act, answer))
            return await answer

        return self._runner.run(ask())

    def teardown(self) -> None:
        self._runner.run(self._end())
        self._runner.close()
        self._database.__exit__(None, None, None)
        self._folder.cleanup()

    async def _end(self) -> None:
        await self._acts.put(None)
        await self._host


def lead(kind: type[Led[Any]], databases: Databases, *, examples: int, steps: int, derandomize: bool, shrinks: bool) -> None:
    """So many lives of at most so many steps; raises at the first that breaks a law. `shrinks`: look for the shortest way there."""
    machine = type(kind.__name__, (kind,), {"databases": staticmethod(databases)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@contextmanager
def sqlite_lives() -> Iterator[Databases]:
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.db"
        asyncio.run(migrate(f"sqlite://{template}"))
        yield lambda: sqlite_copy(template)


@contextmanager
def postgresql_lives() -> Iterator[Databases]:
    with postgresql_started() as server:
        asyncio.run(make_template(server, "patchbay_lives"))
        with Copies(server, "patchbay_lives") as copies:
            yield lambda: postgresql_copy(copies)


@contextmanager
def postgresql_copy(copies: Copies) -> Iterator[str]:
    name = copies.take()
    yield beside(copies.server, name)
    copies.give_back(name)


@contextmanager
def sqlite_copy(template: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "patchbay.db"
        shutil.copy(template, file)
        yield f"sqlite://{file}"


def main(kind: type[Led[Any]], *, what: str) -> None:
    parser = argparse.ArgumentParser(description=f"Lead {what} at random, and hold the laws against each step.")
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--derandomize", action="store_true", help="the same each time")
    chosen = parser.parse_args()
    started = time.monotonic()
    with sqlite_lives() if chosen.database == "sqlite" else postgresql_lives() as databases:
        lead(kind, databases, examples=chosen.examples, steps=chosen.steps, derandomize=chosen.derandomize, shrinks=True)
    print(f"{chosen.examples} {what} of {chosen.steps} steps on {chosen.database} in {time.monotonic() - started:.0f} s: no law was broken")
