"""Bodies that are passed on while they come, against servers over real sockets."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from api.outbound.egress import EgressGuard, EgressRefused
from api.outbound.http import DeadlineExceeded, Obstacle, Unreachable
from api.outbound.streaming import Patience, StreamedAnswer, StreamedRequest, StreamingClient
from tests.outbound.servers import Server, answer, says, serve

pytestmark = pytest.mark.anyio

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MB = 1024 * 1024
SOON = Patience(head=timedelta(milliseconds=300), idle=timedelta(milliseconds=300))
# More than the buffers of both ends of a socket can hold.
MUCH = 128 * MB


def client_of(server: Server, *, patience: Patience = Patience(), connections_per_host: int = 4) -> StreamingClient:
    guard = EgressGuard(frozenset({f"{server.host}:{server.port}"}))
    return StreamingClient(guard, patience=patience, connections_per_host=connections_per_host)


@asynccontextmanager
async def conversing(converse: Converse) -> AsyncIterator[Server]:
    """A server that does as it likes with each connection; it is told when the client leaves."""
    server, tasks = Server(), set[asyncio.Task[None]]()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            server.left.set()
            writer.close()

    listener = await asyncio.start_server(run, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


async def body_of(received: StreamedAnswer) -> bytes:
    return b"".join([piece async for piece in received.chunks()])


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


async def test_sends_what_it_was_given_and_nothing_that_the_caller_did_not_say() -> None:
    headers = [("X-Many", "1"), ("X-Many", "2"), ("Accept-Encoding", "br")]
    async with serve(says(answer(207, b"there"))) as server, client_of(server) as client:
        request = StreamedRequest("PROPFIND", server.url("/a%2Fb/%7e?q=%2B+&q"), headers, b"here")
        async with client.open(request) as received:
            assert (received.status, await body_of(received)) == (207, b"there")

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert (lines[0], body) == ("PROPFIND /a%2Fb/%7e?q=%2B+&q HTTP/1.1", b"here")
    assert [line for line in lines if line.startswith("X-Many")] == ["X-Many: 1", "X-Many: 2"]
    assert {line.partition(":")[0] for line in lines[1:]} == {"Host", "User-Agent", "X-Many", "Accept-Encoding", "Content-Length"}


async def test_headers_that_come_twice_are_had_twice_and_a_compressed_body_as_it_is() -> None:
    packed = gzip.compress(b"there")
    said = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(packed), packed)
    async with serve(says(said)) as server, client_of(server) as client, client.open(StreamedRequest("GET", server.url())) as received:
        assert await body_of(received) == packed

    assert [(name, value) for name, value in received.headers if name.lower() == b"x-a"] == [(b"X-A", b"1"), (b"x-a", b"2")]


@pytest.mark.parametrize(("length", "framing"), [(None, b"Transfer-Encoding: chunked"), (8, b"Content-Length: 8")])
async def test_a_body_arrives_piece_by_piece_framed_by_its_length_where_that_is_known(length: int | None, framing: bytes) -> None:
    arrived, go_on, heard = asyncio.Event(), asyncio.Event(), bytearray()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readuntil(b"\r\n\r\n"))
        heard.extend(await reader.readuntil(b"here"))
        arrived.set()
        heard.extend(await reader.readuntil(b"then"))
        writer.write(answer(200, b"", Connection="close"))

    async def body() -> AsyncIterator[bytes]:
        yield b"here"
        await go_on.wait()
        yield b"then"

    async with conversing(converse) as server, client_of(server) as client, asyncio.TaskGroup() as tasks:

        async def call() -> int:
            async with client.open(StreamedRequest("PUT", server.url(), body=body(), length=length)) as received:
                return received.status

        calling = tasks.create_task(call())
        # The first piece is there before the second is made.
        await asyncio.wait_for(arrived.wait(), 10)
        go_on.set()
        assert await calling == 200

    assert framing in heard


async def test_the_first_piece_of_an_answer_is_had_before_the_last_is_said() -> None:
    go_on = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + chunk(b"first"))
        await go_on.wait()
        writer.write(chunk(b"last") + b"0\r\n\r\n")

    async with conversing(converse) as server, client_of(server) as client, client.open(StreamedRequest("GET", server.url())) as received:
        coming = received.chunks()
        assert await anext(coming) == b"first"
        go_on.set()
        assert [piece async for piece in coming] == [b"last"]


async def test_an_answer_is_read_while_the_body_is_still_being_sent() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        for word in (b"one", b"two"):
            await reader.readuntil(word)
            writer.write(chunk(word))
        writer.write(b"0\r\n\r\n")

    said = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        await said.wait()
        yield b"two"

    async with conversing(echo) as server, client_of(server) as client:
        request = StreamedRequest("POST", server.url(), body=body())
        async with client.open(request) as received:
            coming = received.chunks()
            assert await anext(coming) == b"one"
            said.set()
            assert await anext(coming) == b"two"


async def test_a_server_is_not_listened_to_further_than_the_caller_reads() -> None:
    written, stuck = [0], asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH)
        while written[0] < MUCH:
            writer.write(bytes(MB))
            await _drained_or(writer, stuck)
            written[0] += MB

    async with conversing(pour) as server, client_of(server) as client, client.open(StreamedRequest("GET", server.url())) as received:
        coming = received.chunks()
        taken = len(await anext(coming))
        await asyncio.wait_for(stuck.wait(), 15)
        assert written[0] < MUCH // 2
        # What is kept here of it is no more than the reader's buffer.
        assert len(received._response.content._buffer) * 65_536 < 2 * MB

        async for piece in coming:
            taken += len(piece)
            assert len(piece) < MB
        assert taken == MUCH


async def test_a_caller_is_not_asked_for_more_than_the_server_takes() -> None:
    asked, go_on, stuck = [0], asyncio.Event(), asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go_on.wait()
        received = 0
        while received < MUCH:
            received += len(await reader.read(MB))
        writer.write(answer(200, str(received).encode()))

    async def body() -> AsyncIterator[bytes]:
        watch = asyncio.get_running_loop()
        pending = watch.call_later(1, stuck.set)
        while asked[0] < MUCH:
            pending.cancel()
            pending = watch.call_later(1, stuck.set)
            asked[0] += MB
            yield bytes(MB)
        pending.cancel()

    async with conversing(converse) as server, client_of(server) as client, asyncio.TaskGroup() as tasks:

        async def call() -> bytes:
            async with client.open(StreamedRequest("PUT", server.url(), body=body(), length=MUCH)) as received:
                return await body_of(received)

        calling = tasks.create_task(call())
        await asyncio.wait_for(stuck.wait(), 15)
        assert asked[0] < MUCH // 2
        go_on.set()
        assert await calling == str(MUCH).encode()


@pytest.mark.parametrize("read_first", [False, True])
async def test_who_leaves_takes_the_connection_along_at_once(read_first: bool) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + chunk(b"first"))
        assert await reader.read() == b""

    async with conversing(converse) as server, client_of(server) as client:
        async with client.open(StreamedRequest("GET", server.url())) as received:
            if read_first:
                await anext(received.chunks())
        await asyncio.wait_for(server.left.wait(), 10)


async def test_a_call_that_is_cancelled_before_the_answer_closes_its_connection() -> None:
    async def converse(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        heard.set()
        assert await reader.read() == b""

    heard = asyncio.Event()
    async with conversing(converse) as server, client_of(server) as client:

        async def call() -> None:
            async with client.open(StreamedRequest("GET", server.url())):
                pytest.fail("there was no answer")

        calling = asyncio.create_task(call())
        await asyncio.wait_for(heard.wait(), 10)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.wait_for(server.left.wait(), 10)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", id="length"),
        pytest.param(HEAD + chunk(b"half"), id="chunks"),
        pytest.param(HEAD + b"not a length\r\n", id="framing"),
    ],
)
async def test_an_answer_that_breaks_off_does_not_end_well(said: bytes) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    async with conversing(converse) as server, client_of(server) as client:
        with pytest.raises(Unreachable) as failure:
            async with client.open(StreamedRequest("GET", server.url())) as received:
                await body_of(received)

    assert (failure.value.obstacle, failure.value.may_have_arrived) == (Obstacle.EXCHANGE, True)
    assert failure.value.__suppress_context__


async def test_a_head_that_does_not_come_is_not_waited_for_for_ever() -> None:
    async def converse(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.read() != b""

    async with conversing(converse) as server, client_of(server, patience=SOON) as client:
        with pytest.raises(DeadlineExceeded) as failure:
            async with client.open(StreamedRequest("GET", server.url("/?canary"))):
                pytest.fail("there was no answer")

    assert (failure.value.deadline, failure.value.may_have_arrived) == (SOON.head, True)
    assert "canary" not in str(failure.value)


async def test_an_answer_that_stands_still_is_given_up() -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + chunk(b"first"))
        assert await reader.read() == b""

    patience = Patience(idle=SOON.idle)
    async with conversing(converse) as server, client_of(server, patience=patience) as client:
        with pytest.raises(DeadlineExceeded):
            async with client.open(StreamedRequest("GET", server.url())) as received:
                await body_of(received)
        await asyncio.wait_for(server.left.wait(), 10)


async def test_a_switch_of_protocols_is_no_answer() -> None:
    said = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with serve(says(said)) as server, client_of(server) as client:
        with pytest.raises(Unreachable):
            async with client.open(StreamedRequest("GET", server.url())):
                pytest.fail("that was no answer")


async def test_no_address_is_called_that_the_guard_refuses(outward: list[tuple[str, object]]) -> None:
    async def lookup(_: str) -> list[str]:
        return ["10.0.0.1"]

    async with StreamingClient(EgressGuard(lookup=lookup)) as client:
        for url in ("https://private.example/", "https://127.0.0.1/", "http://public.example/", "https://public.example:8443/"):
            with pytest.raises(EgressRefused):
                async with client.open(StreamedRequest("GET", url)):
                    pytest.fail("it was called")

    assert outward == []


async def test_a_host_gets_no_more_connections_than_its_limit() -> None:
    at_once, most, go_on, full = [0], [0], asyncio.Event(), asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        if at_once[0] == 2:
            full.set()
        while await reader.readuntil(b"\r\n\r\n"):
            await go_on.wait()
            writer.write(answer(200))

    async with conversing(converse) as server, client_of(server, connections_per_host=2) as client, asyncio.TaskGroup() as tasks:

        async def call() -> int:
            async with client.open(StreamedRequest("GET", server.url())) as received:
                await body_of(received)
                return received.status

        calls = [tasks.create_task(call()) for _ in range(6)]
        await asyncio.wait_for(full.wait(), 10)
        go_on.set()
        assert [await each for each in calls] == [200] * 6

    assert most == [2]


async def test_a_request_prints_neither_its_path_nor_its_headers() -> None:
    request = StreamedRequest("GET", "https://api.example/canary?canary", [("Authorization", "canary")], b"canary")

    assert repr(request) == "StreamedRequest(GET https://api.example, 1 headers)"


async def _drained_or(writer: asyncio.StreamWriter, stuck: asyncio.Event) -> None:
    """Wait until what was written is on its way; say where that takes a second."""
    pending = asyncio.get_running_loop().call_later(1, stuck.set)
    try:
        await writer.drain()
    finally:
        pending.cancel()
