"""Rows that are appended by a statement that is written once, and upon conditions."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from tortoise.exceptions import OperationalError

import models
from models.appending import Appended, Condition
from models.database import open_database

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
ID = UUID(int=7)
ENTRIES = Appended(models.AuditEntry)
ROW: dict[str, object] = {
    "at": NOW,
    "actor_id": ID,
    "actor_name": "Ada",
    "source": None,
    "token_id": None,
    "action": "connection.rename",
    "outcome": models.AuditOutcome.DONE,
    "subject_id": "it's",
    "subject_name": None,
    "folder_id": ID,
    "detail": "was $1",
}


@pytest.fixture(autouse=True)
async def user(database_url: str) -> AsyncIterator[models.User]:
    async with open_database(database_url):
        yield await models.User.create(name="Ada", created_at=NOW)


def named(name: str) -> Condition:
    return Condition("SELECT id FROM user_account WHERE name = $1", (name,))


async def test_a_row_is_appended_as_the_model_reads_it() -> None:
    await ENTRIES.append(ROW)

    [entry] = await models.AuditEntry.all()
    assert {name: getattr(entry, name) for name in ROW} == ROW


async def test_an_event_is_appended_with_its_reason() -> None:
    row = {
        "type": models.ConnectionEventType.RENAMED,
        "connection_id": ID,
        "connection_name": "Name",
        "connector_key": "sandbox",
        "folder_id": ID,
        "previous_folder_id": None,
        "previous_status": None,
        "status": models.ConnectionStatus.CONNECTED,
        "reason_json": {"code": "INTERNAL_ERROR", "text": "ä"},
        "actor_id": None,
        "at": NOW,
    }

    await Appended(models.ConnectionEvent).append(row)

    [event] = await models.ConnectionEvent.all()
    assert {name: getattr(event, name) for name in row} == row


async def test_a_row_is_appended_only_if_all_conditions_hold(user: models.User) -> None:
    known = Condition("SELECT name FROM user_account WHERE id = $1 AND (name = $2 OR name = $2)", (user.id, "Ada"))

    appended = [await ENTRIES.append_if(ROW, *conditions) for conditions in ([known, named("Ada")], [known, named("Ben")], [named("Ben")])]

    assert appended == [True, False, False]
    assert [entry.at for entry in await models.AuditEntry.all()] == [NOW]


async def test_a_row_that_lacks_a_column_is_not_appended() -> None:
    with pytest.raises(KeyError):
        await ENTRIES.append({"at": NOW})

    assert await models.AuditEntry.all().count() == 0


async def test_a_text_that_is_too_long_is_not_cut(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite keeps a text of any length")
    with pytest.raises(OperationalError):
        await ENTRIES.append(ROW | {"action": "a" * 65})

    assert await models.AuditEntry.all().count() == 0
