"""While a new version is rolled out, the one before runs on the database that the new one has migrated; and so it does after a way back."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

import models
from models.database import DatabaseUrl, migrate, open_database, rows
from models.engines.context import apps, connected
from tests.clock import HeldClock
from tests.installation import installed

pytestmark = pytest.mark.anyio

ALL = sorted(file.stem for file in (Path(models.__file__).parent / "migrations").glob("0*.py"))

# The names of the columns by table.
Columns = dict[str, list[str]]


@pytest.fixture(scope="module")
async def former_columns(tmp_path_factory: pytest.TempPathFactory) -> Columns:
    """What the migration before the newest left. The names are the same on both databases."""
    file = tmp_path_factory.mktemp("former") / "patchbay.db"
    async with connected(DatabaseUrl.parse(f"sqlite://{file}"), foreign_keys=False) as context:
        await MigrationExecutor(context.db(), apps("sqlite")).migrate([MigrationTarget("patchbay", ALL[-2])])
        found = await rows("SELECT t.name, c.name AS col FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'")
    columns: Columns = {}
    for row in found:
        if not row["name"].startswith(("sqlite_", "tortoise_")):
            columns.setdefault(row["name"], []).append(row["col"])
    return columns


async def write_again(url: str, columns: Columns) -> dict[str, int]:
    """Take every row out and put it in again as a version would that knows these columns alone; how many there are by table."""
    where = DatabaseUrl.parse(url)
    if where.dialect == "sqlite":
        with closing(sqlite3.connect(where.file)) as database:
            counts = {table: _write_again_on_sqlite(database, table, names) for table, names in columns.items()}
            database.commit()
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
            return counts
    session = await asyncpg.connect(**where.credentials)
    try:
        # Rows point to others that are put in later. What is NOT NULL or checked stays so.
        await session.execute("SET session_replication_role = replica")
        return {table: await _write_again_on_postgresql(session, table, names) for table, names in columns.items()}
    finally:
        await session.close()


def _write_again_on_sqlite(database: sqlite3.Connection, table: str, names: list[str]) -> int:
    found = database.execute(f'SELECT {_quoted(names)} FROM "{table}"').fetchall()
    database.execute(f'DELETE FROM "{table}"')
    database.executemany(f'INSERT INTO "{table}" ({_quoted(names)}) VALUES ({", ".join("?" for _ in names)})', found)
    return len(found)


async def _write_again_on_postgresql(session: asyncpg.Connection, table: str, names: list[str]) -> int:
    found = await session.fetch(f'SELECT {_quoted(names)} FROM "{table}"')
    await session.execute(f'DELETE FROM "{table}"')
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    await session.executemany(f'INSERT INTO "{table}" ({_quoted(names)}) VALUES ({places})', [list(row) for row in found])
    return len(found)


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


async def test_the_version_before_writes_and_reads_what_it_knows_on_the_newest_schema(
    database_url: str, former_columns: Columns, tmp_path: Path
) -> None:
    clock = HeldClock()
    async with installed(database_url, tmp_path, clock) as here:
        await here.connect_by_consent()
        await here.connect_with_token()
        await here.tick(after=timedelta(minutes=2))
        authorization = await here.begin()

    counts = await write_again(database_url, former_columns)

    assert counts["connection"] == 2
    assert len([count for count in counts.values() if count > 0]) >= 10
    async with open_database(database_url):
        # And the newest version reads what the one before has written.
        assert (await models.Authorization.get(id=authorization.id)).asked_by_id is None


async def test_a_database_that_a_later_version_migrated_is_used_as_it_is(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with open_database(database_url):
        await rows("INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('patchbay', '9999_later', '2026-01-01')")
        await rows("ALTER TABLE connection ADD COLUMN later TEXT DEFAULT 'later'")

    assert await migrate(database_url) == []

    assert [(record.message, record.migrations) for record in caplog.records if record.name == "models.migrating"] == [  # type: ignore[attr-defined]
        ("database was migrated by a later version", ["9999_later"])
    ]
    async with open_database(database_url):
        assert await models.Connection.all().count() == 0
