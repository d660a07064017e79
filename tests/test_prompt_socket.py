"""A text that is sent at once arrives as any other; who does not take it at once gets nothing of it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from api.graphql.sockets import SEND_NOW
from api.prompt_socket import Gate, Inbox, PromptSocket

pytestmark = pytest.mark.anyio


class Opened:
    """The server's end of one socket."""

    def __init__(self) -> None:
        self.is_there = asyncio.Event()
        self.send_now: Callable[[bytes], bool]
        self.send: Send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.send_now, self.send = scope["extensions"][SEND_NOW], send
        self.is_there.set()
        while (await receive())["type"] != "websocket.disconnect":
            pass


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Opened, ClientConnection]]:
    app = Opened()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws=PromptSocket, timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server._serve([listener]))
            async with connect(f"ws://127.0.0.1:{listener.getsockname()[1]}", proxy=None, max_size=None, max_queue=1) as client:
                await app.is_there.wait()
                yield app, client
            server.should_exit = True


async def test_a_text_of_any_length_arrives_whole_and_in_its_place() -> None:
    texts = ["", "short", "é" * 62, "a" * 125, "a" * 126, "a" * 65_535, "a" * 65_536, "🙂" * 40_000]

    async with opened() as (app, client):
        for text in texts:
            assert app.send_now(text.encode())
            await app.send({"type": "websocket.send", "text": "between"})
            async with asyncio.timeout(10):
                assert [await client.recv(), await client.recv()] == [text, "between"]


async def test_who_does_not_read_is_sent_nothing_more_until_they_do() -> None:
    async with opened() as (app, client):
        sent = 0
        while app.send_now(b"a" * 60_000):
            sent += 1
            await asyncio.sleep(0)
        assert not app.send_now(b"one more")

        async with asyncio.timeout(10):
            for _ in range(sent):
                assert await client.recv() == "a" * 60_000
            while not app.send_now(b"the next"):
                await asyncio.sleep(0)
            assert await client.recv() == "the next"


async def test_nothing_is_sent_to_a_socket_that_is_closed() -> None:
    async with opened() as (app, client):
        await app.send({"type": "websocket.close", "code": 4400})

        assert not app.send_now(b"too late")
        with pytest.raises(ConnectionClosed):
            await client.recv()


async def test_messages_wait_in_their_order_and_none_is_lost_to_a_reader_that_was_called_off() -> None:
    inbox = Inbox()
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put_nowait("first")
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    inbox.put_nowait("second")

    assert not inbox.empty()
    assert [await inbox.get(), await inbox.get()] == ["first", "second"]
    assert inbox.empty()


async def test_a_reader_waits_for_the_next_message() -> None:
    inbox = Inbox()
    for number in range(3):
        reader = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)
        assert not reader.done()
        inbox.put_nowait(number)
        assert await reader == number


async def test_all_who_wait_at_a_gate_pass_once_it_opens_whoever_was_called_off() -> None:
    gate = Gate()
    await gate.wait()
    gate.clear()
    gate.clear()
    called_off, *others = [asyncio.create_task(gate.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    called_off.cancel()
    await asyncio.wait([called_off])
    assert not gate.is_set()
    assert not any(other.done() for other in others)

    gate.set()
    gate.set()

    await asyncio.gather(*others)
    assert gate.is_set()
    gate.clear()
    assert not gate.is_set()
