"""The audit log: written with the act or not at all, never with a secret, and read by administrators alone."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from tortoise.exceptions import OperationalError

import models
from api.access import Actor
from api.audit import Audit
from api.errors import Conflict, NotFound, PatchbayError, PermissionDenied
from api.organization.audit_log import AuditLog, AuditSelection
from models import AuditOutcome, Permission
from models.database import rows, transaction
from tests.clock import HeldClock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

FOLDER = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def ada() -> Actor:
    user = await models.User.create(name="Ada", administrator=True, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    return Actor(user.id, user.name, administrator=True, source="192.0.2.7")


async def written() -> list[tuple[str, str, str | None]]:
    return [(entry.action, entry.outcome.value, entry.detail) for entry in await models.AuditEntry.all().order_by("id")]


async def test_what_is_done_is_told_with_who_when_where_from_and_on_what(clock: HeldClock, ada: Actor) -> None:
    async with Audit(clock).act(ada, "connection.rename", FOLDER) as act, transaction():
        await act.done(subject_name="Main", detail="was Old")

    (entry,) = await models.AuditEntry.all()
    assert (entry.at, entry.actor_id, entry.actor_name, entry.source) == (clock.now, ada.user_id, "Ada", "192.0.2.7")
    assert (entry.action, entry.outcome, entry.subject_id, entry.subject_name) == ("connection.rename", AuditOutcome.DONE, FOLDER, "Main")
    assert entry.detail == "was Old"


async def test_an_act_that_is_undone_leaves_no_entry_of_it(clock: HeldClock, ada: Actor) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Audit(clock).act(ada, "connection.rename") as act, transaction():
            await act.done()
            raise ZeroDivisionError

    assert await written() == []


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NotFound("connection"), "REFUSED"),
        (PermissionDenied(Permission.EDIT, folder_name="Sales"), "REFUSED"),
        (Conflict("It is not empty."), "FAILED"),
    ],
)
async def test_what_is_refused_or_comes_to_nothing_is_told_by_itself(
    clock: HeldClock, ada: Actor, error: PatchbayError, outcome: str
) -> None:
    with pytest.raises(type(error)):
        async with Audit(clock).act(ada, "folder.delete", FOLDER), transaction():
            await models.User.create(name="Undone", created_at=clock.now)
            raise error

    assert await written() == [("folder.delete", outcome, error.message)]
    assert not await models.User.exists(name="Undone")


async def test_a_failure_after_the_act_does_not_tell_it_a_second_time(clock: HeldClock, ada: Actor) -> None:
    with pytest.raises(Conflict):
        async with Audit(clock).act(ada, "connection.delete") as act:
            async with transaction():
                await act.done()
            raise Conflict("The provider did not answer.")

    assert await written() == [("connection.delete", "DONE", None)]


async def test_a_log_that_cannot_be_written_does_not_hide_the_refusal(
    clock: HeldClock, ada: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    await rows("ALTER TABLE audit_entry RENAME TO audit_entry_elsewhere")

    with caplog.at_level(logging.ERROR), pytest.raises(NotFound):
        async with Audit(clock).act(ada, "connection.rename"):
            raise NotFound("connection")

    assert [record.message for record in caplog.records] == ["refusal not written to the audit log"]


async def test_an_act_whose_entry_cannot_be_written_is_not_done(clock: HeldClock, ada: Actor) -> None:
    await rows("ALTER TABLE audit_entry RENAME TO audit_entry_elsewhere")

    with pytest.raises(OperationalError):
        async with Audit(clock).act(ada, "user.create") as act, transaction():
            await models.User.create(name="Undone", created_at=clock.now)
            await act.done()

    assert not await models.User.exists(name="Undone")


async def fill(clock: HeldClock, ada: Actor) -> Actor:
    """Six entries, an hour apart: Ada and Ben in turns."""
    ben = Actor((await models.User.create(name="Ben", created_at=clock.now)).id, "Ben")
    for number in range(6):
        async with Audit(clock).act(ada if number % 2 == 0 else ben, f"thing.{'make' if number < 3 else 'break'}", f"id{number}") as act:
            await act.done()
        clock.move(timedelta(hours=1))
    return ben


async def test_it_is_filtered_and_paged_newest_first(clock: HeldClock, ada: Actor) -> None:
    start = clock.now
    ben = await fill(clock, ada)
    log = AuditLog(clock, None)

    async def found(**selected: object) -> list[str | None]:
        page, _ = await log.page(ada, AuditSelection(**selected), first=50, before=None)  # type: ignore[arg-type]
        return [entry.subject_id for entry in page]

    assert await found() == ["id5", "id4", "id3", "id2", "id1", "id0"]
    assert await found(actor_id=ben.user_id) == ["id5", "id3", "id1"]
    assert await found(action="thing.make") == ["id2", "id1", "id0"]
    assert await found(subject_id="id4") == ["id4"]
    assert await found(since=start + timedelta(hours=1), until=start + timedelta(hours=3)) == ["id2", "id1"]
    assert await found(nothing=True) == []
    page, has_more = await log.page(ada, AuditSelection(), first=4, before=None)
    rest, no_more = await log.page(ada, AuditSelection(), first=4, before=page[-1].id)
    assert ([entry.subject_id for entry in rest], has_more, no_more) == (["id1", "id0"], True, False)
    assert await log.count(ada, AuditSelection(action="thing.break")) == 3


async def test_nobody_but_administrators_reads_it(clock: HeldClock, ada: Actor) -> None:
    ben = await fill(clock, ada)
    log = AuditLog(clock, None)

    with pytest.raises(PermissionDenied):
        await log.page(ben, AuditSelection(), first=1, before=None)
    with pytest.raises(PermissionDenied):
        await log.count(ben, AuditSelection())


async def test_it_is_handed_out_as_lines_of_json_oldest_first(clock: HeldClock, ada: Actor) -> None:
    start = clock.now
    await fill(clock, ada)

    lines = [json.loads(line) async for line in AuditLog(clock, None).export(AuditSelection(action="thing.make"))]

    assert [line["subject_id"] for line in lines] == ["id0", "id1", "id2"]
    assert lines[0] | {"id": 0} == {
        "id": 0,
        "at": start.isoformat(),
        "actor_id": str(ada.user_id),
        "actor_name": "Ada",
        "source": "192.0.2.7",
        "token_id": None,
        "action": "thing.make",
        "outcome": "DONE",
        "subject_id": "id0",
        "subject_name": None,
        "folder_id": None,
        "detail": None,
    }


async def test_what_is_older_than_the_retention_is_forgotten_and_nothing_else(clock: HeldClock, ada: Actor) -> None:
    await fill(clock, ada)

    assert await AuditLog(clock, None).forget_old() == 0
    assert await AuditLog(clock, timedelta(hours=4)).forget_old() == 2
    assert [entry.subject_id for entry in await models.AuditEntry.all().order_by("id")] == ["id2", "id3", "id4", "id5"]
