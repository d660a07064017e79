"""Backups: made while the database is in use, looked through without a change, and put back."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tortoise.models import Model

import models
from api.cli import main
from api.vault.keys import generate_key_text
from models.database import open_database, transaction
from models.fields import SealedField
from models.file_lock import FileLock
from models.sealed_values import SEALED_COLUMNS
from tests.clock import HeldClock
from tests.installation import installed

pytestmark = pytest.mark.anyio

KEYS = "k1:yCmXTd0LbvBqA3m4YOYlzNzCaYbnY8tKgcZ3n0bGg2U="
REFUSED = 78
LOOKED_THROUGH = """\
{file} is whole: its pages, its indexes, and what its rows point to.
It holds: users 1, folders 1, connections 2, OAuth apps 1, entries of the audit log 5.
The master key opens all of its 4 sealed values.
"""


@dataclass(frozen=True)
class Place:
    """Where a database with connections is, its key, and a folder for backups."""

    folder: Path
    url: str

    @property
    def database(self) -> Path:
        return Path(self.url.removeprefix("sqlite://"))

    @property
    def file(self) -> Path:
        return self.folder / "backups" / "monday.db"

    def patchbay(self, *command: str | Path, **settings: str) -> Result:
        inherited: dict[str, str | None] = {name: None for name in os.environ if name.startswith("PATCHBAY_")}
        given = {"DATABASE_URL": self.url, "DATA_FOLDER": str(self.folder), "KEYS": KEYS} | settings
        environment = inherited | {f"PATCHBAY_{name}": value for name, value in given.items()}
        return CliRunner().invoke(main, [str(word) for word in command], env=environment)

    def names(self) -> list[str]:
        return sorted(
            file.name for file in self.database.parent.glob("patchbay.db*") if file.suffix not in (".lock", ".server", ".writing")
        )


@pytest.fixture(scope="module")
def filled(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two connections, a consent under way and an app: a sealed value each."""
    folder = tmp_path_factory.mktemp("filled")
    shutil.copy(sqlite_template, folder)

    async def fill() -> None:
        async with installed(f"sqlite://{folder}/patchbay.db", folder, HeldClock(), PATCHBAY_KEYS=KEYS) as here:
            await here.connect_by_consent()
            await here.connect_with_token()
            await here.begin()

    # In a thread, beside whatever loop the tests have.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, fill()).result()
    return folder / "patchbay.db"


@pytest.fixture
def place(filled: Path, tmp_path: Path) -> Place:
    (tmp_path / "backups").mkdir()
    shutil.copy(filled, tmp_path)
    return Place(tmp_path, f"sqlite://{tmp_path}/patchbay.db")


@pytest.fixture
def backed_up(place: Place) -> Place:
    assert place.patchbay("backup", place.file).exit_code == 0
    return place


