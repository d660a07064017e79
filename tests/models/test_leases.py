"""Who is claimed of those that are due, and who goes out of the way."""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import models
from models import ConnectionStatus
from models.database import Database, rows
from models.leases import Due, Postponed, Term, bring_back, claim, claim_due, postpone, put_off, release
from tests.many import NOW, a_connection, a_folder, add

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


async def claimed(limit: int, *, late_limit: int = 0, holder: str = "one") -> list[Due]:
    return await claim_due(Term(holder, NOW, NOW + MINUTE, 0), limit=limit, late=NOW - 10 * MINUTE, late_limit=late_limit)


def numbers(due: Sequence[Due]) -> list[int]:
    return sorted(each.lease.connection_id.int - 1 for each in due)


async def the(number: int) -> models.Connection:
    return await models.Connection.get(id=UUID(int=number + 1))


async def queue() -> list[tuple[int, datetime, int]]:
    found = await rows("SELECT * FROM connection_queue ORDER BY priority, due_at, connection_id", due_at=datetime, connection_id=UUID)
    return [(row["priority"], row["due_at"], row["connection_id"].int - 1) for row in found]


async def test_what_comes_first_is_claimed_first_and_of_that_what_waits_longest() -> None:
    folder = await a_folder()
    waits = [(2, 50), (1, 30), (1, 40), (0, 10), (0, 20), (2, 60), (0, -1), (1, -1)]
    await add(a_connection(folder, number, priority=who, due_at=NOW - wait * SECOND) for number, (who, wait) in enumerate(waits))

    assert [numbers(await claimed(limit)) for limit in (1, 2, 2, 5, 5)] == [[4], [2, 3], [1, 5], [0], []]


async def test_of_those_that_wait_long_some_are_claimed_whatever_comes_first() -> None:
    folder = await a_folder()
    await add(a_connection(folder, number, priority=0, due_at=NOW - number * SECOND) for number in range(10))
    await add(a_connection(folder, 10 + number, priority=2, due_at=NOW - HOUR + number * MINUTE) for number in range(3))
    await add([a_connection(folder, 20, priority=1, due_at=NOW - 9 * MINUTE)])

    assert numbers(await claimed(4, late_limit=2)) == [8, 9, 10, 11]
    assert numbers(await claimed(4, late_limit=2)) == [5, 6, 7, 12]


async def test_a_claim_tells_what_it_is_about_and_leaves_what_is_planned() -> None:
    folder = await a_folder()
    columns = {"site": {"subdomain": "acme"}, "expires_at": NOW, "last_used_at": NOW - HOUR, "priority": 0, "renewable": False}
    await add([a_connection(folder, 0, due_at=NOW - SECOND, **columns)])

    (due,) = await claimed(5)

    assert due == Due(
        lease=due.lease,
        connector_key="acme",
        connector_version=None,
        authentication_type=models.AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
        option_key="consent",
        oauth_app_id=None,
        site={"subdomain": "acme"},
        status=ConnectionStatus.CONNECTED,
        renewable=False,
        expires_at=NOW,
        last_used_at=NOW - HOUR,
        created_at=NOW,
        priority=0,
    )
    row = await the(0)
    assert (row.lease_number, row.lease_holder, row.lease_until, row.due_at) == (due.lease.number, "one", NOW + MINUTE, NOW - SECOND)
    assert row.due_at == due.lease.due_at
    # What nobody gives back is claimed again once the lease is over.
    assert await queue() == [(0, NOW + MINUTE, 0)]
    assert await claimed(5) == []
    (again,) = await claim_due(Term("two", NOW + MINUTE, NOW + HOUR, 0), limit=5, late=NOW, late_limit=0)
    assert (again.lease.number, again.lease.due_at) == (due.lease.number + 1, NOW - SECOND)
    assert await queue() == [(0, NOW + HOUR, 0)]


async def test_what_is_given_back_and_claimed_until_the_same_time_is_in_the_queue_once() -> None:
    folder = await a_folder()
    await add([a_connection(folder, 0, due_at=NOW - SECOND)])
    (due,) = await claimed(5)
    await postpone(due.lease, NOW)
    assert await queue() == [(1, NOW, 0)]

    (again,) = await claimed(5)

    assert again.lease.number == due.lease.number + 1
    assert await queue() == [(1, NOW + MINUTE, 0)]


async def test_what_a_version_claims_that_does_not_move_the_place_itself_is_in_the_queue_until_its_lease_is_over() -> None:
    folder = await a_folder()
    await add(a_connection(folder, number, due_at=NOW) for number in range(3))
    await claimed(1)
    claim = "UPDATE connection SET lease_holder = $1, lease_until = $2, lease_number = lease_number + 1 WHERE lease_until IS NULL"
    await rows(claim, ["former", NOW + HOUR])

    assert sorted(due_at for _, due_at, _ in await queue()) == [NOW + MINUTE, NOW + HOUR, NOW + HOUR]
    again = await claim_due(Term("two", NOW + 2 * HOUR, NOW + 3 * HOUR, 0), limit=5, late=NOW, late_limit=1)
    assert numbers(again) == [0, 1, 2]
    assert await queue() == [(1, NOW + 3 * HOUR, number) for number in range(3)]


