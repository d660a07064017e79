"""Processes with a part of the work each, and the one server that an SQLite file has."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

import models
from api.vault.keys import generate_key_text
from tests.acceptance.processes import Program, free_port, running, until
from tests.clock import HeldClock
from tests.connections.trouble import Endpoint
from tests.installation import installed

# Several processes, one after another.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

REFUSED = 78
DRAIN_SECONDS = 30


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What every process of an installation is given, but for the database and a folder of its own."""
    return {"PATCHBAY_DATA_FOLDER": str(tmp_path / "data"), "PATCHBAY_KEYS": generate_key_text()}


@asynccontextmanager
async def patchbay(*command: str, words: Path, environment: dict[str, str]) -> AsyncIterator[tuple[Program, str]]:
    """One process, and its address."""
    port = str(free_port())
    public = {"PATCHBAY_PORT": port, "PATCHBAY_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    async with running(sys.executable, "-m", "api", *command, words=words, environment=environment | public) as program:
        yield program, public["PATCHBAY_PUBLIC_URL"]


async def logs(program: Program, message: str) -> dict[str, Any]:
    """Wait until it logs this."""

    async def look() -> dict[str, Any] | None:
        lines = [json.loads(line) for line in program.log.splitlines() if line.startswith("{") and line.endswith("}")]
        found = next((line for line in lines if line["message"] == message), None)
        assert found or program.runs, program.log[-3000:]
        return found

    return await until(look, within=40)


async def readiness(url: str) -> tuple[int, dict[str, Any]]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}/readyz")
    return answer.status_code, answer.json()


async def test_an_sqlite_file_has_one_server(environment: dict[str, str], sqlite_url: str, tmp_path: Path) -> None:
    environment |= {"PATCHBAY_DATABASE_URL": sqlite_url}
    async with patchbay("serve", words=tmp_path / "first", environment=environment) as (first, url):
        await first.says("Stop", within=40)

        async with patchbay("serve", words=tmp_path / "second", environment=environment) as (second, _):
            assert await second.ended(within=40) == REFUSED

        assert second.output == ""
        assert f"is served already, by process {first.process_id} on " in second.log
        assert (await readiness(url))[0] == 200

        # Killed, it leaves nothing behind that would have to be removed.
        await first.kill()
        async with patchbay("refresh", words=tmp_path / "third", environment=environment) as (third, _):
            assert "sqlite_version" in await logs(third, "database ready")
            await logs(third, "refresh loop ready")


async def test_a_server_and_a_process_that_refreshes_share_the_work(
    environment: dict[str, str], postgresql_url: str, tmp_path: Path
) -> None:
    environment |= {"PATCHBAY_DATABASE_URL": postgresql_url}
    async with (
        patchbay("serve", "--no-refresh", words=tmp_path / "server", environment=environment) as (server, url),
        patchbay(
            "refresh",
            words=tmp_path / "refresher",
            environment=environment | {"PATCHBAY_DATA_FOLDER": str(tmp_path / "refresher-data")},
        ) as (refresher, _),
    ):
        await asyncio.gather(server.says("Stop", within=40), logs(refresher, "refresh loop ready"))

        ready = {"ready": True, "database": True, "key": True, "clock": True, "keys_unavailable": [], "skipped": 0, "last_tick_age": None}
        assert await readiness(url) == (200, ready)
        await refresher.stop()

    assert await refresher.ended() == 0
    assert [json.loads(line)["message"] for line in refresher.log.splitlines()][-2:] == ["refresh loop stops", "refresh loop stopped"]
    assert refresher.output == ""


async def test_a_renewal_under_way_when_it_is_asked_to_stop_is_saved(
    environment: dict[str, str], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HeldClock(datetime.now(UTC))
    async with installed(database_url, tmp_path, clock, PATCHBAY_KEYS=environment["PATCHBAY_KEYS"]) as here:
        connection = await here.connect_by_consent()
        await models.Connection.filter(id=connection.id).update(due_at=clock() - timedelta(minutes=1))
        endpoint = Endpoint(here.sandbox.issue)
        monkeypatch.setattr(here.sandbox, "issue", endpoint)
        settings = environment | {
            "PATCHBAY_DATABASE_URL": database_url,
            "PATCHBAY_PUBLIC_URL": here.patchbay.settings.public_url,
            "PATCHBAY_SANDBOX": "on",
        }
        command = (sys.executable, "-m", "api", "refresh")
        with endpoint.holding() as hold:
            async with running(*command, words=tmp_path / "refresher", environment=settings) as refresher:
                await until(hold.is_reached, within=40)

                stop = asyncio.create_task(refresher.stop(within=DRAIN_SECONDS))
                await logs(refresher, "refresh loop stops")
                hold.release()
                await stop

        assert await refresher.ended() == 0
        assert endpoint.asked == 1
        assert (await models.Credential.get(connection_id=connection.id)).generation == 2
        assert await models.TokenJournal.all().count() == 0
