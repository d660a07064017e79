"""Small servers on loopback that say exactly the bytes which a test gives them, and remember all that they were told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from api.outbound.egress import EgressGuard
from api.outbound.http import OutboundClient

Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Server:
    host: str = "127.0.0.1"
    port: int = 0
    scheme: str = "http"
    requests: list[bytes] = field(default_factory=list)
    # Set when a client has gone away, in whichever way.
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/token") -> str:
        return f"{self.scheme}://{self.host}:{self.port}{path}"

    @property
    def client(self) -> OutboundClient:
        return OutboundClient(EgressGuard(frozenset({f"{self.host}:{self.port}"})))

    def body(self, number: int = 0) -> bytes:
        return self.requests[number].partition(b"\r\n\r\n")[2]

    def header(self, name: str, number: int = 0) -> str | None:
        lines = self.requests[number].partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        found = [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].lower() == name.lower()]
        assert len(found) <= 1
        return found[0] if found else None


def says(*parts: bytes) -> Respond:
    async def respond(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return respond


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def serve(respond: Respond, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Server]:
    """Answer each request of each connection with `respond`."""
    server = Server(host=host, scheme="https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while request := await _read_request(reader):
                server.requests.append(request)
                await respond(writer)
        # The listener asks this task for its exception; being cancelled is how a silent server ends.
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            server.left.set()
            tasks.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    listener = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    lengths = [int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return head + (await reader.readexactly(lengths[0]) if lengths else b"")