async def test_what_waits_long_and_is_not_free_any_more_keeps_no_other_from_being_claimed() -> None:
    folder = await a_folder()
    await add(a_connection(folder, number, priority=2, due_at=NOW - HOUR + number * MINUTE) for number in range(6))
    # As they are seen by who began a moment before they were claimed: still in the queue, and held by another.
    queued = await rows("SELECT * FROM connection_queue WHERE due_at < $1", [NOW - HOUR + 2 * MINUTE])
    for number in range(2):
        await claim(UUID(int=number + 1), Term("other", NOW, NOW + MINUTE, 0))
    for row in queued:
        await rows("INSERT INTO connection_queue VALUES ($1, $2, $3)", [row["priority"], row["due_at"], row["connection_id"]])

    assert numbers(await claimed(2, late_limit=2)) == [2, 3]
    assert numbers(await claimed(5, late_limit=1)) == [4, 5]


async def test_what_another_holds_or_nothing_is_due_of_is_not_claimed() -> None:
    folder = await a_folder()
    await add(a_connection(folder, number, due_at=NOW) for number in range(3))
    await add([a_connection(folder, 3, due_at=None)])
    await claim(UUID(int=1), Term("other", NOW, NOW + MINUTE, 0))
    await claim(UUID(int=2), Term("other", NOW, NOW, 0))

    assert numbers(await claimed(5)) == [1, 2]


async def test_several_who_claim_at_once_share_what_is_due() -> None:
    folder = await a_folder()
    await add(a_connection(folder, number, due_at=NOW - number * SECOND, priority=number % 3) for number in range(40))

    shares = await asyncio.gather(*(claimed(10, holder=f"{holder}", late_limit=1) for holder in range(6)))

    taken = sorted(number for share in shares for number in numbers(share))
    assert len(taken) == len(set(taken))
    rest = [number for _ in range(4) for number in numbers(await claimed(40))]
    assert sorted(taken + rest) == list(range(40))
    assert sorted(await queue(), key=lambda place: place[2]) == [(number % 3, NOW + MINUTE, number) for number in range(40)]


async def test_what_is_postponed_is_free_and_due_later() -> None:
    folder = await a_folder()
    await add(a_connection(folder, number, due_at=NOW) for number in range(5))
    due = sorted(await claimed(5), key=lambda each: each.lease.connection_id)
    # Deleted, disabled, and claimed by another meanwhile: these stay as they are.
    await models.Connection.filter(id=due[2].lease.connection_id).delete()
    await models.Connection.filter(id=due[3].lease.connection_id).update(due_at=None)
    await claim(due[4].lease.connection_id, Term("other", NOW + MINUTE, NOW + HOUR, 0))

    await put_off([Postponed(each.lease, NOW + (number + 1) * HOUR, number % 3) for number, each in enumerate(due)])

    found = await models.Connection.all().order_by("id")
    assert [(row.due_at, row.priority, row.lease_holder) for row in found] == [
        (NOW + HOUR, 0, None),
        (NOW + 2 * HOUR, 1, None),
        (None, 1, "one"),
        (NOW, 1, "other"),
    ]
    await put_off([])


async def test_more_than_one_statement_takes_are_all_postponed() -> None:
    folder = await a_folder()
    await add(a_connection(folder, number, due_at=NOW) for number in range(1100))
    due = await claimed(1100)

    await put_off([Postponed(each.lease, NOW + HOUR, 2) for each in due])

    assert await models.Connection.filter(due_at=NOW + HOUR, priority=2, lease_until=None).count() == 1100


async def test_a_lease_that_was_lost_is_not_released() -> None:
    folder = await a_folder()
    await add([a_connection(folder, 0, due_at=NOW)])
    (due,) = await claimed(1)
    await claim(due.lease.connection_id, Term("other", NOW + MINUTE, NOW + HOUR, 0))

    await release(due.lease)

    assert (await the(0)).lease_holder == "other"


async def test_what_is_given_back_unplanned_is_due_when_the_lease_would_have_ended() -> None:
    folder = await a_folder()
    await add(a_connection(folder, number, due_at=NOW - SECOND) for number in range(3))
    one, two, three = sorted(await claimed(3), key=lambda each: each.lease.connection_id)
    await models.Connection.filter(id=two.lease.connection_id).update(due_at=NOW + HOUR)
    await models.Connection.filter(id=three.lease.connection_id).update(due_at=None)

    for each in (one, two, three):
        await release(each.lease)

    found = await models.Connection.all().order_by("id")
    assert [(row.due_at, row.lease_until) for row in found] == [(NOW + MINUTE, None), (NOW + HOUR, None), (None, None)]


async def test_a_lease_for_another_reason_leaves_what_is_due_as_it_is() -> None:
    folder = await a_folder()
    await add([a_connection(folder, 0, due_at=NOW - SECOND)])
    lease = await claim(UUID(int=1), Term("other", NOW, NOW + MINUTE, 0))
    assert lease is not None
    assert await claimed(5) == []

    await release(lease)

    assert numbers(await claimed(5)) == [0]


