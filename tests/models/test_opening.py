import asyncio
import contextvars
import random
import sqlite3
import stat
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import models
from models.database import CorruptDatabase, Database, DatabaseUrl, InvalidDatabaseUrl, migrate, open_database, rows
from models.sqlite_file import examine, examine_thoroughly

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_the_file_and_its_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "patchbay.db"
    await migrate(f"sqlite://{file}")

    async with open_database(f"sqlite://{file}"):
        await models.User.create(name="Ada", created_at=NOW)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (file.parent, *file.parent.iterdir())}

    files = ["patchbay.db", "patchbay.db.lock", "patchbay.db.writing", "patchbay.db-wal", "patchbay.db-shm"]
    assert modes == {"data": 0o700} | dict.fromkeys(files, 0o600)


async def test_sqlite_keeps_what_it_has_committed_and_checks_what_rows_point_to(sqlite_url: str) -> None:
    async with open_database(sqlite_url):
        pragmas = {name: (await rows(f"PRAGMA {name}"))[0] for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")}

    assert [list(row.values()) for row in pragmas.values()] == [["wal"], [2], [1], [10_000]]


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "patchbay.db"
    content = random.Random(1).randbytes(20_000)
    file.write_bytes(content)

    with pytest.raises(CorruptDatabase, match="latest good copy"):
        async with open_database(f"sqlite://{file}"):
            pytest.fail("it was opened")

    assert file.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["patchbay.db"]


async def test_a_damaged_file_is_refused_and_left_alone(sqlite_url: str) -> None:
    """Whole pages overwritten, one at a time: each that belongs to a table or an index is found."""
    file = DatabaseUrl.parse(sqlite_url).file
    async with open_database(sqlite_url):
        await models.User.bulk_create([models.User(name=f"user {number}", created_at=NOW) for number in range(500)])
    good = file.read_bytes()
    pages = len(good) // 4096
    assert pages > 20

    for page in range(pages):
        damaged = good[: page * 4096] + b"\xa5" * 4096 + good[(page + 1) * 4096 :]
        file.write_bytes(damaged)

        with pytest.raises(CorruptDatabase):
            async with open_database(sqlite_url):
                pytest.fail(f"it was opened without page {page}")

        assert file.read_bytes() == damaged

    file.write_bytes(good)
    async with open_database(sqlite_url):
        assert await models.User.all().count() == 500


async def test_a_truncated_file_is_refused(sqlite_url: str) -> None:
    file = DatabaseUrl.parse(sqlite_url).file
    file.write_bytes(file.read_bytes()[:-4096])

    with pytest.raises(CorruptDatabase):
        async with open_database(sqlite_url):
            pytest.fail("it was opened")


async def test_of_two_hundred_damaged_sectors_none_is_overlooked(sqlite_url: str) -> None:
    """512 bytes changed, anywhere: either a server refuses to start, or nothing that it reads has changed."""
    file = DatabaseUrl.parse(sqlite_url).file
    async with open_database(sqlite_url):
        await models.User.bulk_create([models.User(name=f"user {number}", created_at=NOW) for number in range(100)])
    good, before = file.read_bytes(), everything(file)
    chance = random.Random(7)
    refused = 0

    for _ in range(200):
        damaged, start = bytearray(good), chance.randrange(len(good) // 512) * 512
        damaged[start : start + 512] = chance.randbytes(512)
        file.write_bytes(damaged)
        try:
            examine_thoroughly(file)
        except CorruptDatabase:
            refused += 1
        else:
            assert everything(file) == before, start

    assert refused > 20


def test_a_schema_whose_words_cannot_be_read_is_damage(sqlite_url: str) -> None:
    """Python fails upon what SQLite says of it."""
    file = DatabaseUrl.parse(sqlite_url).file
    file.write_bytes(file.read_bytes().replace(b"CREATE TABLE", b"CREATE \x94\xc4\xa4\xd8E"))

    with pytest.raises(CorruptDatabase, match="malformed database schema"):
        examine_thoroughly(file)


def test_an_index_that_differs_from_its_rows_is_damage(sqlite_url: str) -> None:
    file = DatabaseUrl.parse(sqlite_url).file
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("INSERT INTO key_check (kek_id, check_value) VALUES ('a-master-key', 'value')")
    content = file.read_bytes()
    assert content.count(b"a-master-key") == 2

    file.write_bytes(content.replace(b"a-master-key", b"b-master-key", 1))

    examine(file)
    with pytest.raises(CorruptDatabase):
        examine_thoroughly(file)


def everything(file: Path) -> list[list[Any]]:
    with closing(sqlite3.connect(file)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        return [database.execute(f'SELECT * FROM "{table}" ORDER BY 1').fetchall() for table in tables]


def database_threads() -> set[int | None]:
    # Not those of the loop, which it keeps for the next call.
    return {thread.ident for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


async def test_closing_leaves_no_thread_and_no_connection(database_url: str) -> None:
    before = database_threads()

    with pytest.raises(ZeroDivisionError):
        async with open_database(database_url):
            await models.User.create(name="Ada", created_at=NOW)
            raise ZeroDivisionError

    async with asyncio.timeout(5):
        while database_threads() != before:
            await asyncio.sleep(0.001)
    with pytest.raises(RuntimeError, match="TortoiseContext"):
        await models.User.all().count()


async def test_tasks_use_the_database_that_they_have_entered(sqlite_url: str, tmp_path: Path) -> None:
    """Two databases at once, and tasks that begin outside: what a server does for each request."""
    other_url = f"sqlite://{tmp_path}/other.db"
    await migrate(other_url)
    outside = contextvars.copy_context()

    async def write(database: Database, name: str) -> list[str]:
        with database.entered():
            await asyncio.sleep(0)
            await models.User.create(name=name, created_at=NOW)
            await asyncio.sleep(0)
            return [user.name for user in await models.User.all()]

    async with open_database(sqlite_url) as one, open_database(other_url) as other:
        seen_in_one, seen_in_other = await asyncio.gather(
            asyncio.create_task(write(one, "Ada"), context=outside.copy()), asyncio.create_task(write(other, "Bob"), context=outside.copy())
        )

    assert seen_in_one == ["Ada"]
    assert seen_in_other == ["Bob"]


async def test_the_password_is_never_shown(postgresql_url: str) -> None:
    url = DatabaseUrl.parse("postgres://patchbay:s3cr%2Fet@db.internal:6543/patchbay?sslmode=require")

    assert str(url) == "postgres://patchbay@db.internal:6543/patchbay"
    assert "s3cr" not in repr(url)
    assert url.credentials == {
        "user": "patchbay", "password": "s3cr/et", "host": "db.internal", "port": 6543, "database": "patchbay", "ssl": "require"
    }  # fmt: skip
    async with open_database(postgresql_url.replace("postgres@", "postgres:s3cret@")) as database:
        assert "s3cret" not in repr(database)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://root:s3cret@host/name",
        "sqlite://patchbay.db",
        "sqlite://:memory:",
        "sqlite:///",
        "sqlite:///var/patchbay.db?synchronous=OFF",
        "postgres://patchbay:s3cret@host",
        "postgres://patchbay:s3cret@host:port/name",
        "postgres://patchbay:s3[cret@host/name",
        "postgres://patchbay:s3cret@host/name?maxsize=1000",
    ],
)
async def test_a_url_that_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidDatabaseUrl) as refused:
        async with open_database(url):
            pytest.fail("it was opened")

    assert "cret" not in str(refused.value)
    assert refused.value.__cause__ is None
