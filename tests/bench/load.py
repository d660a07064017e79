"""Clients that ask the same question again and again, each on a connection of its own, as a process of its own.

usage: python -m tests.bench.load, with an `Order` as JSON on standard input; it answers with a `Load` on standard output.
"""

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import cast

# In a request, and in what is expected: another number each time, never one of before.
NUMBER = "#" * 16
_LENGTH = b"content-length:"
# How long the last answers may take, once nothing more is asked.
_DRAIN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask, how many at once, and for how long."""

    port: int
    # Whole HTTP requests, one for each client, which keep their connections.
    requests: list[str]
    # What every right answer has in it.
    expected: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it. `seconds` end with the last answer, so that all that was asked is counted."""

    requests: int
    # Answers other than 200, or without what was expected.
    failures: int
    seconds: float
    # Until an answer was there, for one in two and for one in a hundred.
    median_milliseconds: float
    p99_milliseconds: float


class Client(asyncio.Protocol):
    """Asks, waits for the whole answer, and asks again until the time is over."""

    def __init__(self, request: str, expected: str, ends_at: float, numbers: Iterator[int], durations: list[float]) -> None:
        self.finished = asyncio.get_running_loop().create_future()
        self.failures = 0
        self._request = request.encode()
        self._expected = expected.encode()
        self._number = b""
        self._numbers = numbers
        self._ends_at = ends_at
        self._durations = durations
        self._buffer = b""
        self._whole = 0
        self._asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What uvloop gives has all of it, and is none.
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole:
            self._whole = _whole_length(self._buffer)
        if self._whole and len(self._buffer) >= self._whole:
            self._note()
            self._ask()

    def connection_lost(self, exception: Exception | None) -> None:
        if not self.finished.done():
            self.failures += 1
            self.finished.set_result(None)

    def _note(self) -> None:
        self._durations.append(time.perf_counter() - self._asked_at)
        if not self._buffer.startswith(b"HTTP/1.1 200") or self._numbered(self._expected) not in self._buffer:
            self.failures += 1
        self._buffer, self._whole = b"", 0

    def _ask(self) -> None:
        if time.perf_counter() >= self._ends_at:
            self.finished.set_result(None)
            self._transport.close()
            return
        self._number = b"%016d" % next(self._numbers)
        request = self._numbered(self._request)
        self._asked_at = time.perf_counter()
        self._transport.write(request)

    def _numbered(self, text: bytes) -> bytes:
        return text.replace(NUMBER.encode(), self._number)


def _whole_length(begun: bytes) -> int:
    """How many bytes an answer has of which this is the beginning; 0 while its headers are not all there."""
    end = begun.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = begun[:end].lower()
    place = head.find(_LENGTH)
    if place < 0:
        raise ValueError("an answer without a Content-Length, which this client does not read")
    return end + 4 + int(head[place + len(_LENGTH) :].split(b"\r\n", 1)[0])


async def _connect(client: Client, port: int) -> None:
    await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", port)


async def load(order: Order) -> Load:
    """Do as ordered."""
    durations: list[float] = []
    began = time.perf_counter()
    ends_at = began + order.seconds
    # In microseconds, of which none brings more than one answer.
    numbers = itertools.count(time.time_ns() // 1000)
    clients = [Client(request, order.expected, ends_at, numbers, durations) for request in order.requests]
    for client in clients:
        await _connect(client, order.port)
    async with asyncio.timeout(order.seconds + _DRAIN_SECONDS):
        await asyncio.gather(*(client.finished for client in clients))
    hundredths = statistics.quantiles(durations, n=100) if len(durations) > 1 else durations * 99
    return Load(
        requests=len(durations),
        failures=sum(client.failures for client in clients),
        seconds=time.perf_counter() - began,
        median_milliseconds=1000 * hundredths[49],
        p99_milliseconds=1000 * hundredths[98],
    )


def main() -> None:
    # Not at the top: it is for this process alone.
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(load(Order(**json.load(sys.stdin)))))))


if __name__ == "__main__":
    main()
