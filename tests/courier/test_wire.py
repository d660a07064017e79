"""Messages between server and courier, however their bytes come."""

import asyncio
import os
from typing import Any

import pytest

from api.courier.wire import Inbox, Outbox, frame

pytestmark = pytest.mark.anyio

MESSAGES = [{"say": "settle", "sequences": list(range(number))} for number in (0, 3, 300)]


def heard(data: bytes) -> Inbox:
    """An end that was told this, and then no more."""
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return Inbox(reader)


@pytest.mark.parametrize("piece", [1, 3, 7, 1000, 1_000_000])
async def test_messages_are_the_same_in_whichever_pieces_they_come(piece: int) -> None:
    reader, data = asyncio.StreamReader(), b"".join(frame(message) for message in MESSAGES)
    inbox = Inbox(reader)
    # It reads while they come.
    hearing = asyncio.ensure_future(_hear(inbox, len(MESSAGES)))
    for begin in range(0, len(data), piece):
        reader.feed_data(data[begin : begin + piece])
        await asyncio.sleep(0)
    reader.feed_eof()

    assert await hearing == MESSAGES
    with pytest.raises(EOFError):
        await inbox.next()


async def _hear(inbox: Inbox, count: int) -> list[dict[str, Any]]:
    return [await inbox.next() for _ in range(count)]


async def test_a_message_that_breaks_off_is_none() -> None:
    inbox = heard(frame({"say": "leave"}) + frame({"say": "leave"})[:-1])

    assert await inbox.next() == {"say": "leave"}
    with pytest.raises(EOFError):
        await inbox.next()


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{]", b"GET / HTTP/1.1\r\n\r\n"])
async def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"larger than any|unexpected|expected"):
        await heard(data).next()


async def test_a_message_as_large_as_an_answer_may_be_comes_whole() -> None:
    large = {"body": os.urandom(1_500_000).hex()}
    inbox = heard(frame(large) + frame({"say": "leave"}))

    assert [await inbox.next(), await inbox.next()] == [large, {"say": "leave"}]


async def test_what_is_said_in_one_go_is_sent_in_one() -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1_000_000):
            came.put_nowait(data)
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    outbox = Outbox(writer)
    for message in MESSAGES:
        outbox.say(message)
    async with asyncio.timeout(10):
        data = await came.get()
    outbox.close()
    async with asyncio.timeout(10):
        await writer.wait_closed()
        await ended.wait()
    server.close()
    await server.wait_closed()

    assert data == b"".join(frame(message) for message in MESSAGES)
