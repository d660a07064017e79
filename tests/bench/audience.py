"""Those who watch: thousands of sockets in a process of its own, which makes the events too and takes the time until all have them.

usage: python -m tests.bench.audience, with an `Audience` as the first line of JSON on standard input, and a `Turn` as each further one.
It answers with the seconds that joining took, and then with what came of each turn.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import cast

_HANDSHAKES_AT_ONCE = 8
_PATIENCE_SECONDS = 60
_FEWEST_EVENTS = 2
_PING, _CLOSE, _TEXT = 0x89, 0x88, 0x81


@dataclass(frozen=True, slots=True)
class Audience:
    port: int
    path: str
    # None: nothing is said, and everything that comes is an event.
    document: str | None
    # One after the other they are used for as many sockets each as there are for each.
    tokens: tuple[str, ...]
    subscribers: int
    # An HTTP request that makes an event, with the place for a number; all are equally long.
    trigger: str


@dataclass(frozen=True, slots=True)
class Turn:
    """It lasts for so long, or until there were so many events; two there are in any case."""

    seconds: float
    most_events: int = 10_000
    # How many do not read any more, from now on for good.
    stalled: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of a turn. Milliseconds are from asking for an event until the last of those who read has it."""

    deliveries: int
    seconds: float
    median_last_milliseconds: float
    worst_last_milliseconds: float
    bytes_each: int


class Hall:
    """All that the sockets share: how many have heard, and who waits for that."""

    def __init__(self, audience: Audience) -> None:
        self.audience = audience
        self.watchers: list[Watcher] = []
        self.readers = audience.subscribers
        self.heard = 0
        self.length = 0
        self.lost = 0
        # When the last of those who read had the last event.
        self.finished_at = 0.0
        self._wanted = 0
        self._all_heard = asyncio.Event()

    def stall(self, count: int) -> None:
        """Let so many stop reading: some of each who watches by several sockets."""
        for watcher in self.watchers[:: len(self.watchers) // count] if count else ():
            watcher.stall()
        self.readers = sum(not watcher.stalls for watcher in self.watchers)

    def hear(self, length: int) -> None:
        self.heard += 1
        self.length = length
        if self.heard == self._wanted:
            self.finished_at = time.perf_counter()
            self._all_heard.set()

    def expect(self) -> None:
        """Everybody who reads is to hear one more."""
        self._wanted += self.readers
        self._all_heard.clear()

    async def everybody(self) -> None:
        """Until everybody who reads has heard it."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._all_heard.wait()
        except TimeoutError:
            raise RuntimeError(f"{self._wanted - self.heard} deliveries are missing, {self.lost} sockets were closed") from None


class Watcher(asyncio.Protocol):
    """One socket: as little as RFC 6455 and graphql-transport-ws need of a client."""

    def __init__(self, hall: Hall, token: str) -> None:
        self._hall = hall
        self._token = token
        self.stalls = False
        self._buffer = b""
        self._watches = False
        self._step = self._handshaken
        self.joined = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What uvloop gives has all of it, and is none.
        self._transport = cast(asyncio.Transport, transport)
        port, path = self._hall.audience.port, self._hall.audience.path
        self._transport.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: graphql-transport-ws\r\nAuthorization: Bearer {self._token}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while self._step():
            pass

    def connection_lost(self, exception: Exception | None) -> None:
        self._hall.lost += not self.stalls
        if not self.joined.done():
            self.joined.set_exception(RuntimeError(f"a socket was closed before it had subscribed: {self._buffer[:200]!r}"))

    def _handshaken(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"no socket: {head[:200]!r}")
        self._buffer, self._step = rest, self._framed
        if self._hall.audience.document is None:
            self._join()
        else:
            self._say({"type": "connection_init", "payload": {}})
        return True

    def _framed(self) -> bool:
        """Take one frame, where a whole one is there."""
        buffer = self._buffer
        if len(buffer) < 4:
            return len(buffer) >= 2 and buffer[1] < 2 and self._take(buffer[0], 2, buffer[1])
        length, start = buffer[1], 2
        if length == 126:
            length, start = int.from_bytes(buffer[2:4], "big"), 4
        return len(buffer) >= start + length and self._take(buffer[0], start, length)

    def _take(self, kind: int, start: int, length: int) -> bool:
        payload, self._buffer = self._buffer[start : start + length], self._buffer[start + length :]
        if kind == _PING:
            self._send(0x8A, payload)
        elif kind == _TEXT and self._watches:
            self._hall.hear(length)
        elif kind == _TEXT and b'"connection_ack"' in payload:
            self._say({"id": os.urandom(8).hex(), "type": "subscribe", "payload": {"query": self._hall.audience.document}})
            self._join()
        elif kind != _CLOSE:
            raise RuntimeError(f"not expected: {payload[:200]!r}")
        return True

    def _join(self) -> None:
        self._watches = True
        self.joined.set_result(None)

    def stall(self) -> None:
        if not self.stalls:
            self.stalls = True
            self._transport.pause_reading()

    def _say(self, message: object) -> None:
        self._send(_TEXT, json.dumps(message).encode())

    def _send(self, kind: int, payload: bytes) -> None:
        """Masked with zeros, which a server cannot tell from others."""
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        self._transport.write(bytes([kind]) + length + b"\0\0\0\0" + payload)


class Trigger:
    """Makes events, one after the other, each on a connection of its own: a server does not wait for long for the next request."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._number = 0

    async def load(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._audience.port)

    def pull(self) -> None:
        self._number += 1
        self._writer.write(self._audience.trigger.replace("@@@@@@", f"{self._number:06}").encode())

    async def pulled(self) -> None:
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"no event was made: {head[:200]!r}")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body = await self._reader.readexactly(length)
        if b'"errors"' in body or b"Error" in body:
            raise RuntimeError(f"no event was made: {body[:300]!r}")
        self._writer.close()


