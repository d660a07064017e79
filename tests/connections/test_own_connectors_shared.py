"""Connectors of one's own in several processes, and after a start."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import models
from api.errors import NotFound
from api.opening import open_patchbay
from api.patchbay import Patchbay
from api.settings import Settings
from tests.acceptance.processes import until
from tests.clock import HeldClock
from tests.connections.own import Bench, bench_on

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


@pytest.fixture
async def bench(postgresql_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_on(postgresql_url, tmp_path) as bench:
        yield bench


@asynccontextmanager
async def another(settings: Settings, *, serves: bool = True) -> AsyncIterator[Patchbay]:
    """Another process on the same database."""
    async with open_patchbay(settings, clock=HeldClock(), serves=serves, refreshes=False) as patchbay:
        yield patchbay


async def test_other_processes_are_told_of_what_was_made_changed_and_deleted(bench: Bench) -> None:
    async with another(bench.patchbay.settings) as other:
        await bench.create()
        await until(lambda: newest(other, 1))
        await bench.update(name="Acme 2")
        await until(lambda: newest(other, 2))
        await bench.patchbay.building.delete(bench.ada, "acme")
        await until(lambda: newest(other, None))


async def newest(patchbay: Patchbay, version: int | None) -> bool:
    connector = patchbay.catalog.find("acme")
    return (None if connector is None else connector.version) == version


async def test_what_no_notice_told_of_is_looked_for_before_it_is_said_not_to_be_there(bench: Bench) -> None:
    async with another(bench.patchbay.settings, serves=False) as deaf:
        await bench.create()

        assert deaf.catalog.find("acme") is None
        connection = await deaf.connecting.connect(bench.ada, bench.request())
        await bench.update(name="Acme 2")
        later = await bench.connect(name="Later")
        subject = await deaf.refresher._subjects.get(later.id)

    assert isinstance(connection, models.Connection)
    assert connection.connector_version == 1
    assert (subject.provider.connector.name, subject.provider.connector.version) == ("Acme 2", 2)


async def test_one_that_was_deleted_elsewhere_connects_nobody_here(bench: Bench) -> None:
    await bench.create()
    async with another(bench.patchbay.settings, serves=False) as deaf:
        await bench.patchbay.building.delete(bench.ada, "acme")
        assert deaf.catalog.find("acme") is not None

        with pytest.raises(NotFound):
            await deaf.connecting.connect(bench.ada, bench.request())

    assert await models.Connection.all().count() == 0


async def test_a_start_finds_all_versions(bench: Bench) -> None:
    await bench.create()
    await bench.update(name="Acme 2")

    async with another(bench.patchbay.settings, serves=False) as started:
        kept, offered = started.catalog.find_version("acme", 1), started.catalog.find("acme")

    assert kept is not None
    assert offered is not None
    assert (kept.name, offered.name, offered.version) == ("Acme", "Acme 2", 2)


async def test_a_file_that_comes_later_does_not_take_the_place_of_one_of_ones_own(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.create()
    toml = await bench.patchbay.building.export(bench.ada, "acme")
    assert toml is not None
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "acme.toml").write_text(toml.replace('name = "Acme"', 'name = "From a file"'))

    async with another(replace(bench.patchbay.settings, connectors_folder=folder), serves=False) as released:
        offered = released.catalog.find("acme")

    assert offered is not None
    assert (offered.name, offered.version) == ("Acme", 1)
    assert "connector of one's own offered in the place of a file" in caplog.text