def changed(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute(statement)


def counted(file: Path, table: str) -> int:
    with closing(sqlite3.connect(file)) as database:
        count: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count


def test_a_backup_is_one_file_for_its_owner_alone(place: Place) -> None:
    result = place.patchbay("backup", place.file)

    assert (result.exit_code, result.stdout) == (
        0,
        f"Backed up {place.url} in {place.file}. It opens only with the master key, which is not in it.\n",
    )
    assert [file.name for file in place.file.parent.iterdir()] == ["monday.db"]
    assert place.file.stat().st_mode & 0o777 == 0o600


async def test_a_backup_is_whole_as_of_one_moment_while_the_database_is_written_to(place: Place) -> None:
    """Users come in pairs, each in a transaction: a backup in between holds both of a pair, or none."""
    backups = [place.file.with_name(f"{number}.db") for number in range(5)]
    async with open_database(place.url):
        done = asyncio.Event()

        async def write() -> None:
            number = 0
            while not done.is_set():
                async with transaction():
                    for half in "ab":
                        await models.User.create(name=f"pair {number} {half}", created_at=HeldClock()())
                number += 1

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            for file in backups:
                assert (await asyncio.to_thread(place.patchbay, "backup", file)).exit_code == 0
            done.set()

    pairs = [counted(file, "user_account WHERE name LIKE 'pair %'") for file in backups]
    assert [count % 2 for count in pairs] == [0] * 5
    assert pairs == sorted(pairs)
    assert pairs[-1] > pairs[0]


def test_a_backup_overwrites_nothing(place: Place) -> None:
    place.file.write_text("mine")

    result = place.patchbay("backup", place.file)

    assert (result.exit_code, result.stderr) == (
        1,
        f"There is a file {place.file} already.\nName another: a backup overwrites nothing.\n",
    )
    assert [(file.name, file.read_text()) for file in place.file.parent.iterdir()] == [("monday.db", "mine")]


def test_a_damaged_database_is_not_backed_up(place: Place) -> None:
    content = place.database.read_bytes()
    place.database.write_bytes(content[: 8 * 4096] + b"\xa5" * 4096 + content[9 * 4096 :])

    result = place.patchbay("backup", place.file)

    assert result.exit_code == REFUSED
    assert f"the database {place.database} is damaged" in result.stderr
    assert list(place.file.parent.iterdir()) == []


@pytest.mark.parametrize("command", [("backup",), ("restore", "--check")], ids=" ".join)
def test_a_postgresql_database_is_left_to_its_own_tools(backed_up: Place, command: tuple[str, ...]) -> None:
    file = backed_up.file.with_name("other.db") if command == ("backup",) else backed_up.file

    result = backed_up.patchbay(*command, file, DATABASE_URL="postgres://ada:hush@127.0.0.1/patchbay")

    assert result.exit_code == 1
    assert "is on PostgreSQL, which has its own tools for that." in result.stderr
    assert "pg_" in result.stderr
    assert "hush" not in result.output
    assert [file.name for file in backed_up.file.parent.iterdir()] == ["monday.db"]


def test_a_check_says_what_a_backup_holds_and_changes_nothing(backed_up: Place) -> None:
    before = backed_up.file.read_bytes(), backed_up.database.read_bytes()

    result = backed_up.patchbay("restore", "--check", backed_up.file)

    assert (result.exit_code, result.stdout) == (0, LOOKED_THROUGH.format(file=backed_up.file))
    assert (backed_up.file.read_bytes(), backed_up.database.read_bytes()) == before
    assert [file.name for file in backed_up.file.parent.iterdir()] == ["monday.db"]


# To another byte than the last one is, whichever that is.
OTHER = "CASE substr(secrets, -1) WHEN x'00' THEN x'01' ELSE x'00' END"
CHANGED = f"UPDATE credential SET secrets = CAST(substr(secrets, 1, length(secrets) - 1) || {OTHER} AS BLOB)"
MOVED = "UPDATE oauth_app SET previous_secret = client_secret"
SPOILED = {
    "sealed values that were changed": (CHANGED, 1, "2 of its 4 sealed values do not open"),
    "sealed values that are text": ("UPDATE credential SET secrets = 'text'", 1, "2 of its 4 sealed values do not open"),
    "a sealed value that was moved": (MOVED, 1, "1 of its 5 sealed values do not open"),
    "rows that point nowhere": ("DELETE FROM user_account", 1, "point to rows that are not there"),
    "no keys": ("DELETE FROM crypto_key", REFUSED, "its key table was lost"),
}


@pytest.mark.parametrize(("statement", "code", "reason"), SPOILED.values(), ids=SPOILED)
def test_a_check_finds_what_is_wrong_with_a_backup(backed_up: Place, statement: str, code: int, reason: str) -> None:
    changed(backed_up.file, statement)

    result = backed_up.patchbay("restore", "--check", backed_up.file)

    assert (result.exit_code, reason in result.stderr) == (code, True), result.output


def test_a_check_finds_a_page_that_was_overwritten(backed_up: Place) -> None:
    content = backed_up.file.read_bytes()
    backed_up.file.write_bytes(content[: 8 * 4096] + b"\xa5" * 4096 + content[9 * 4096 :])

    result = backed_up.patchbay("restore", "--check", backed_up.file)

    assert result.exit_code == 1
    assert f"The backup {backed_up.file} is damaged" in result.stderr


def test_a_check_finds_that_the_key_is_another(backed_up: Place) -> None:
    result = backed_up.patchbay("restore", "--check", backed_up.file, KEYS=generate_key_text())

    assert result.exit_code == REFUSED
    assert "is not the one that this database knows by that id" in result.stderr


def test_a_database_that_is_lost_is_restored(backed_up: Place) -> None:
    for file in backed_up.database.parent.glob("patchbay.db*"):
        file.unlink()

    result = backed_up.patchbay("restore", backed_up.file)

    assert result.exit_code == 0
    assert result.stdout.startswith(LOOKED_THROUGH.format(file=backed_up.file) + f"Restored {backed_up.url}.\nWhat happened after")
    assert backed_up.database.stat().st_mode & 0o777 == 0o600
    assert counted(backed_up.database, "connection") == 2


def test_a_database_that_is_there_is_replaced_only_when_asked_and_then_kept(backed_up: Place) -> None:
    changed(backed_up.database, "UPDATE user_account SET name = 'later'")
    before = backed_up.database.read_bytes()

    refused = backed_up.patchbay("restore", backed_up.file)
    assert (refused.exit_code, "Give --replace" in refused.stderr) == (1, True)
    assert backed_up.database.read_bytes() == before

    restored = backed_up.patchbay("restore", "--replace", backed_up.file)
    assert restored.exit_code == 0
    [kept] = backed_up.database.parent.glob("patchbay.db.replaced-*")
    assert f"The former database is kept in {kept}." in restored.stdout
    assert counted(kept, "user_account WHERE name = 'later'") == 1
    assert counted(backed_up.database, "user_account WHERE name = 'later'") == 0


def test_an_event_after_a_restore_comes_after_those_that_were_undone(backed_up: Place) -> None:
    append = "INSERT INTO connection_event SELECT NULL, {columns} FROM connection_event LIMIT 1"
    with closing(sqlite3.connect(backed_up.database)) as database:
        names = [row[1] for row in database.execute("PRAGMA table_info(connection_event)")][1:]
    append = append.format(columns=", ".join(names))
    for _ in range(5):
        changed(backed_up.database, append)
    undone = newest_event(backed_up.database)

    assert backed_up.patchbay("restore", "--replace", backed_up.file).exit_code == 0

    assert newest_event(backed_up.database) < undone
    changed(backed_up.database, append)
    assert newest_event(backed_up.database) > undone


def newest_event(file: Path) -> int:
    with closing(sqlite3.connect(file)) as database:
        newest: int = database.execute("SELECT max(id) FROM connection_event").fetchone()[0]
        return newest


def test_what_is_in_the_log_of_the_former_database_is_kept_with_it(backed_up: Place) -> None:
    """Killed, a server leaves its log beside the database."""
    with closing(sqlite3.connect(backed_up.database)) as server:
        server.execute("PRAGMA journal_mode = WAL")
        server.execute("UPDATE user_account SET name = 'later'")
        server.commit()
        left = {ending: backed_up.database.with_name(f"patchbay.db{ending}").read_bytes() for ending in ("", "-wal")}
    for ending, content in left.items():
        backed_up.database.with_name(f"patchbay.db{ending}").write_bytes(content)

    assert backed_up.patchbay("restore", "--replace", backed_up.file).exit_code == 0

    [kept] = backed_up.database.parent.glob("patchbay.db.replaced-*Z")
    assert counted(kept, "user_account WHERE name = 'later'") == 1
    assert counted(backed_up.database, "user_account WHERE name = 'later'") == 0


def test_nothing_is_restored_while_a_server_runs(backed_up: Place) -> None:
    server = FileLock(backed_up.database.with_name("patchbay.db.server"))
    assert server.take()
    before = backed_up.database.read_bytes(), backed_up.names()

    result = backed_up.patchbay("restore", "--replace", backed_up.file)

    server.let_go()
    assert (result.exit_code, "is served already" in result.stderr) == (REFUSED, True)
    assert (backed_up.database.read_bytes(), backed_up.names()) == before


def test_a_database_in_use_is_no_backup(backed_up: Place) -> None:
    backed_up.file.with_name("monday.db-wal").write_bytes(b"log")

    result = backed_up.patchbay("restore", "--check", backed_up.file)

    assert (result.exit_code, "has a log beside it" in result.stderr) == (1, True)


def sealed_columns() -> Iterator[tuple[str, str]]:
    for model in (getattr(models, name) for name in models.__all__):
        if isinstance(model, type) and issubclass(model, Model):
            yield from ((model._meta.db_table, name) for name, field in model._meta.fields_map.items() if isinstance(field, SealedField))


def test_every_sealed_column_is_looked_through() -> None:
    assert sorted((column.table, column.name) for column in SEALED_COLUMNS) == sorted(sealed_columns())
