"""New tokens of many connections, saved at the same moment."""

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import models
from api.clock import seconds_since_boot
from api.connections.saving import Renewed, Saving
from api.connections.schedule import FIRST
from api.oauth.tokens import TokenSet
from api.secret import Secret
from api.vault.vault import Place
from models import ConnectionEventType, ConnectionStatus, Fixer, Sealed, StatusReason, StatusReasonCode
from models.database import transaction
from models.leases import Term, claim
from tests import many
from tests.connections.watching import found, told
from tests.installation import Installation

pytestmark = pytest.mark.anyio

_SECONDS = 15


async def renewed(here: Installation, connection: models.Connection, name: str) -> Renewed:
    """What an exchange has brought that was begun a moment ago."""
    refresher, now = here.patchbay.refresher, here.clock.now
    lease = await claim(connection.id, Term("here", now, now + timedelta(minutes=1), seconds_since_boot() + 60))
    assert lease is not None
    subject = await refresher._subjects.get(connection.id)
    attempt = await refresher._journal.begin(subject.connection, subject.credential, lease)
    tokens = TokenSet(Secret(f"access-{name}"), refresh_token=Secret(f"refresh-{name}"), expires_at=now + timedelta(hours=1))
    return Renewed(subject, attempt.intent, tokens, lease=lease)


async def three(here: Installation) -> tuple[list[models.Connection], list[Renewed]]:
    connections = [await here.connect_by_consent() for _ in range(3)]
    return connections, [await renewed(here, connection, str(number)) for number, connection in enumerate(connections)]


def saving_of(here: Installation) -> Saving:
    return here.patchbay.refresher._outcomes._saving


async def save_all(here: Installation, all: Sequence[Renewed]) -> list[Any]:
    async with asyncio.timeout(_SECONDS):
        return await asyncio.gather(*(saving_of(here).save(each) for each in all), return_exceptions=True)


async def access_tokens(here: Installation, connections: Sequence[models.Connection]) -> list[str]:
    """What each of them has now, shortened to what `renewed` makes."""
    subjects = [await here.patchbay.refresher._subjects.get(connection.id) for connection in connections]
    tokens = [subject.secrets.access_token for subject in subjects]
    return [token.reveal() if token is not None and token.reveal().startswith("access-") else "former" for token in tokens]


async def columns(connection: models.Connection) -> dict[str, Any]:
    row = await found(connection)
    return {name: getattr(row, name) for name in row._meta.fields_db_projection}


async def leases(connections: Sequence[models.Connection]) -> list[str | None]:
    return [(await found(connection)).lease_holder for connection in connections]


