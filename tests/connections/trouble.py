"""What goes wrong around a connection, in the hands of a test: a provider that waits or says something else, a process that dies."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from api.opening import open_patchbay
from api.patchbay import Patchbay
from api.sandbox.provider import Answer
from models import Sealed
from tests.installation import Installation

_SECONDS = 5
# What the vault never opens, anywhere.
NEVER_SEALED = Sealed(b"\xc1\x01" + bytes(60))


class Endpoint:
    """An endpoint of the sandbox that counts what it is asked, and may hold an answer back or say something else."""

    def __init__(self, real: Callable[[Any], Answer]) -> None:
        self.asked = 0
        # In place of doing anything; and a change to what is answered once it is done.
        self.says: Answer | None = None
        self.edits: Callable[[Answer], Answer] | None = None
        self._real = real
        self._holds: list[Hold] = []

    def __call__(self, request: Any) -> Answer:
        """The sandbox calls this in a thread."""
        self.asked += 1
        hold = self._holds.pop(0) if self._holds else None
        answer = self.says or self._real(request)
        if hold is not None:
            hold.wait()
        return self.edits(answer) if self.edits else answer

    @contextmanager
    def holding(self) -> Iterator["Hold"]:
        """Hold the next answer back, after the provider did what it was asked to, for as long as this lasts."""
        hold = Hold()
        self._holds.append(hold)
        try:
            yield hold
        finally:
            hold.release()


class Hold:
    """An answer on its way."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reached = asyncio.Event()
        self._released = threading.Event()

    async def reached(self) -> None:
        async with asyncio.timeout(_SECONDS):
            await self._reached.wait()

    async def is_reached(self) -> bool:
        return self._reached.is_set()

    def release(self) -> None:
        self._released.set()

    def wait(self) -> None:
        self._loop.call_soon_threadsafe(self._reached.set)
        self._released.wait(2 * _SECONDS)


def refuses(error: str, description: str = "", *, status: int = 400) -> Answer:
    """A refusal of RFC 6749 section 5.2."""
    return Answer(status, {"error": error, "error_description": description})


@asynccontextmanager
async def another_server(here: Installation) -> AsyncIterator[Patchbay]:
    """A second Patchbay on the same database, with connections to it of its own."""
    async with open_patchbay(here.patchbay.settings, clock=here.clock, chance=random.Random(2)) as patchbay:
        with here.patchbay.database.entered():
            yield patchbay


async def tick(patchbay: Patchbay) -> None:
    """One tick of one of several servers, and all that it begins."""
    with patchbay.database.entered():
        await patchbay.refresh_loop.tick()
        await patchbay.refresher.settled()


async def kill(here: Installation) -> None:
    """End every attempt where it is, without another word: what is left of it is in the database."""
    for attempt in list(here.patchbay.refresher._tasks._attempts.values()):
        attempt.cancel()
    await here.patchbay.refresher.settled()


@asynccontextmanager
async def dying_before_the_save(here: Installation, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The process dies in here as soon as a provider's answer is in the journal, and nothing of it anywhere else."""
    reached = asyncio.Event()

    async def never(*_: object, **__: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(here.patchbay.refresher._outcomes, "renewed", never)
        yield
        async with asyncio.timeout(_SECONDS):
            await reached.wait()
        await kill(here)
