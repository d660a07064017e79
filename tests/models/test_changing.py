"""A row that is changed together with what is told of it."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import copy_context
from datetime import timedelta
from uuid import UUID

import pytest
from tortoise.exceptions import IntegrityError

import models
from models import ConnectionEventType, ConnectionStatus
from models.appending import Appended, Condition, Kept, Told
from models.changing import Change, change_held, change_if
from models.database import open_database, rows, transaction
from tests import many

pytestmark = pytest.mark.anyio

NOW = many.NOW + timedelta(hours=1)
REASON = {"code": "INTERNAL_ERROR", "text": "ä"}
WAITING = "SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted"
NAME_IF = "UPDATE connection SET name = $2, name_key = $2 WHERE id = $1 AND name = $3"


@pytest.fixture(autouse=True)
async def user_id(database_url: str) -> AsyncIterator[UUID]:
    """Of the owner of two connections: "Connection 0", whose id is 1, and "Connection 1"."""
    async with open_database(database_url):
        folder = await many.a_folder()
        await many.add([many.a_connection(folder, n, status=ConnectionStatus.DEGRADED, reason_json=REASON) for n in range(2)])
        assert folder.owner_id is not None
        yield folder.owner_id


def naming(name: str, *, former: str = "Connection 0") -> Change:
    return Change("connection", NAME_IF, (UUID(int=1), name, former))


def an_event(**columns: object) -> Told:
    given: dict[str, object] = {
        "type": ConnectionEventType.RENAMED,
        "connection_id": UUID(int=1),
        "connection_name": "as told",
        "connector_key": "acme",
        "folder_id": Kept.AS_CHANGED,
        "previous_folder_id": None,
        "previous_status": None,
        "status": Kept.AS_CHANGED,
        "reason_json": Kept.AS_CHANGED,
        "actor_id": None,
        "at": NOW,
    }
    return Appended(models.ConnectionEvent).told(given | columns)


def an_entry() -> Told:
    columns = "actor_id actor_name source token_id subject_id subject_name folder_id detail"
    given: dict[str, object] = dict.fromkeys(columns.split())
    return Appended(models.AuditEntry).told(given | {"at": NOW, "action": "connection.rename", "outcome": models.AuditOutcome.DONE})


def is_active(user_id: UUID) -> Condition:
    return Condition("SELECT 1 AS one FROM user_account WHERE id = $1 AND deactivated_at IS NULL", (user_id,))


async def names() -> list[str]:
    return [connection.name for connection in await models.Connection.all().order_by("id")]


async def test_a_row_is_changed_and_told_of(user_id: UUID) -> None:
    assert await change_if(naming("Main"), [is_active(user_id)], [an_event(), an_entry()], channel="test")

    [event], [entry] = await models.ConnectionEvent.all(), await models.AuditEntry.all()
    assert await names() == ["Main", "Connection 1"]
    assert (event.connection_name, event.at, event.status, event.reason_json) == ("as told", NOW, ConnectionStatus.DEGRADED, REASON)
    assert event.folder_id == (await models.Connection.get(id=UUID(int=1))).folder_id
    assert (entry.action, entry.at) == ("connection.rename", NOW)


async def test_nothing_is_done_unless_the_row_is_as_expected_and_all_conditions_hold(user_id: UUID) -> None:
    told = [an_event(), an_entry()]
    good, bad = is_active(user_id), is_active(UUID(int=5))

    done = [
        await change_if(naming("Main", former="Other"), [good], told, channel="test"),
        await change_if(naming("Main"), [bad], told, channel="test"),
        await change_if(naming("Main"), [good, bad], told, channel="test"),
    ]

    assert done == [False] * 3
    assert await names() == ["Connection 0", "Connection 1"]
    assert (await models.ConnectionEvent.all().count(), await models.AuditEntry.all().count()) == (0, 0)


async def test_nothing_is_told_of_a_change_that_must_not_be(user_id: UUID) -> None:
    with pytest.raises(IntegrityError):
        await change_if(naming("connection 1"), [is_active(user_id)], [an_event(), an_entry()], channel="test")

    assert await names() == ["Connection 0", "Connection 1"]
    assert (await models.ConnectionEvent.all().count(), await models.AuditEntry.all().count()) == (0, 0)


async def test_within_a_transaction_it_is_part_of_that(user_id: UUID) -> None:
    async with transaction():
        await change_held(naming("Main"), [an_event(), an_entry()], channel="test")
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await change_held(naming("Other", former="Main"), [an_event()], channel="test")
            raise ZeroDivisionError

    assert await names() == ["Main", "Connection 1"]
    assert (await models.ConnectionEvent.all().count(), await models.AuditEntry.all().count()) == (1, 1)


@pytest.mark.parametrize(("name", "former", "error"), [("connection 1", "Connection 0", IntegrityError), ("Main", "Other", RuntimeError)])
async def test_within_a_transaction_nothing_is_left_of_what_cannot_be_done(
    user_id: UUID, name: str, former: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        async with transaction():
            await change_held(naming(name, former=former), [an_event(), an_entry()], channel="test")

    assert await names() == ["Connection 0", "Connection 1"]
    assert (await models.ConnectionEvent.all().count(), await models.AuditEntry.all().count()) == (0, 0)


async def test_nothing_is_changed_that_cannot_be_told(user_id: UUID) -> None:
    with pytest.raises(IntegrityError):
        await change_if(naming("Main"), [is_active(user_id)], [an_event(), an_event(type=None)], channel="test")

    assert await names() == ["Connection 0", "Connection 1"]
    assert await models.ConnectionEvent.all().count() == 0


async def test_of_changes_that_expect_the_same_one_is_made() -> None:
    done = await asyncio.gather(*[change_if(naming(f"Name {n}"), [], [an_event(), an_entry()], channel="test") for n in range(6)])

    assert sorted(done) == [False] * 5 + [True]
    assert await names() == [f"Name {done.index(True)}", "Connection 1"]
    assert (await models.ConnectionEvent.all().count(), await models.AuditEntry.all().count()) == (1, 1)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_what_a_condition_holds_is_held_before_the_row_that_is_changed(user_id: UUID) -> None:
    held = Condition(f"{is_active(user_id).statement} FOR SHARE", (user_id,))
    outside = copy_context()
    async with transaction():
        await models.User.filter(id=user_id).update(deactivated_at=NOW)
        changing = asyncio.get_running_loop().create_task(change_if(naming("Main"), [held], [an_event()], channel="test"), context=outside)
        while not (await rows(WAITING))[0]["waiting"]:
            await asyncio.sleep(0)
        # It waits for the user, and holds nothing yet: else each would wait for the other.
        await rows("SELECT 1 AS one FROM connection WHERE id = $1 FOR UPDATE NOWAIT", [UUID(int=1)])

    assert not await changing
    assert await names() == ["Connection 0", "Connection 1"]
    assert await models.ConnectionEvent.all().count() == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_what_a_condition_holds_is_kept_until_the_change_is_made(user_id: UUID) -> None:
    held = Condition(f"{is_active(user_id).statement} FOR SHARE", (user_id,))
    outside = copy_context()
    async with transaction():
        await rows("SELECT 1 AS one FROM connection WHERE id = $1 FOR UPDATE", [UUID(int=1)])
        changing = asyncio.get_running_loop().create_task(change_if(naming("Main"), [held], [an_event()], channel="test"), context=outside)
        while not (await rows(WAITING))[0]["waiting"]:
            await asyncio.sleep(0)
        free = await rows("SELECT 1 AS one FROM user_account WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED", [user_id])

    assert (free, await changing) == ([], True)
    assert await names() == ["Main", "Connection 1"]
