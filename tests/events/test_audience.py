"""Who is in an audience."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest

import models
from api.access import Actor
from api.events.audience import Audience, Member
from api.events.order import EventPosition, PlacedEvent
from api.events.seeing import Standing
from api.events.selection import EventSelection
from models import Permission
from tests.events.test_feed import append, settled, shared_folder
from tests.installation import Installation

pytestmark = pytest.mark.anyio


@dataclass
class Told:
    """An answer, and whether it is everybody's."""

    payload: bytes
    is_shared: bool
    is_personal: bool = False
    folder_ids: set[UUID] = field(default_factory=set)

    def is_for(self, viewer: Standing) -> bool:
        return self.is_shared


async def lose_the_grant(here: Installation, actor: Actor) -> None:
    await models.FolderGrant.filter(user_id=actor.user_id).delete()


async def be_deactivated(here: Installation, actor: Actor) -> None:
    await here.patchbay.people.deactivate(here.ada, actor.user_id)


SAME, OWN = Told(b"", is_shared=True), Told(b"", is_shared=False)


@pytest.mark.parametrize("lose", [lose_the_grant, be_deactivated])
@pytest.mark.parametrize("kind", [SAME, OWN, replace(OWN, is_personal=True)], ids=["same", "own", "personal"])
async def test_who_loses_the_folder_while_another_is_answered_is_told_nothing(
    here: Installation, kind: Told, lose: Callable[[Installation, Actor], Awaitable[None]]
) -> None:
    """What is answered may be newer than what they saw."""
    people = [await here.add_person(name) for name in ("Ben", "Cleo", "Dan")]
    folder = await shared_folder("Sales")
    for actor in people:
        await models.FolderGrant.create(folder=folder, user_id=actor.user_id, permissions=Permission.VIEW)
    await append(folder.id, "Old")
    await settled(here, 1)
    (placed,) = await here.patchbay.feed._order.after(EventPosition(0, 0))
    made: list[Actor] = []

    async def answer(placed: PlacedEvent, actor: Actor) -> Told:
        made.append(actor)
        for other in people:
            if other not in made:
                await lose(here, other)
        return replace(kind, payload=actor.name.encode(), folder_ids={here.workspace})

    audience = Audience(EventSelection(), answer, here.clock, EventPosition(0, 0))
    told = [(payload, actors) async for payload, actors in audience._answers(placed, people)]

    assert told == [(made[0].name.encode(), [made[0]])]
    assert len(made) == 1


async def test_what_was_read_by_a_member_itself_is_neither_answered_nor_written_to_it_again(here: Installation) -> None:
    """The log is ahead of what is told of it where no notice comes."""
    await append(here.workspace, "Any")
    await settled(here, 1)
    (placed,) = await here.patchbay.feed._order.after(EventPosition(0, 0))
    answered: list[int] = []
    written: list[bytes] = []

    async def answer(placed: PlacedEvent, actor: Actor) -> Told:
        answered.append(placed.position.id)
        return Told(str(placed.position.id).encode(), is_shared=True)

    async def events() -> AsyncIterator[PlacedEvent]:
        for number in (4, 5, 6, 7):
            yield PlacedEvent(EventPosition(1, number), placed.event)

    def write(payload: bytes) -> bool:
        written.append(payload)
        return True

    audience = Audience(EventSelection(), answer, here.clock, EventPosition(1, 3))
    member = Member(here.ada, write, EventPosition(1, 5))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(audience.keep(member))
        await asyncio.sleep(0)
        await audience.attend(events())
        audience.end()

    assert answered == [6, 7]
    assert written == [b"6", b"7"]
    assert member.position == EventPosition(1, 7)