async def test_a_postponement_does_not_undo_what_was_planned_meanwhile() -> None:
    folder = await a_folder()
    await add(a_connection(folder, number, due_at=NOW - SECOND) for number in range(2))
    one, two = sorted(await claimed(2), key=lambda each: each.lease.connection_id)
    await models.Connection.filter(id=two.lease.connection_id).update(due_at=NOW)

    await postpone(one.lease, NOW + HOUR)
    await postpone(two.lease, NOW + HOUR)

    assert await queue() == [(1, NOW, 1), (1, NOW + HOUR, 0)]


async def test_the_queue_has_what_is_due_whoever_writes_it() -> None:
    folder = await a_folder()
    await add([a_connection(folder, 0, due_at=NOW), a_connection(folder, 1, due_at=None), a_connection(folder, 2, due_at=NOW, priority=2)])
    assert await queue() == [(1, NOW, 0), (2, NOW, 2)]

    await models.Connection.filter(id=UUID(int=1)).update(lease_until=NOW + MINUTE)
    await models.Connection.filter(id=UUID(int=2)).update(due_at=NOW + HOUR, lease_until=NOW + MINUTE, priority=0)
    await models.Connection.filter(id=UUID(int=3)).update(due_at=None)
    assert await queue() == [(0, NOW + HOUR, 1), (1, NOW + MINUTE, 0)]

    await models.Connection.filter(id=UUID(int=1)).update(lease_until=None, name="Renamed")
    await models.Connection.filter(id=UUID(int=2)).delete()
    await models.Connection.filter(id=UUID(int=3)).update(due_at=NOW + MINUTE)
    assert await queue() == [(1, NOW, 0), (2, NOW + MINUTE, 2)]


async def test_what_was_lost_from_the_queue_is_in_it_again_once_it_is_planned_anew() -> None:
    folder = await a_folder()
    await add(a_connection(folder, number, due_at=NOW) for number in range(2))
    await rows("DELETE FROM connection_queue")
    await rows("INSERT INTO connection_queue SELECT 1, $1, id FROM connection", [NOW + HOUR])

    await models.Connection.all().update(due_at=NOW + HOUR)
    await models.Connection.all().update(due_at=NOW + MINUTE)

    assert await queue() == [(1, NOW + MINUTE, 0), (1, NOW + MINUTE, 1)]


async def test_what_a_clock_did_that_was_ahead_comes_back() -> None:
    folder, ahead = await a_folder(), NOW + 3650 * timedelta(days=1)
    await add(
        [
            a_connection(folder, 0, due_at=ahead + HOUR, last_refreshed_at=ahead),
            a_connection(folder, 1, due_at=ahead + HOUR, last_verified_at=ahead),
            a_connection(folder, 2, due_at=ahead, lease_holder="one", lease_until=ahead, last_refreshed_at=ahead),
            a_connection(folder, 3, due_at=None, lease_holder="one", lease_until=ahead),
            # These are as they should be.
            a_connection(folder, 4, due_at=NOW + 300 * timedelta(days=1), last_refreshed_at=NOW),
            a_connection(folder, 5, due_at=NOW - HOUR, last_refreshed_at=NOW + MINUTE, lease_holder="one", lease_until=NOW + MINUTE),
            a_connection(folder, 6, due_at=None, last_refreshed_at=ahead),
        ]
    )

    await bring_back(NOW)

    found = await models.Connection.all().order_by("id")
    assert [(row.due_at, row.lease_holder) for row in found] == [
        (NOW, None),
        (NOW, None),
        (NOW, None),
        (None, None),
        (NOW + 300 * timedelta(days=1), None),
        (NOW - HOUR, "one"),
        (None, None),
    ]


async def test_a_claim_reads_no_more_of_the_index_the_more_is_due(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the plan, which both databases tell: twice a piece of the queue for each priority, and no more is read than is claimed."""
    folder = await a_folder()
    await add(a_connection(folder, number, due_at=NOW - number * SECOND, priority=number % 3) for number in range(3000))
    if database.dialect == "postgresql":
        await rows("ANALYZE")
    plan: list[str] = []

    async def explain(sql: str, parameters: Sequence[object]) -> list[Any]:
        word = "EXPLAIN" if database.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
        plan.extend(str(list(row.values())) for row in await rows(f"{word} {sql}", parameters))
        return []

    monkeypatch.setattr("models.leases.records", explain)
    await claimed(64, late_limit=8)

    told = "\n".join(plan)
    on_postgresql, on_sqlite = r"\(\(priority = \d\) AND \(due_at >= .* AND \(due_at <= ", r"\(priority=\? AND due_at>\? AND due_at<\?\)"
    assert len(re.findall(on_postgresql if database.dialect == "postgresql" else on_sqlite, told)) == 6, told
    assert not re.search("SCAN (queued|connection_queue|connection)\\b|Seq Scan", told), told
