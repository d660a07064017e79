"""One short round, so that the command keeps running; what it measures is for `scripts/bench`."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from tests.acceptance.processes import PROJECT, clean_environment
from tests.bench.load import Load, Order, load
from tests.bench.measuring import require_alike

_KEYS = {
    "work",
    "database",
    "clients",
    "side",
    "rounds",
    "seconds",
    "requests_per_second",
    "processor_microseconds",
    "median_milliseconds",
    "p99_milliseconds",
    "failures",
    "patchbay_by_rate",
    "patchbay_by_processor",
    "patchbay_by_p99",
}


# Servers that start on a busy machine.
@pytest.mark.timeout(120)
def test_a_round_is_told_as_a_json_line_a_side() -> None:
    options = ["--database", "sqlite", "--rounds", "1", "--seconds", "0.2", "--clients", "2", "--connections", "100", "--json"]

    run = subprocess.run(
        [sys.executable, "-m", "tests.bench", "list", *options], cwd=PROJECT, env=clean_environment(), capture_output=True, text=True
    )

    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line.keys() for line in lines] == [_KEYS] * 4
    assert [(line["side"], line["work"], line["database"], line["clients"], line["failures"]) for line in lines] == [
        (side, "list", "sqlite", 2, 0) for side in ("patchbay", "ceiling", "strawberry", "tuned")
    ]
    assert all(line["requests_per_second"]["median"] > 0 and line["processor_microseconds"]["median"] > 0 for line in lines)
    assert lines[0]["patchbay_by_rate"] == {"median": 1.0, "lowest": 1.0, "highest": 1.0}


def test_a_side_that_answers_otherwise_is_not_measured() -> None:
    require_alike({"patchbay": {"data": 1}, "ceiling": {"data": 1}})

    with pytest.raises(ValueError, match="ceiling does not answer as Patchbay does"):
        require_alike({"patchbay": {"data": 1}, "ceiling": {"data": 2}})


@pytest.mark.anyio
async def test_an_answer_that_comes_in_pieces_is_one_answer() -> None:
    # More than is read at once.
    found = await _loaded(b"HTTP/1.1 200 OK\r\nContent-Length: 1000005\r\n\r\n", b" " * 1_000_000, b"right")

    assert found.requests > 0
    assert found.failures == 0


@pytest.mark.anyio
async def test_an_answer_without_what_was_expected_is_a_failure() -> None:
    found = await _loaded(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n{wrong")

    assert found.failures == found.requests > 0


@pytest.mark.anyio
async def test_an_answer_other_than_200_is_a_failure() -> None:
    found = await _loaded(b"HTTP/1.1 503 Busy\r\nContent-Length: 6\r\n\r\n{right")

    assert found.failures == found.requests > 0


async def _loaded(*pieces: bytes) -> Load:
    """What two clients measure at a server that answers in these pieces."""
    async with await asyncio.start_server(_answering(*pieces), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await load(Order(port, ["POST / HTTP/1.1\r\n\r\n"] * 2, "right", seconds=0.05))


def _answering(*pieces: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    return answer
