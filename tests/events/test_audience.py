"""Who is in an audience."""

from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import pytest

from api.access import Actor
from api.events.audience import Audience, Member
from api.events.order import EventPosition
from api.events.selection import EventSelection

pytestmark = pytest.mark.anyio


async def test_what_a_member_read_by_itself_is_not_written_to_it_again() -> None:
    """The log is ahead of what is told of it where no notice comes."""
    written: list[bytes] = []

    def write(payload: bytes) -> bool:
        written.append(payload)
        return True

    nobody = cast(Any, None)
    audience = Audience(EventSelection(), nobody, nobody, nobody, EventPosition(1, 4))
    member = Member(Actor(uuid4(), "Ada"), write, EventPosition(1, 5))

    for number in (4, 5, 6, 7):
        audience.position = replace(audience.position, id=number)
        await audience._write(str(number).encode(), [member])

    assert written == [b"6", b"7"]
    assert member.position == EventPosition(1, 7)
