"""That what measures growth measures what it says, with few connections; how long it takes is for `scripts/bench`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import models
from models.database import open_database, rows
from tests.bench.claiming import measure_claims
from tests.bench.filling import grow
from tests.bench.ground import Ground, ground
from tests.bench.growing import measure_growth
from tests.faults.databases import Kind

# Databases and servers that start on a busy machine.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


@pytest.fixture(params=["sqlite", "postgresql"])
async def few(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    kind: Kind = request.param
    async with ground(kind, tmp_path, 100) as here:
        yield here


async def test_copies_are_in_the_queue_and_no_two_are_the_same(few: Ground) -> None:
    url = few.environment["PATCHBAY_DATABASE_URL"]
    await grow(url, to=300)
    await grow(url, to=500)

    async with open_database(url):
        found = await models.Connection.all()
        queued = """
        SELECT count(*) AS n FROM connection_queue AS queued JOIN connection ON id = connection_id WHERE connection.due_at = queued.due_at
        """
        assert (len(found), len({each.name_key for each in found}), (await rows(queued))[0]["n"]) == (500, 500, 400)
        assert {each.status for each in found} == {"CONNECTED", "DEGRADED", "ACTION_REQUIRED"}


async def test_claims_are_measured_alone_and_at_once(few: Ground) -> None:
    (found,) = [row async for row in measure_claims(few, [2100])]

    assert (found.connections, found.claims, found.claimers, found.claimed_twice) == (2100, 4, 4, 0)
    assert found.first > 0 and found.idle.lowest > 0 and found.rows_per_second > 0
    assert "claim of 200" in str(found)
    async with open_database(few.environment["PATCHBAY_DATABASE_URL"]):
        assert await models.Connection.filter(lease_until__not_isnull=True).count() == 0


async def test_every_list_is_measured_for_every_count(few: Ground) -> None:
    found = [row async for row in measure_growth(few, [300, 600], seconds=0.05)]

    assert [row.connections for row in found] == [300] * 10 + [600] * 10
    assert [row.list for row in found[:10]] == [row.list for row in found[10:]]
    assert all(row.failures == 0 and row.requests > 0 and row.median > 0 for row in found)
    assert {row.growth for row in found[:10]} == {1.0}
