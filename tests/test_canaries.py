"""The canaries themselves: a leak by each channel and in each form is found, and fails the test that let it out."""

import base64
import logging
import socket
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import models
from api.errors import Conflict
from models import AuditOutcome, ConnectionEventType, ConnectionStatus
from tests.canaries import CANARIES, SLOTS, Canaries
from tests.installation import served

SECRET = "sk_live/4f+Qz?9vK2~x7Lm1RtYp"
EMBEDDINGS = {
    "raw": SECRET,
    "hex": SECRET.encode().hex(),
    "URL-encoded": quote(SECRET, safe=""),
    "base64 alone": base64.b64encode(SECRET.encode()).decode(),
    "base64 after one": base64.b64encode(f"x{SECRET}yz".encode()).decode(),
    "base64 after two": base64.b64encode(f"xx{SECRET}y".encode()).decode(),
    "base64url": base64.urlsafe_b64encode(f"name:{SECRET}".encode()).decode().rstrip("="),
}
shows = pytest.mark.shows_secrets("a leak that is meant to be found")


@pytest.fixture
def planted() -> str:
    """A secret that this run has never seen."""
    secret = f"canary-{uuid4().hex}"
    CANARIES.plant("API token", secret)
    return secret


def channels() -> set[str]:
    return {channel for slot, channel in CANARIES.found() if slot == "API token"}


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_a_secret_is_found_in_every_form(embedding: str) -> None:
    canaries = Canaries()
    canaries.plant("typed token", SECRET)

    canaries.note("the log", f"before {EMBEDDINGS[embedding]} after")
    assert canaries.found() == {("typed token", "the log")}

    canaries.begin()
    canaries.plant("typed token", SECRET[::-1])
    canaries.note("the log", f"before {EMBEDDINGS[embedding]} after")
    assert canaries.found() == set()


@pytest.mark.parametrize("slot", SLOTS)
def test_a_secret_of_every_slot_is_told_by_its_slot(slot: str) -> None:
    canaries = Canaries()
    for each in SLOTS:
        canaries.plant(each, f"{each.replace(' ', '-')}-0123456789abcdef")

    canaries.note("an answer", f"{slot.replace(' ', '-')}-0123456789abcdef")

    assert canaries.found() == {(slot, "an answer")}


def test_a_key_is_found_among_other_bytes() -> None:
    canaries = Canaries()
    key = bytes(range(100, 132))
    canaries.plant("data key", key)

    canaries.note("the file patchbay.db", b"\0\1\2" + key + b"\3")

    assert canaries.found() == {("data key", "the file patchbay.db")}


def test_of_a_private_key_any_line_gives_it_away() -> None:
    line = base64.b64encode(bytes(range(48))).decode()
    canaries = Canaries()
    canaries.plant("typed private key", f"-----BEGIN PRIVATE KEY-----\n{line}\nAAAA\n-----END PRIVATE KEY-----\n")

    canaries.note("an error", f"could not read {line}")

    assert canaries.found() == {("typed private key", "an error")}


@shows
def test_a_leak_into_the_log_is_found_whatever_its_level(planted: str) -> None:
    logging.getLogger("api.example").info("done", extra={"token": planted})
    assert channels() == {"the log"}

    CANARIES.let_out.clear()
    try:
        raise ValueError(planted)
    except ValueError:
        logging.getLogger("api.example").exception("failed")
    assert channels() == {"the log"}


@shows
def test_a_leak_into_an_expected_error_is_found(planted: str) -> None:
    Conflict("It is taken.", f"Use {planted}.")

    assert channels() == {"an error"}


@shows
def test_a_leak_into_the_audit_log_and_into_an_event_is_found(planted: str) -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    models.AuditEntry(action="token.create", outcome=AuditOutcome.DONE, detail=planted, at=now)
    assert channels() == {"the audit log"}

    models.ConnectionEvent(
        type=ConnectionEventType.RENAMED, connection_id=uuid4(), connection_name=planted, connector_key="sandbox", folder_id=uuid4(),
        status=ConnectionStatus.CONNECTED, at=now,
    )  # fmt: skip
    assert channels() == {"the audit log", "an event"}


@shows
@pytest.mark.anyio
async def test_a_leak_into_an_answer_of_ours_is_found_and_what_a_provider_answers_is_its_own(planted: str) -> None:
    async def answer(_: Request) -> Response:
        return PlainTextResponse(f"the token is {planted}")

    app = Starlette(routes=[Route("/", answer)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with served(app, listener), httpx2.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            await client.get(url)
            assert channels() == set()
            app.state.patchbay = SimpleNamespace()
            await client.get(url)

    assert channels() == {"an answer"}


@shows
@pytest.mark.parametrize("name", ["patchbay.db", "patchbay.db-wal", "courier/journal.0", "backups/2026.db"])
def test_a_leak_into_a_file_is_found(planted: str, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    if name.endswith(".db"):
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE t (text)")
            database.execute("INSERT INTO t VALUES (?)", [planted])
        database.close()
    else:
        file.write_bytes(b"\0" + planted.encode() + b"\0")

    CANARIES.note_files(tmp_path)

    assert channels() == {f"the file {file.name}"}


TEST = """
import pytest
from tests.canaries import CANARIES

SECRET = "canary-0123456789abcdef"

def test_it_leaks_what_it_prints():
    CANARIES.plant("API token", SECRET)
    print(SECRET)

@pytest.mark.shows_secrets("it is what this is for")
def test_it_may_show_it():
    CANARIES.plant("API token", SECRET)
    print(SECRET)

@pytest.mark.shows_secrets("in an answer", "an answer")
def test_it_may_show_it_elsewhere():
    CANARIES.plant("API token", SECRET)
    print(SECRET)

def test_it_keeps_it():
    CANARIES.plant("API token", SECRET)
"""


def test_a_test_that_shows_a_secret_fails_unless_it_says_why(tmp_path: Path) -> None:
    file = tmp_path / "test_example.py"
    file.write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-qrN", "-p", "tests.canaries", "--noconftest", "--rootdir", str(tmp_path), str(file)]

    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)

    assert "2 failed, 2 passed" in done.stdout
    assert done.stdout.count("A secret was let out: API token shown by captured stdout call.") == 2
