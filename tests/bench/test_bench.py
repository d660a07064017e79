"""One short round, so that the command keeps running; what it measures is for `scripts/bench`."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from models import AuditEntry, Connection, ConnectionEvent
from models.database import open_database
from tests.acceptance.processes import PROJECT, clean_environment
from tests.bench import npm
from tests.bench.ground import ground
from tests.bench.load import NUMBER, Load, Order, load
from tests.bench.measuring import require_alike
from tests.bench.servers import served
from tests.bench.sides import SideName, at_hand
from tests.bench.works import WORKS, Question
from tests.faults.databases import Kind

Rows = list[dict[str, Any]]
Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

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
_SIDES: tuple[SideName, ...] = ("patchbay", "ceiling")
_OF_AN_EVENT = ("type", "connection_id", "connection_name", "connector_key", "folder_id", "status", "reason_json", "actor_id")
_OF_AN_ENTRY = ("actor_id", "actor_name", "source", "token_id", "outcome", "subject_id", "subject_name", "folder_id", "detail")


# Servers that start on a busy machine.
@pytest.mark.timeout(120)
def test_a_round_is_told_as_a_json_line_a_side() -> None:
    options = ["--database", "sqlite", "--rounds", "1", "--seconds", "0.2", "--clients", "2", "--connections", "100", "--json"]

    run = subprocess.run(
        [sys.executable, "-m", "tests.bench", "list", *options], cwd=PROJECT, env=clean_environment(), capture_output=True, text=True
    )

    assert run.returncode == 0, run.stderr
    lines = [row for line in run.stdout.splitlines() if "goal" not in (row := json.loads(line))]
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


def test_times_may_be_written_in_several_ways() -> None:
    require_alike({"patchbay": [{"at": "2026-01-05T12:00:00+00:00"}], "mercurius": [{"at": "2026-01-05T12:00:00.000Z"}]})

    with pytest.raises(ValueError, match="mercurius does not answer as Patchbay does"):
        require_alike({"patchbay": [{"at": "2026-01-05T12:00:00.5+00:00"}], "mercurius": [{"at": "2026-01-05T12:00:00.000Z"}]})


def test_a_work_is_done_by_the_sides_that_know_the_database() -> None:
    work = WORKS["list"]

    assert work.sides("postgresql") == ("patchbay", "ceiling", "strawberry", "tuned", "postgraphile", "mercurius")
    assert work.sides("sqlite") == ("patchbay", "ceiling", "strawberry", "tuned")
    assert work.sides("postgresql", ("mercurius", "ceiling")) == ("patchbay", "ceiling", "mercurius")


# Servers that start on a busy machine.
@pytest.mark.timeout(120)
@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_the_ceiling_leaves_behind_what_patchbay_does(kind: Kind) -> None:
    connections, events, entries = await _renamed_by_both(kind)

    second = connections[1]["id"]
    assert [(row["name"], row["name_key"]) for row in connections] == [("Renamed 0", "renamed 0"), ("Renamed 1", "renamed 1")]
    assert events[1] == events[0] | {"connection_id": second, "connection_name": "Renamed 1"}
    assert entries[1] == entries[0] | {"subject_id": str(second), "subject_name": "Renamed 1", "detail": "was Connection 1"}
    assert len(events) == len(entries) == 2


async def _renamed_by_both(kind: Kind) -> tuple[Rows, Rows, Rows]:
    """A connection that Patchbay renamed and one that the ceiling did, with their events and entries in the audit log."""
    # Not pytest's folder: PostgreSQL runs as a user who may not enter it.
    with tempfile.TemporaryDirectory() as folder:
        async with ground(kind, Path(folder), 100) as here:
            for number, side in enumerate(_SIDES):
                async with served(side, here) as server:
                    await server.ask(_numbered(WORKS["rename"].question(side, here, number), str(number)))
            async with open_database(here.url):
                return (
                    await Connection.filter(id__in=here.connection_ids[:2]).order_by("id").values("id", "name", "name_key"),
                    await ConnectionEvent.all().order_by("id").values(*_OF_AN_EVENT),
                    await AuditEntry.filter(action="connection.rename").order_by("id").values(*_OF_AN_ENTRY),
                )


def _numbered(question: Question, number: str) -> Question:
    body = json.loads(json.dumps(question.body).replace(NUMBER, number))
    return Question(question.path, body, question.expected.replace(NUMBER, number))


@pytest.mark.anyio
async def test_peers_that_cannot_be_had_leave_nothing_half_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(RuntimeError, match="npm is not on the PATH"):
        await npm.installed()
    assert await at_hand(["patchbay", "ceiling", "mercurius"]) == ("patchbay", "ceiling")

    assert npm.cache().is_relative_to(tmp_path)
    assert list(tmp_path.rglob("*")) == [npm.cache().parent]


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


@pytest.mark.anyio
async def test_each_request_has_another_number_and_its_answer_has_it_too() -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while request := await reader.readuntil(b"\r\n\r\n"):
                asked.append(request.split()[1])
                # The first number stands in every answer.
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n" + asked[0])
        writer.close()

    found = await _asked(answer, f"POST /{NUMBER} HTTP/1.1\r\n\r\n", NUMBER)

    assert len(set(asked)) == found.requests > 1
    assert found.failures == found.requests - 1


async def _loaded(*pieces: bytes) -> Load:
    """What two clients measure at a server that answers in these pieces."""
    return await _asked(_answering(*pieces), "POST / HTTP/1.1\r\n\r\n", "right")


async def _asked(answer: Answering, request: str, expected: str) -> Load:
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await load(Order(port, [request] * 2, expected, seconds=0.05))


def _answering(*pieces: bytes) -> Answering:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    return answer