async def _join(hall: Hall) -> None:
    audience, loop = hall.audience, asyncio.get_running_loop()
    each = -(-audience.subscribers // len(audience.tokens))
    gate = asyncio.Semaphore(_HANDSHAKES_AT_ONCE)

    async def join(number: int) -> None:
        async with gate:
            _, watcher = await loop.create_connection(lambda: Watcher(hall, audience.tokens[number // each]), "127.0.0.1", audience.port)
            hall.watchers.append(watcher)
            await asyncio.wait_for(watcher.joined, _PATIENCE_SECONDS)

    await asyncio.gather(*(join(number) for number in range(audience.subscribers)))


async def _show(hall: Hall, trigger: Trigger, turn: Turn) -> Shown:
    lasts: list[float] = []
    hall.stall(turn.stalled)
    began = time.perf_counter()
    while len(lasts) < turn.most_events and (len(lasts) < _FEWEST_EVENTS or time.perf_counter() - began < turn.seconds):
        await trigger.load()
        asked = time.perf_counter()
        hall.expect()
        trigger.pull()
        await trigger.pulled()
        await hall.everybody()
        lasts.append(hall.finished_at - asked)
    return Shown(len(lasts) * hall.readers, sum(lasts), 1000 * statistics.median(lasts), 1000 * max(lasts), hall.length)


async def attend() -> None:
    """Join, and then do one turn after the other as they are ordered."""
    loop = asyncio.get_running_loop()
    hall = Hall(Audience(**json.loads(await loop.run_in_executor(None, sys.stdin.readline))))
    began, trigger = time.perf_counter(), Trigger(hall.audience)
    await _join(hall)
    print(json.dumps(time.perf_counter() - began), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(asdict(await _show(hall, trigger, Turn(**json.loads(line))))), flush=True)


def main() -> None:
    # Not at the top: it is for this process alone.
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(attend())


if __name__ == "__main__":
    main()
