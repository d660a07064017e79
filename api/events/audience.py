"""Subscribers whose answers are made alike: each event is answered once for all of them whose answer is the same.

A subscriber is in an audience while it has everything that came before. Whoever does not take an event at once leaves, with the
position from which to go on alone, and so holds up nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass

from api.access import Actor
from api.clock import Clock
from api.events.order import EventPosition, PlacedEvent
from api.events.selection import EventSelection
from api.events.waiting import Answer, Waiting

# So many are written to before anybody else has a turn.
_IN_ONE_GO = 100

Events = AsyncIterator[PlacedEvent]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How events reach a subscriber that keeps up, without waking it. `key`: the same for those whose answers are made alike."""

    key: Hashable
    answer: Callable[[PlacedEvent, Actor], Awaitable[Answer]]
    # Whether it was taken; where not, nothing of it was.
    write: Callable[[bytes], bool]


class Member:
    """A subscriber in an audience. `position`: it has what came up to there, as far as it was to have it."""

    __slots__ = ("actor", "left", "position", "write")

    def __init__(self, actor: Actor, write: Callable[[bytes], bool], position: EventPosition) -> None:
        self.actor = actor
        self.write = write
        self.position = position
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def leave(self, settled: EventPosition) -> None:
        """`settled`: up to where the audience was done with everybody."""
        if not self.left.done():
            self.position = max(self.position, settled)
            self.left.set_result(None)


class Audience:
    """All whose answers are made alike. `position`: of the event that is being answered, or was last."""

    def __init__(
        self,
        selection: EventSelection,
        answer: Callable[[PlacedEvent, Actor], Awaitable[Answer]],
        clock: Clock,
        position: EventPosition,
    ) -> None:
        self.position = position
        self.is_over = False
        self._settled = position
        self._selection = selection
        self._answer = answer
        self._clock = clock
        self._members: dict[Actor, set[Member]] = {}

    async def keep(self, member: Member) -> None:
        """Write to a member until it leaves, which has everything up to the position of the audience."""
        mine = self._members.setdefault(member.actor, set())
        mine.add(member)
        try:
            await member.left
        finally:
            mine.discard(member)
            if not mine:
                del self._members[member.actor]

    async def attend(self, events: Events) -> None:
        """Answer these events one after the other."""
        async for placed in events:
            self.position = placed.position
            if self._selection.includes(placed.event):
                await self._show(placed)
            self._settled = placed.position

    def end(self) -> None:
        """All members leave, and nobody comes any more."""
        self.is_over = True
        for mine in self._members.values():
            for member in mine:
                member.leave(self._settled)

    async def _show(self, placed: PlacedEvent) -> None:
        # Who joins from now on has it already, and so may who read the log by themselves: it is ahead of what is told of it.
        behind = {actor: [member for member in mine if member.position < placed.position] for actor, mine in self._members.items()}
        members = {actor: mine for actor, mine in behind.items() if mine}
        async for payload, actors in self._answers(placed, members):
            for actor in actors:
                await self._write(payload, members[actor])

    async def _answers(self, placed: PlacedEvent, actors: Collection[Actor]) -> AsyncIterator[tuple[bytes, list[Actor]]]:
        """Each answer, with those whose it is. Who may not see the event, or may not ask any more, is with none."""
        waiting = Waiting(placed.event, actors, self._clock)
        while (found := await waiting.next()) is not None:
            first, standing = found
            answer = await self._answer(placed, standing.actor)
            yield answer.payload, [first, *await waiting.take(answer)]

    async def _write(self, payload: bytes, members: list[Member]) -> None:
        for number, member in enumerate(members, start=1):
            if not member.left.done():
                if member.write(payload):
                    member.position = self.position
                else:
                    member.leave(self._settled)
            if not number % _IN_ONE_GO:
                await asyncio.sleep(0)
