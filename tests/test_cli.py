"""The command line: what an operator sets up with it, and what it refuses without having written anything."""

import asyncio
import json
import logging
import os
import re
import socket
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
import httpx2
import pytest
from click.testing import CliRunner, Result

import models
from api.app import create_app
from api.cli import main
from api.clock import utc_now
from api.settings import Settings
from api.vault.keys import MasterKeys, create_key_file, generate_key_text
from models.database import open_database, pending_migrations, rows
from models.file_lock import FileLock
from tests.conftest import MIGRATIONS

NEWEST = max(file.stem for file in MIGRATIONS.glob("0*.py"))
REFUSED = 78
COMMANDS = [
    ("serve",),
    ("migrate",),
    ("users", "create", "--name", "Ada"),
    ("tokens", "create", "--user", "ada@example.com", "--name", "laptop"),
]
CREATE_ADA = ("users", "create", "--name", "Ada", "--email", "ada@example.com")

Answer = TypeVar("Answer")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder where commands are given: empty, with the local default in it."""
    monkeypatch.chdir(tmp_path)
    before = logging.root.level, logging.root.handlers[:]
    yield tmp_path
    # `serve` sends the logs of its process to a stream that is closed by now.
    logging.root.setLevel(before[0])
    logging.root.handlers[:] = before[1]


@pytest.fixture
def migrated(folder: Path, sqlite_url: str) -> Path:
    """The same, with a key and an empty database."""
    (folder / ".patchbay").mkdir()
    (folder / "patchbay.db").rename(folder / ".patchbay" / "patchbay.db")
    create_key_file(folder / ".patchbay" / "master.key")
    assert patchbay("migrate").stdout == "Nothing to do.\n"
    return folder


def patchbay(*command: str, **settings: str) -> Result:
    """Give a command with these settings alone."""
    inherited: dict[str, str | None] = {name: None for name in os.environ if name.startswith("PATCHBAY_")}
    return CliRunner().invoke(main, command, env=inherited | {f"PATCHBAY_{name}": value for name, value in settings.items()})


def files(folder: Path) -> dict[str, bytes]:
    """Everything below the folder, byte for byte, but for the locks, which keep nothing."""
    kept = (file for file in sorted(folder.rglob("*")) if file.suffix not in (".lock", ".server", ".writing"))
    return {str(file.relative_to(folder)): file.read_bytes() if file.is_file() else b"" for file in kept}


def stored(folder: Path, look: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """What the database of the local default holds."""

    async def run() -> Answer:
        async with open_database(f"sqlite://{folder}/.patchbay/patchbay.db"):
            return await look()

    return asyncio.run(run())


def assert_refused(result: Result, reason: str, remedy: str) -> None:
    assert result.exit_code == REFUSED, result.output
    assert result.stdout == ""
    assert reason in result.stderr
    assert remedy in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", main.list_commands(click.Context(main)))
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = main.get_command(click.Context(main), name)

    assert command is not None
    assert command.name == name
    assert f" {name} {command.help} " in " ".join(patchbay("--help").stdout.split()) + " "


def test_migrate_makes_the_key_and_the_database_of_the_local_default_once(folder: Path) -> None:
    first, key = patchbay("migrate"), (folder / ".patchbay" / "master.key").read_bytes()
    second = patchbay("migrate")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert f"Made a master key in {folder}/.patchbay/master.key." in first.stdout
    assert "\nApplied 0001_initial.\n" in first.stdout
    assert second.stdout == "Nothing to do.\n"
    assert (folder / ".patchbay" / "master.key").read_bytes() == key


def test_migrate_brings_a_postgresql_database_up_and_makes_no_key(folder: Path, bare_postgresql_url: str) -> None:
    first = patchbay("migrate", DATABASE_URL=bare_postgresql_url, KEYS=generate_key_text())
    second = patchbay("migrate", DATABASE_URL=bare_postgresql_url, KEYS=generate_key_text())

    assert first.stdout.startswith("Applied 0001_initial.\n")
    assert second.stdout == "Nothing to do.\n"
    assert files(folder) == {".patchbay": b""}


def test_the_link_and_the_token_that_are_printed_work_over_http(migrated: Path) -> None:
    created = patchbay(*CREATE_ADA)
    link = re.search(r"^Sign in, once, within an hour: http://127.0.0.1:8000(/sign-in\?link=\S+)$", created.stdout, re.MULTILINE)
    token = patchbay("tokens", "create", "--user", "ADA@example.com", "--name", "laptop")

    async def visit() -> tuple[str, Any]:
        app = create_app(Settings.from_environment({}))
        browser = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8000", follow_redirects=True)
        async with app.router.lifespan_context(app), browser:
            assert link is not None, created.stdout
            home = await browser.get(link[1])
            browser.cookies.clear()
            authorization = {"authorization": f"Bearer {token.stdout.strip()}"}
            answer = await browser.post("/graphql", json={"query": "{ viewer { name } }"}, headers=authorization)
            return home.text, answer.json()

    home, answer = asyncio.run(visit())

    assert "Hello, Ada" in home
    assert answer == {"data": {"viewer": {"name": "Ada"}}}


def test_a_token_is_printed_alone_so_that_a_script_can_take_it(migrated: Path) -> None:
    user = re.search(r"^Created Ada: (\S+)$", patchbay(*CREATE_ADA).stdout, re.MULTILINE)
    assert user is not None

    result = patchbay("tokens", "create", "--user", user[1], "--name", "laptop")

    assert re.fullmatch(r"pb_user_\w+\n", result.stdout), result.stdout
    assert result.stderr == ""


def test_a_token_lasts_as_many_days_as_asked_for_and_else_for_ever(migrated: Path) -> None:
    patchbay(*CREATE_ADA)

    patchbay("tokens", "create", "--user", "ada@example.com", "--name", "week", "--days", "7")
    patchbay("tokens", "create", "--user", "ada@example.com", "--name", "ever")

    ends = {token.name: token.expires_at for token in stored(migrated, lambda: _all(models.ApiToken))}
    assert ends["ever"] is None
    assert timedelta(days=6, hours=23) < ends["week"] - utc_now() < timedelta(days=7)


def test_only_who_is_to_be_an_administrator_becomes_one(migrated: Path) -> None:
    patchbay(*CREATE_ADA, "--administrator")
    patchbay("users", "create", "--name", "Bob")

    assert {user.name: user.administrator for user in stored(migrated, lambda: _all(models.User))} == {"Ada": True, "Bob": False}


@pytest.mark.parametrize(
    ("email", "reason"),
    [("ADA@example.com", "There is a user with this email address already."), ("ada", "email: must be an email address")],
)
def test_a_user_who_cannot_be_is_not_created(migrated: Path, email: str, reason: str) -> None:
    patchbay(*CREATE_ADA)

    result = patchbay("users", "create", "--name", "Second", "--email", email)

    assert (result.exit_code, result.stdout) == (1, "")
    assert reason in result.stderr
    assert [user.name for user in stored(migrated, lambda: _all(models.User))] == ["Ada"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--user", "bob@example.com", "--name", "laptop"), "there is no user with the address bob@example.com"),
        (("--user", "00000000-0000-0000-0000-000000000000", "--name", "laptop"), "There is no such user"),
        (("--user", "ada@example.com", "--name", " "), "name: must not be empty"),
        (("--user", "ada@example.com", "--name", "laptop", "--days", "0"), "0 is not in the range 1<=x<=3650"),
    ],
)
def test_a_token_that_cannot_be_is_not_created(migrated: Path, options: tuple[str, ...], reason: str) -> None:
    patchbay(*CREATE_ADA)

    result = patchbay("tokens", "create", *options)

    assert (result.exit_code in (1, 2), result.stdout) == (True, "")
    assert reason in result.stderr
    assert stored(migrated, lambda: _all(models.ApiToken)) == []


def test_a_generated_key_is_printed_alone_and_is_one(folder: Path) -> None:
    result = patchbay("keys", "generate", "--id", "2027")

    assert MasterKeys.from_text(result.stdout).ids == ("2027",)
    assert result.stdout.count("\n") == 1
    assert files(folder) == {}


def test_a_key_generated_into_a_file_is_not_printed(folder: Path) -> None:
    result = patchbay("keys", "generate", "--file", "master.key")

    assert result.stdout == "Made a master key in master.key.\n"
    assert (folder / "master.key").stat().st_mode & 0o777 == 0o600
    assert MasterKeys.from_file(folder / "master.key").ids == ("k1",)


def test_a_key_file_that_is_there_is_not_overwritten(folder: Path) -> None:
    patchbay("keys", "generate", "--file", "master.key")
    before = files(folder)

    result = patchbay("keys", "generate", "--file", "master.key")

    assert_refused(result, "The key file master.key is there already and is never overwritten.", "choose another path")
    assert files(folder) == before


@pytest.mark.parametrize(
    "beyond",
    [
        {"DATABASE_URL": "postgres://ada:hush@db.example.com/patchbay"},
        {"PUBLIC_URL": "https://patchbay.example.com"},
        {"HOST": "0.0.0.0"},
    ],
    ids=["postgresql", "public URL", "every interface"],
)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_beyond_the_local_default_nothing_starts_without_a_key(folder: Path, command: tuple[str, ...], beyond: dict[str, str]) -> None:
    result = patchbay(*command, **beyond)

    assert_refused(result, "PATCHBAY_KEY_FILE or PATCHBAY_KEYS is needed", "`patchbay keys generate --file FILE`")
    assert "hush" not in result.output
    assert files(folder) == {}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PROT", "8001", "PATCHBAY_PROT is not a setting. Is PATCHBAY_PORT meant?"),
        ("PORT", "80a", "PATCHBAY_PORT is not such a number; it accepts 1 to 65535."),
    ],
)
def test_a_setting_that_is_not_right_stops_every_command(
    folder: Path, command: tuple[str, ...], name: str, value: str, problem: str
) -> None:
    result = patchbay(*command, **{name: value})

    assert_refused(result, "Patchbay cannot start with these settings:", problem)
    assert files(folder) == {}


@pytest.mark.parametrize("command", [*COMMANDS, ("keys", "rotate"), ("keys", "rewrap")], ids=" ".join)
@pytest.mark.parametrize(
    ("key_id", "reason"),
    [
        ("k1", "The master key “k1” is not the one that this database knows by that id."),
        ("k2", "The master key “k1” is missing: the database needs it, and was given “k2”."),
    ],
    ids=["wrong key", "half a ring"],
)
def test_a_database_of_other_keys_is_not_touched(migrated: Path, command: tuple[str, ...], key_id: str, reason: str) -> None:
    patchbay(*CREATE_ADA)
    before = files(migrated)

    result = patchbay(*command, KEYS=generate_key_text(key_id), PORT=str(_free_port()))

    assert_refused(result, reason, "Nothing was written.")
    assert files(migrated) == before


@pytest.mark.parametrize("command", [("serve",), ("migrate",)], ids=" ".join)
def test_a_database_of_other_keys_is_not_migrated(migrated: Path, command: tuple[str, ...]) -> None:
    patchbay(*CREATE_ADA)
    stored(migrated, lambda: rows("DELETE FROM tortoise_migrations WHERE name = $1", [NEWEST]))
    before = files(migrated)

    result = patchbay(*command, KEYS=generate_key_text(), PORT=str(_free_port()))

    assert_refused(result, "The master key “k1” is not the one that this database knows by that id.", "Nothing was written.")
    assert files(migrated) == before


def test_a_postgresql_database_of_other_keys_is_not_migrated(folder: Path, postgresql_url: str) -> None:
    key = generate_key_text()
    patchbay(*CREATE_ADA, DATABASE_URL=postgresql_url, KEYS=key)

    async def forget_the_last() -> None:
        async with open_database(postgresql_url):
            await rows("DELETE FROM tortoise_migrations WHERE name = $1", [NEWEST])

    asyncio.run(forget_the_last())

    result = patchbay("migrate", DATABASE_URL=postgresql_url, KEYS=generate_key_text())

    assert_refused(result, "The master key “k1” is not the one that this database knows by that id.", "Nothing was written.")
    assert asyncio.run(pending_migrations(postgresql_url)) == [NEWEST]


def test_both_layers_of_keys_rotate_by_commands(migrated: Path) -> None:
    patchbay(*CREATE_ADA)
    key_file = migrated / ".patchbay" / "master.key"
    old = key_file.read_text()
    key_file.write_text(generate_key_text("k2") + "\n" + old)

    rotated, rewrapped = patchbay("keys", "rotate"), patchbay("keys", "rewrap")
    status = patchbay("keys", "status")
    key_file.write_text(key_file.read_text().splitlines()[0])
    done = json.loads(patchbay("keys", "status", "--json").stdout)

    assert rotated.stdout.splitlines() == [
        "Made the data key 3, wrapped by the master key k2.",
        "The data key 3 is active: what is sealed from now on is sealed with it.",
        "The data key 1 is retired: nothing is sealed with it any more.",
    ]
    assert rewrapped.stdout.splitlines() == [
        "Wrapped 2 keys by the master key k2.",
        "The master key k1 wraps nothing: it may be removed from the key file of every server.",
    ]
    assert re.search(r"^k2 +[0-9a-f]{32} +3 +yes, primary$", status.stdout, re.MULTILINE)
    assert re.search(r"^3 +DATA +ACTIVE +k2 .* 0 +0 of 0$", status.stdout, re.MULTILINE)
    assert done["advice"] == ["Nothing is to be done."]
    assert patchbay("users", "create", "--name", "Bob").exit_code == 0


def test_there_is_nothing_to_resume_where_no_rotation_was_begun(migrated: Path) -> None:
    patchbay(*CREATE_ADA)

    result = patchbay("keys", "rotate", "--resume")

    assert (result.exit_code, result.stdout) == (0, "There is no rotation to finish.\n")


@pytest.mark.parametrize("command", [("serve",), ("migrate",)], ids=" ".join)
def test_a_database_whose_key_was_lost_gets_no_other(migrated: Path, command: tuple[str, ...]) -> None:
    key = migrated / ".patchbay" / "master.key"
    key.unlink()
    before = files(migrated)

    result = patchbay(*command, PORT=str(_free_port()))

    assert_refused(result, f"The database is there, and its master key {key} is not.", "Put the key back")
    assert files(migrated) == before


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (None, 0o600, "cannot be read: No such file or directory."),
        (generate_key_text(), 0o644, "can be read by others"),
        ("k1:hush!", 0o600, "is not base64"),
        ("", 0o600, "There is no master key."),
    ],
    ids=["absent", "open to others", "broken", "empty"],
)
def test_a_key_file_that_cannot_be_used_stops_the_start(folder: Path, content: str | None, mode: int, reason: str) -> None:
    key_file = folder / "the.key"
    if content is not None:
        key_file.write_text(content)
        key_file.chmod(mode)
    before = files(folder)

    result = patchbay("serve", KEY_FILE=str(key_file), PORT=str(_free_port()))

    assert_refused(result, reason, "")
    assert "hush" not in result.output
    assert files(folder) == before


def test_a_port_that_is_taken_stops_the_start(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        result = patchbay("serve", PORT=str(port))

    assert_refused(result, f"Patchbay cannot listen on 127.0.0.1, port {port}: Address already in use.", "PATCHBAY_PORT")
    assert files(folder) == {}


@pytest.mark.parametrize("command", [("serve",), ("serve", "--no-refresh"), ("refresh",)], ids=" ".join)
def test_an_sqlite_file_that_is_served_stops_the_start_of_another_server(migrated: Path, command: tuple[str, ...]) -> None:
    server = FileLock(migrated / ".patchbay" / "patchbay.db.server")
    assert server.take()
    server.leave("process 12 on host")
    before = files(migrated)

    result = patchbay(*command, PORT=str(_free_port()))

    server.let_go()
    assert_refused(result, "is served already, by process 12 on host. An SQLite file has one server at a time.", "use PostgreSQL")
    assert files(migrated) == before


def test_commands_run_beside_the_server(migrated: Path) -> None:
    server = FileLock(migrated / ".patchbay" / "patchbay.db.server")
    assert server.take()

    result = patchbay(*CREATE_ADA)

    server.let_go()
    assert result.exit_code == 0
    assert [user.name for user in stored(migrated, lambda: _all(models.User))] == ["Ada"]


@pytest.mark.parametrize("command", [("serve",), ("migrate",)], ids=" ".join)
def test_a_data_folder_that_cannot_be_made_stops_the_start(folder: Path, command: tuple[str, ...]) -> None:
    (folder / "file").write_text("mine")

    result = patchbay(*command, DATA_FOLDER="file", PORT=str(_free_port()))

    assert_refused(result, f"The data folder {folder}/file cannot be made: File exists.", "PATCHBAY_DATA_FOLDER")
    assert files(folder) == {"file": b"mine"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_that_is_out_of_reach_is_told_without_its_password(folder: Path, command: tuple[str, ...]) -> None:
    nowhere = f"postgres://ada:hush@127.0.0.1:{_free_port()}/patchbay"

    result = patchbay(*command, DATABASE_URL=nowhere, KEYS=generate_key_text(), PORT=str(_free_port()))

    assert_refused(result, "The database postgres://ada@127.0.0.1:", "Check PATCHBAY_DATABASE_URL")
    assert "hush" not in result.output


@pytest.mark.parametrize("command", COMMANDS[2:], ids=" ".join)
def test_people_and_tokens_wait_for_a_database(folder: Path, command: tuple[str, ...]) -> None:
    result = patchbay(*command)

    assert_refused(result, f"There is no database sqlite://{folder}/.patchbay/patchbay.db yet.", "Run `patchbay migrate`.")
    assert files(folder) == {}


@pytest.mark.parametrize("command", COMMANDS[2:], ids=" ".join)
def test_people_and_tokens_wait_for_the_newest_database(folder: Path, command: tuple[str, ...], bare_postgresql_url: str) -> None:
    result = patchbay(*command, DATABASE_URL=bare_postgresql_url, KEYS=generate_key_text())

    assert_refused(result, "is older than this version of Patchbay.", "Run `patchbay migrate`.")
    assert files(folder) == {}


async def _all(model: Any) -> list[Any]:
    return list(await model.all())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port: int = trial.getsockname()[1]
    return port
