"""What is kept of a body, so that it can be sent a second time."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from api.connections.limits import CallLimits, Throttled
from api.connections.upload import TooLarge, Upload

pytestmark = pytest.mark.anyio

KIB = 1024


def giving(*pieces: bytes) -> Callable[[], Awaitable[bytes | None]]:
    left = list(pieces)

    async def take() -> bytes | None:
        return left.pop(0) if left else None

    return take


async def read(upload: Upload) -> list[bytes]:
    return [piece async for piece in upload]


async def test_a_little_body_is_read_from_the_beginning_each_time() -> None:
    upload = Upload(giving(b"a", b"b"))

    assert [await read(upload), await read(upload), await upload.whole()] == [[b"a", b"b"], [b"a", b"b"], b"ab"]
    assert (upload.is_kept, upload.length) == (True, 2)


async def test_a_body_whose_sending_was_stopped_goes_on_where_it_stood() -> None:
    upload = Upload(giving(b"a", b"b", b"c"))
    first = aiter(upload)
    stopped = [await anext(first), await anext(first)]

    assert (stopped, await read(upload)) == ([b"a", b"b"], [b"a", b"b", b"c"])


async def test_to_be_cancelled_while_it_waits_loses_nothing() -> None:
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
    upload = Upload(pieces.get)
    reading = asyncio.create_task(read(upload))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    for piece in (b"a", None):
        pieces.put_nowait(piece)

    assert await read(upload) == [b"a"]


async def test_a_long_body_is_passed_on_and_not_kept() -> None:
    pieces = [bytes(300 * KIB)] * 40
    upload, most = Upload(giving(*pieces)), 0
    passed = 0
    async for piece in upload:
        passed += len(piece)
        most = max(most, upload.kept_bytes)

    assert passed == 40 * 300 * KIB
    assert most <= KIB * KIB
    assert (upload.is_kept, upload.kept_bytes) == (False, 0)
    assert not Upload(giving(), length=KIB * KIB + 1).is_kept


@pytest.mark.parametrize("length", [None, 11])
async def test_a_body_that_is_needed_as_a_whole_may_only_be_so_long(length: int | None) -> None:
    with pytest.raises(TooLarge):
        await Upload(giving(b"12345", b"678901"), length).whole(at_most=10)

    assert await Upload(giving(b"12345", b"67890")).whole(at_most=10) == b"1234567890"


async def test_a_large_body_that_was_needed_as_a_whole_is_there_a_second_time() -> None:
    upload = Upload(giving(*[bytes(KIB * KIB)] * 3))

    assert len(await upload.whole(at_most=4 * KIB * KIB)) == 3 * KIB * KIB
    assert upload.is_kept
    assert len(await upload.whole(at_most=4 * KIB * KIB)) == 3 * KIB * KIB


def test_a_seat_is_given_back_and_a_refused_visit_takes_none() -> None:
    now = [0.0]
    limits = CallLimits(per_second=1, at_once=1, steady=lambda: now[0])
    id = uuid4()
    with limits.visit(id) as first:
        first.enter()
        first.enter()
        with pytest.raises(Throttled) as refusal, limits.visit(id) as second:
            second.enter()

    assert refusal.value.seconds == 1
    assert len(limits.seats) == 0
    with limits.visit(id) as third:
        third.enter()
        assert len(limits.seats) == 1
