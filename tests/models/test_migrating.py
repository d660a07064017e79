import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from tortoise.fields.base import Field
from tortoise.migrations import operations as ops
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.operations import Operation

import models
from models.database import Database, migrate, open_database, pending_migrations, rows
from models.engines.context import apps
from models.migrations._operations import CreateCheckedModel, OnPostgresql, OnSqlite, ReplaceCheck
from models.sqlite_file import CorruptDatabase

pytestmark = pytest.mark.anyio

MIGRATIONS = Path(models.__file__).parent / "migrations"
ALL = sorted(file.stem for file in MIGRATIONS.glob("0*.py"))
# On SQLite the others rebuild the table, and lose what SQL has put on it.
SAFE = (ops.CreateModel, CreateCheckedModel, ops.AddField, ops.AddIndex, ops.RunSQL, OnPostgresql, OnSqlite, ReplaceCheck, ops.RunPython)


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it, of the kind that the parameter names."""
    return str(request.getfixturevalue("bare_postgresql_url")) if request.param == "postgresql" else f"sqlite://{tmp_path}/new/patchbay.db"


both = pytest.mark.parametrize("empty_url", ["sqlite", "postgresql"], indirect=True)


async def applied() -> list[str]:
    return [row["name"] for row in await rows("SELECT name FROM tortoise_migrations ORDER BY name")]


@both
async def test_an_empty_database_gets_every_migration_once(empty_url: str) -> None:
    assert await pending_migrations(empty_url) == ALL

    assert await migrate(empty_url) == ALL

    assert await pending_migrations(empty_url) == []
    assert await migrate(empty_url) == []
    async with open_database(empty_url):
        assert await applied() == ALL
        assert await models.User.all().count() == 0


MIGRATE = """
import asyncio, sys
from models.database import migrate

print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(migrate(sys.argv[1])), flush=True)
"""


@both
async def test_of_three_processes_that_migrate_at_once_one_does_it(empty_url: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", MIGRATE, empty_url, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"

    ends = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))

    assert [error.decode() for _, error in ends] == ["", "", ""]
    assert sorted(output.decode().strip() for output, _ in ends) == sorted(["[]", "[]", str(ALL)])
    async with open_database(empty_url):
        assert await applied() == ALL


@both
async def test_a_migration_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is one transaction: the tables, and the record that they are there."""
    record = MigrationExecutor.migrate

    async def migrate_and_break(executor: MigrationExecutor) -> None:
        await record(executor)
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(MigrationExecutor, "migrate", migrate_and_break)
        with pytest.raises(ZeroDivisionError):
            await migrate(empty_url)

    assert await pending_migrations(empty_url) == ALL
    assert await migrate(empty_url) == ALL


async def test_an_sqlite_file_that_holds_something_is_copied_before_it_is_migrated(sqlite_url: str, tmp_path: Path) -> None:
    async with open_database(sqlite_url):
        # What they make is there already.
        await rows("DELETE FROM tortoise_migrations WHERE name >= '0009'")
        await rows("INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('patchbay', '0000_before', '2026-01-01')")
    with pytest.raises(Exception, match="already exists|duplicate column name"):
        await migrate(sqlite_url)

    copy = tmp_path / "patchbay.db.before-0009_growth"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.read_bytes()[:15] == b"SQLite format 3"
    assert sorted(file.name for file in tmp_path.glob("*unfinished*")) == []


async def test_a_new_sqlite_file_is_not_copied(tmp_path: Path) -> None:
    await migrate(f"sqlite://{tmp_path}/patchbay.db")

    assert sorted(file.name for file in tmp_path.iterdir()) == ["patchbay.db", "patchbay.db.lock", "patchbay.db.writing"]


async def test_a_damaged_file_is_not_migrated(tmp_path: Path) -> None:
    file = tmp_path / "patchbay.db"
    file.write_bytes(b"not a database at all" * 500)

    with pytest.raises(CorruptDatabase):
        await migrate(f"sqlite://{file}")

    assert file.read_bytes() == b"not a database at all" * 500


async def test_models_and_migrations_are_in_step(database: Database) -> None:
    """Whoever changes a model writes the migration for it."""
    assert database.context.apps is not None
    changes = await MigrationAutodetector(database.context.apps, apps(database.dialect)).changes()

    assert [operation.describe() for writer in changes for operation in writer.operations if not _only_words(operation)] == []


async def test_migrations_only_do_what_is_safe_on_sqlite(database: Database) -> None:
    executor = MigrationExecutor(database.context.db(), apps(database.dialect))
    await executor.loader.build_graph()

    for migration in executor.loader.disk_migrations.values():
        for operation in migration.operations:
            assert type(operation) in SAFE, f"{migration.name}: {operation.describe()}"
            if isinstance(operation, ops.AddField):
                assert isinstance(operation.field, Field)
                assert operation.field.null or operation.field.has_db_default(), f"{migration.name}: {operation.describe()}"


def test_migrations_import_nothing_that_may_change() -> None:
    for file in MIGRATIONS.glob("0*.py"):
        imported = re.findall(r"^(?:from|import) (\S+)", file.read_text(), re.MULTILINE)
        assert {name for name in imported if name.split(".")[0] in ("api", "models")} <= {"models.migrations._operations"}


def _only_words(operation: Operation) -> bool:
    # The docstring of a model, which no migration repeats.
    return isinstance(operation, ops.AlterModelOptions)
