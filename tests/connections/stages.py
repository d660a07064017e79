"""Refreshes that stop where a test wants them to, and go on when it says so: no waiting for luck, no sleeping."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

import models
from api.connections.refresher import Refresher

Result = TypeVar("Result")

_SECONDS = 10


class Stage(StrEnum):
    BEFORE_THE_INTENT = "before the intent"
    BEFORE_THE_REQUEST = "before the request"
    BEFORE_THE_JOURNAL = "after the answer, before the journal"
    BEFORE_THE_SAVE = "before the save"
    BEFORE_THE_VERDICT = "after a refusal, before it is written down"
    BEFORE_BLOCKED = "after something on our side stopped it, before that is written down"


class Stages:
    """Stops attempts of one refresher, each at the stage that was named for its connection."""

    def __init__(self, refresher: Refresher) -> None:
        self._stops: dict[tuple[UUID, Stage], _Stop] = {}
        self.waiting = asyncio.Event()
        self._watch(refresher._journal, "begin", Stage.BEFORE_THE_INTENT, lambda arguments: arguments[0].id)
        self._watch(refresher._renewals, "_ask", Stage.BEFORE_THE_REQUEST, lambda arguments: arguments[0].connection.id)
        self._watch(refresher._journal, "answer", Stage.BEFORE_THE_JOURNAL, lambda arguments: arguments[0].intent.row.connection_id)
        self._watch(refresher._outcomes, "renewed", Stage.BEFORE_THE_SAVE, lambda arguments: arguments[0].connection.id)
        self._watch(refresher._outcomes, "failed", Stage.BEFORE_THE_VERDICT, lambda arguments: arguments[0].connection.id)
        self._watch(refresher._outcomes, "blocked", Stage.BEFORE_BLOCKED, lambda arguments: arguments[0].connection_id)
        self._watch(refresher._outcomes, "blocked_by_app", Stage.BEFORE_BLOCKED, lambda arguments: arguments[0].connection.id)
        self._note_who_waits(refresher)

    def stop(self, connection: models.Connection, stage: Stage) -> None:
        """Stop the next attempt at this connection there."""
        self._stops[connection.id, stage] = _Stop()

    async def reached(self) -> None:
        """Wait until every attempt that is to stop has stopped."""
        async with asyncio.timeout(_SECONDS):
            for stop in self._stops.values():
                await stop.reached.wait()

    def release(self) -> None:
        for stop in self._stops.values():
            stop.released.set()
        self._stops.clear()

    def _watch(self, owner: object, name: str, stage: Stage, whose: Callable[[Any], UUID]) -> None:
        real: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def watched(*arguments: Any, **named: Any) -> Any:
            stop = self._stops.get((whose(arguments), stage))
            if stop is not None:
                stop.reached.set()
                await stop.released.wait()
            return await real(*arguments, **named)

        setattr(owner, name, watched)

    def _note_who_waits(self, refresher: Refresher) -> None:
        real = refresher._wait_for_lease

        async def noted(connection_id: UUID) -> Any:
            self.waiting.set()
            return await real(connection_id)

        setattr(refresher, "_wait_for_lease", noted)  # noqa: B010


class _Stop:
    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.released = asyncio.Event()
