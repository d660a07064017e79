"""Who waits to be answered to one event: the same answer goes to all whose it is, as of once it was made."""

from collections import deque
from collections.abc import Collection
from typing import Protocol
from uuid import UUID

import models
from api.access import Actor
from api.clock import Clock
from api.events.seeing import Standing, who_see


class Answer(Protocol):
    """What an event is answered with, and for whom else that is the answer, too."""

    @property
    def payload(self) -> bytes: ...

    @property
    def is_personal(self) -> bool:
        """Whether it is nobody else's, whoever they are."""

    @property
    def folder_ids(self) -> set[UUID]:
        """What somebody may do there decides whether it is theirs."""

    def is_for(self, viewer: Standing) -> bool: ...


class Waiting:
    """Who may not see the event, or may not ask any more, waits in vain: their turn never comes."""

    def __init__(self, event: models.ConnectionEvent, actors: Collection[Actor], clock: Clock) -> None:
        self._event = event
        self._clock = clock
        self._actors = deque(actors)
        # Of those who were asked about since the last answer was made.
        self._standings: dict[Actor, Standing] = {}
        # Whether who did not see it is left out.
        self._is_narrowed = False

    async def next(self) -> tuple[Actor, Standing] | None:
        """Whose turn it is, and what they are by now; None once nobody waits."""
        while self._actors:
            first = self._actors.popleft()
            # One who sees it is enough to begin with: the others are asked about once that one's answer is made.
            standing = self._standings.get(first) or (await who_see(self._event, [first], self._clock())).get(first)
            if standing is not None:
                return first, standing
            if not self._is_narrowed:
                await self._narrow()
        return None

    async def take(self, answer: Answer) -> list[Actor]:
        """Those whose answer this is, too. They wait no more."""
        if answer.is_personal and self._is_narrowed:
            # What they were before it was made may be over.
            self._standings = {}
            return []
        # Not as of before it was made: it may tell of what came after they lost sight of it.
        await self._narrow(answer.folder_ids)
        alike = [actor for actor, standing in self._standings.items() if answer.is_for(standing)]
        self._actors = deque(self._standings.keys() - alike)
        return alike

    async def _narrow(self, beside: Collection[UUID] = ()) -> None:
        """Leave only those who see it by now, knowing what they may do beside, too."""
        self._standings = await who_see(self._event, self._actors, self._clock(), beside)
        self._actors, self._is_narrowed = deque(self._standings), True