@pytest.fixture
def saves(here: Installation, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many were in each transaction."""
    saving, counts = saving_of(here), []
    real = saving._save

    async def counted(all: Sequence[Renewed], *, waits: bool) -> Any:
        counts.append(len(all))
        return await real(all, waits=waits)

    monkeypatch.setattr(saving, "_save", counted)
    return counts


async def test_all_are_saved_in_one_transaction_and_their_leases_given_back_with_it(here: Installation, saves: list[int]) -> None:
    connections, all = await three(here)
    await models.Connection.filter(id=connections[1].id).update(status=ConnectionStatus.DEGRADED)

    assert await save_all(here, all) == [True, True, True]

    # On PostgreSQL one statement has saved those that nobody changed.
    assert saves == ([3] if here.patchbay.database.dialect == "sqlite" else [1])
    assert await access_tokens(here, connections) == ["access-0", "access-1", "access-2"]
    assert await leases(connections) == [None, None, None]
    assert await models.TokenJournal.all().count() == 0
    for connection in connections:
        now = await found(connection)
        assert (now.status, now.last_refreshed_at, now.expires_at) == (
            ConnectionStatus.CONNECTED,
            here.clock.now,
            here.clock.now + timedelta(hours=1),
        )
    changes = [await told(connection) for connection in connections]
    assert changes == [[], [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.CONNECTED)], []]


async def test_a_renewal_changes_what_it_says_and_leaves_the_rest_as_it_was(here: Installation) -> None:
    connections, [well, ailing, granted] = await three(here)
    trouble = StatusReason(StatusReasonCode.PROVIDER_ERROR, "It does not answer.", "Wait.", Fixer.NOBODY)
    await models.Connection.filter(id=connections[1].id).update(
        status=ConnectionStatus.DEGRADED, reason_json=trouble.to_json(), failures=3, internal_failures=2
    )
    granted = replace(granted, tokens=replace(granted.tokens, scopes=("read", "more")))
    before = [await columns(connection) for connection in connections]
    here.clock.move(timedelta(minutes=5))

    assert await save_all(here, [well, ailing, granted]) == [True, True, True]

    after = [await columns(connection) for connection in connections]
    changed = [{name for name in old if old[name] != new[name]} for old, new in zip(before, after, strict=True)]
    usual = {"due_at", "last_refreshed_at", "lease_holder", "lease_until"}
    healed = {"status", "status_changed_at", "reason_json", "failures", "internal_failures", "updated_at"}
    assert [names - {"expires_at", "app_secret_at", "priority"} for names in changed] == [usual, usual | healed, usual | {"scopes"}]
    assert after[2]["scopes"] == ["read", "more"]
    assert (after[1]["reason_json"], after[1]["failures"], after[1]["updated_at"]) == (None, 0, here.clock.now)


async def test_one_that_comes_late_changes_nothing_and_the_others_are_saved(here: Installation, saves: list[int]) -> None:
    connections, all = await three(here)
    await models.Credential.filter(connection_id=connections[0].id).update(generation=7)
    await here.patchbay.connections.delete(here.ada, connections[2].id)

    assert await save_all(here, all) == [False, True, False]

    # The one that is gone is looked for by itself: it might just have been held.
    assert saves == ([3, 1] if here.patchbay.database.dialect == "sqlite" else [2, 1])
    assert await access_tokens(here, connections[:2]) == ["former", "access-1"]
    assert (await models.Credential.get(connection_id=connections[0].id)).generation == 7
    assert await models.TokenJournal.all().count() == 0


async def test_those_that_nobody_changed_take_one_statement_of_postgresql(here: Installation, saves: list[int]) -> None:
    if here.patchbay.database.dialect == "sqlite":
        pytest.skip("it has no statement that writes to several tables")
    connections, all = await three(here)

    assert await save_all(here, all) == [True, True, True]

    assert saves == []
    assert await access_tokens(here, connections) == ["access-0", "access-1", "access-2"]
    for connection in connections:
        due_at = (await found(connection)).due_at
        assert due_at is not None and due_at > here.clock.now
    assert await leases(connections) == [None, None, None]
    assert await models.TokenJournal.all().count() == 0


async def test_what_happens_to_a_connection_meanwhile_stays(here: Installation) -> None:
    connections, all = await three(here)
    elsewhere = await many.a_folder(here.clock.now)
    changes: list[dict[str, Any]] = [
        {"status": ConnectionStatus.DISABLED, "due_at": None},
        {"folder_id": elsewhere.id},
        {"last_used_at": here.clock.now, "failures": 2},
    ]
    for connection, change in zip(connections, changes, strict=True):
        await models.Connection.filter(id=connection.id).update(**change)

    assert await save_all(here, all) == [True, True, True]

    disabled, moved, used = [await found(connection) for connection in connections]
    assert (disabled.status, disabled.due_at) == (ConnectionStatus.DISABLED, None)
    # Sealed for where it is now, else it could not be read.
    assert (moved.folder_id, await access_tokens(here, [moved])) == (elsewhere.id, ["access-1"])
    assert (used.last_used_at, used.failures, used.priority) == (here.clock.now, 0, FIRST)


async def test_one_of_another_lease_keeps_that(here: Installation) -> None:
    connections, all = await three(here)
    await models.Connection.filter(id=connections[0].id).update(lease_number=99, lease_holder="another")

    assert await save_all(here, all) == [True, True, True]

    assert await leases(connections) == ["another", None, None]


async def test_one_that_cannot_be_sealed_fails_alone(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    connections, all = await three(here)
    real, spoilt = here.patchbay.vault.seal, all[1].subject.credential.id

    def seal(plain: bytes, place: Place) -> Sealed:
        if place.row == spoilt:
            raise ValueError("not this one")
        return real(plain, place)

    monkeypatch.setattr(here.patchbay.vault, "seal", seal)

    first, second, third = await save_all(here, all)

    assert (first, str(second), third) == (True, "not this one", True)
    assert await access_tokens(here, connections) == ["access-0", "former", "access-2"]
    # Its intent stays, and so does its lease.
    assert [row.connection_id for row in await models.TokenJournal.all()] == [connections[1].id]
    assert await leases(connections) == [None, "here", None]


async def test_one_that_somebody_holds_is_in_no_others_way(here: Installation) -> None:
    if here.patchbay.database.dialect == "sqlite":
        pytest.skip("one transaction writes at a time")
    connections, all = await three(here)
    outside = copy_context()

    async with asyncio.timeout(_SECONDS), asyncio.TaskGroup() as tasks:
        async with transaction():
            await models.Connection.select_for_update().get(id=connections[0].id)
            held, *others = [tasks.create_task(saving_of(here).save(each), context=outside.copy()) for each in all]
            assert [await other for other in others] == [True, True]
            assert not held.done()
        assert await held

    assert await access_tokens(here, connections) == ["access-0", "access-1", "access-2"]


async def test_of_two_for_the_same_credential_one_is_saved(here: Installation) -> None:
    [connection, *_], [first, *_] = await three(here)
    tokens = TokenSet(Secret("access-other"), refresh_token=Secret("refresh-other"))
    second = Renewed(first.subject, first.intent, tokens, lease=first.lease)

    assert await save_all(here, [first, second]) == [True, False]

    assert await access_tokens(here, [connection]) == ["access-0"]
    assert (await models.Credential.get(connection_id=connection.id)).generation == 2
