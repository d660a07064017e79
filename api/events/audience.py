"""Subscribers whose answers are made alike: each event is answered once for all of them whose answer is the same.

A subscriber is in an audience while it has everything that came before. Whoever does not take an event at once leaves, with the
position from which to go on alone, and so holds up nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Set
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from api.access import Actor
from api.clock import Clock
from api.events.order import EventPosition, PlacedEvent
from api.events.seeing import Standing, standing_of_each
from api.events.selection import EventSelection

# So many are written to before anybody else has a turn.
_IN_ONE_GO = 100


Events = AsyncIterator[PlacedEvent]


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
        event = placed.event
        places = {place for place in (event.folder_id, event.previous_folder_id) if place is not None}
        left = list(actors)
        # One who sees it is enough to begin with: the others are asked about once that one's answer is made.
        standings = await self._who_see(places, left[:1])
        is_narrowed = not standings
        if is_narrowed:
            standings = await self._who_see(places, left[1:])
            left = list(standings)
        while left:
            first, *left = left
            # Who waited for others' answers is asked about again: what they were may be over.
            standing = standings.get(first) or (await self._who_see(places, [first])).get(first)
            if standing is None:
                continue
            answer = await self._answer(placed, standing.actor)
            if answer.is_personal and is_narrowed:
                standings = {}
            else:
                # Not as of before it was made: it may tell of what came after they lost sight of it.
                standings = await self._who_see(places, left, answer.folder_ids)
                left, is_narrowed = list(standings), True
            alike = {actor for actor, standing in standings.items() if answer.is_for(standing)}
            yield answer.payload, [first, *alike]
            left = [actor for actor in left if actor not in alike]

    async def _who_see(self, places: Set[UUID], actors: Collection[Actor], beside: Set[UUID] = frozenset()) -> dict[Actor, Standing]:
        """Those who see one of these places, with what they may do there, and beside."""
        if not actors:
            return {}
        standings = await standing_of_each(actors, places | beside, self._clock())
        return {actor: standing for actor, standing in standings.items() if places & standing.allowed.keys()}

    async def _write(self, payload: bytes, members: list[Member]) -> None:
        for number, member in enumerate(members, start=1):
            if not member.left.done():
                if member.write(payload):
                    member.position = self.position
                else:
                    member.leave(self._settled)
            if not number % _IN_ONE_GO:
                await asyncio.sleep(0)
