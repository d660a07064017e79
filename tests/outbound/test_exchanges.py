"""Requests one after another over connections that are kept, against servers over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import MappingProxyType

import pytest

from api.outbound.http import Answer, Obstacle, OutboundClient, OutboundRequest, Unreachable
from tests.outbound.servers import Respond, Server, answer, says, serve

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=10)


async def ask(
    client: OutboundClient,
    server: Server,
    method: str = "POST",
    body: bytes | None = b"grant",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    return await client.send(OutboundRequest(method, server.url(), headers, body), deadline=LONG, max_bytes=100_000)


def by_turns(*responds: Respond) -> Respond:
    turns = iter(responds)

    async def respond(writer: asyncio.StreamWriter) -> None:
        await next(turns)(writer)

    return respond


def then(respond: Respond, after: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> Respond:
    async def both(writer: asyncio.StreamWriter) -> None:
        await respond(writer)
        await after(writer)

    return both


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


WHOLE = {
    "of a length": says(answer(200, b"hello")),
    "in pieces": says(answer(200, b"hello")[:-3], b"llo"),
    "in chunks": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    "to the end": then(says(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"), hang_up),
    "of HTTP/1.0": then(says(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"), hang_up),
    "announced": says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", answer(200, b"hello")),
}


@pytest.mark.parametrize("respond", WHOLE.values(), ids=WHOLE.keys())
async def test_an_answer_is_read_whole_however_it_is_framed_and_another_follows(respond: Respond) -> None:
    async with serve(respond) as server, server.client as client:
        answers = [await ask(client, server) for _ in range(3)]

    assert [(each.status, each.body) for each in answers] == [(200, b"hello")] * 3
    assert [server.body(number) for number in range(3)] == [b"grant"] * 3


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_an_answer_that_has_no_body_is_not_waited_for(method: str, status: int) -> None:
    head = f"HTTP/1.1 {status} Said\r\n{'Content-Length: 5' if status != 204 else 'X-Nothing: 0'}\r\n\r\n".encode()
    async with serve(says(head)) as server, server.client as client:
        answers = [await ask(client, server, method, None) for _ in range(2)]

    assert [(each.status, each.body) for each in answers] == [(status, b"")] * 2
    assert server.header("Content-Length") is None


async def test_headers_of_the_caller_take_the_place_of_those_that_are_always_sent() -> None:
    async with serve(says(answer())) as server, server.client as client:
        await ask(client, server, headers={"ACCEPT": "application/json", "user-agent": "Another", "X-Name": "Zoë"})

    assert [server.header(name) for name in ("Accept", "User-Agent")] == ["application/json", "Another"]
    assert server.header("X-Name") == "Zoë"
    assert server.header("Host") == f"127.0.0.1:{server.port}"


async def test_what_may_be_asked_twice_is_where_a_kept_connection_turns_out_to_be_closed() -> None:
    async with serve(by_turns(says(answer(200, b"first")), hang_up, says(answer(200, b"again")))) as server, server.client as client:
        bodies = [(await ask(client, server, "PUT", b"whole")).body for _ in range(2)]

    assert bodies == [b"first", b"again"]
    assert [server.body(number) for number in range(3)] == [b"whole"] * 3


async def test_and_not_a_third_time() -> None:
    async with serve(hang_up) as server, server.client as client:
        with pytest.raises(Unreachable) as unreachable:
            await ask(client, server, "GET", None)

    assert (unreachable.value.obstacle, unreachable.value.may_have_arrived) == (Obstacle.EXCHANGE, True)
    assert len(server.requests) == 2


async def test_a_post_is_not_asked_twice_on_a_kept_connection_either() -> None:
    async with serve(by_turns(says(answer()), hang_up)) as server, server.client as client:
        await ask(client, server)
        with pytest.raises(Unreachable) as unreachable:
            await ask(client, server)

    assert unreachable.value.may_have_arrived
    assert len(server.requests) == 2


async def test_what_a_server_says_unasked_is_not_the_answer_of_the_next_request() -> None:
    said = asyncio.Event()
    may_say = asyncio.Event()

    async def say_more(writer: asyncio.StreamWriter) -> None:
        await may_say.wait()
        writer.write(answer(200, b"of another"))
        await writer.drain()
        said.set()

    async with (
        serve(by_turns(then(says(answer(200, b"first")), say_more), says(answer(200, b"second")))) as server,
        server.client as client,
    ):
        first = await ask(client, server)
        may_say.set()
        await said.wait()
        # Until it has arrived here: it is read by the turn of the loop that follows.
        for _ in range(10):
            await asyncio.sleep(0)
        second = await ask(client, server)

    assert (first.body, second.body) == (b"first", b"second")


async def test_an_answer_that_comes_before_the_request_was_heard_out_ends_its_connection() -> None:
    connections = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(413, b"too much"))
        await may_end.wait()
        writer.close()

    may_end = asyncio.Event()
    # As little as it takes at once, so that the rest waits with the client.
    listener = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=1024)
    server = Server(port=listener.sockets[0].getsockname()[1])
    async with server.client as client:
        answers = [await ask(client, server, body=bytes(30_000_000)) for _ in range(2)]
        may_end.set()
    listener.close()
    await listener.wait_closed()

    assert [(each.status, each.body) for each in answers] == [(413, b"too much")] * 2
    assert connections == 2
