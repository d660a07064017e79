"""A name that is given without a transaction: what changed between the reading and the change is found by the statement that changes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

import api.connections.service
import models
from api.access import Actor
from api.errors import NameTaken, NotFound, PatchbayError
from models import AuditOutcome, ConnectionEventType, ConnectionStatus, Permission, StatusReasonCode
from models.database import in_own_transaction
from models.holding import find_connection, hold_connection
from tests.connections.meanwhile import Change, ada_by_token, deactivate, delete, revoke
from tests.connections.trouble import another_server
from tests.connections.watching import found, state_of
from tests.installation import Installation

pytestmark = pytest.mark.anyio

DONE, REFUSED = AuditOutcome.DONE, AuditOutcome.REFUSED


@pytest.fixture
async def connection(here: Installation) -> models.Connection:
    return await here.connect_with_token(name="Main")


@pytest.fixture
async def actor(here: Installation) -> Actor:
    return await ada_by_token(here)


async def events() -> list[tuple[str, UUID | None]]:
    renamed = await models.ConnectionEvent.filter(type=ConnectionEventType.RENAMED).order_by("id")
    return [(event.connection_name, event.actor_id) for event in renamed]


async def entries() -> list[tuple[AuditOutcome, str | None, str | None]]:
    found = await models.AuditEntry.filter(action="connection.rename").order_by("id")
    return [(entry.outcome, entry.subject_name, entry.detail if entry.outcome is DONE else None) for entry in found]


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The connections that were held in a transaction to be renamed or changed otherwise."""
    held: list[UUID] = []

    async def hold(connection_id: UUID) -> models.Connection | None:
        assert in_own_transaction()
        held.append(connection_id)
        return await hold_connection(connection_id)

    monkeypatch.setattr("api.access.hold_connection", hold)
    return held


def once_it_is_read(monkeypatch: pytest.MonkeyPatch, change: Callable[[], Awaitable[object]]) -> None:
    async def find(connection_id: UUID) -> Any:
        found = await find_connection(connection_id)
        await change()
        return found

    monkeypatch.setattr(api.connections.service, "find_connection", find)


async def test_a_name_is_given_in_one_go_with_its_event_and_its_entry(
    here: Installation, actor: Actor, connection: models.Connection, holds: list[UUID]
) -> None:
    renamed = await here.patchbay.connections.rename(actor, connection.id, "Production")

    row = await found(connection)
    assert (renamed.name, row.name, row.name_key, row.updated_at) == ("Production", "Production", "production", here.clock.now)
    assert (await events(), await entries()) == ([("Production", here.ada.user_id)], [(DONE, "Production", "was Main")])
    entry = await models.AuditEntry.get(action="connection.rename")
    assert (entry.actor_id, entry.token_id, entry.at) == (actor.user_id, actor.token_id, here.clock.now)
    assert (entry.subject_id, entry.folder_id) == (str(connection.id), connection.folder_id)
    assert holds == []


async def test_a_name_that_it_has_is_told_of_but_no_event(here: Installation, actor: Actor, connection: models.Connection) -> None:
    renamed = await here.patchbay.connections.rename(actor, connection.id, "Main")

    assert renamed.name == "Main"
    assert (await events(), await entries()) == ([], [(DONE, "Main", "was Main")])


async def test_a_name_that_is_taken_is_refused_and_told_once(here: Installation, actor: Actor, connection: models.Connection) -> None:
    await here.connect_with_token(name="Other")

    with pytest.raises(NameTaken):
        await here.patchbay.connections.rename(actor, connection.id, "other")

    assert (await found(connection)).name == "Main"
    assert (await events(), await entries()) == ([], [(AuditOutcome.FAILED, None, None)])


@pytest.mark.parametrize("change", [deactivate, revoke, delete])
async def test_what_is_not_allowed_any_more_is_not_done(
    here: Installation, actor: Actor, connection: models.Connection, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    once_it_is_read(monkeypatch, lambda: change(here, actor, connection))

    with pytest.raises(NotFound):
        await here.patchbay.connections.rename(actor, connection.id, "Production")

    kept = await models.Connection.get_or_none(id=connection.id)
    assert kept is None or kept.name == "Main"
    assert (await events(), await entries()) == ([], [(REFUSED, None, None)])


async def test_who_was_an_administrator_a_moment_ago_names_nothing_in_a_shared_folder(
    here: Installation, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await models.User.filter(id=actor.user_id).update(administrator=True)
    shared = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    connection = await here.connect_with_token(folder_id=shared.id, name="Main")
    await models.FolderGrant.filter(folder_id=shared.id).delete()
    once_it_is_read(monkeypatch, lambda: models.User.filter(id=actor.user_id).update(administrator=False))

    with pytest.raises(NotFound):
        await here.patchbay.connections.rename(actor, connection.id, "Production")

    assert (await found(connection)).name == "Main"
    assert (await events(), await entries()) == ([], [(REFUSED, None, None)])


async def test_what_was_moved_meanwhile_is_asked_about_where_it_is(
    here: Installation, actor: Actor, connection: models.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)

    async def move() -> None:
        await here.patchbay.moving.move(here.ada, connection.id, shared.id)
        await models.FolderGrant.filter(folder_id=shared.id).update(permissions=Permission.VIEW)
        await models.User.filter(id=actor.user_id).update(administrator=False)

    once_it_is_read(monkeypatch, move)

    with pytest.raises(PatchbayError):
        await here.patchbay.connections.rename(actor, connection.id, "Production")

    assert (await found(connection)).name == "Main"
    assert (await events(), [outcome for outcome, _, _ in await entries()]) == ([], [REFUSED])


async def test_what_was_renamed_or_switched_off_meanwhile_is_told_of_as_it_was_then(
    here: Installation, actor: Actor, connection: models.Connection, monkeypatch: pytest.MonkeyPatch, holds: list[UUID]
) -> None:
    async def change() -> None:
        await models.Connection.filter(id=connection.id).update(name="Second", name_key="second")
        await here.patchbay.connections.disable(here.ada, connection.id)
        holds.clear()

    once_it_is_read(monkeypatch, change)

    renamed = await here.patchbay.connections.rename(actor, connection.id, "Production")

    event = await models.ConnectionEvent.get(type=ConnectionEventType.RENAMED)
    assert await entries() == [(DONE, "Production", "was Second")]
    assert (renamed.status, event.status) == (ConnectionStatus.DISABLED, ConnectionStatus.DISABLED)
    assert event.reason is not None
    assert (
        await state_of(connection)
        == (ConnectionStatus.DISABLED, event.reason.code)
        == (ConnectionStatus.DISABLED, StatusReasonCode.DISABLED_BY_USER)
    )
    assert holds == [connection.id]


async def test_who_watches_is_woken_once_it_is_done(here: Installation, actor: Actor, connection: models.Connection) -> None:
    ticket = here.log._wakeup.ticket()

    await here.patchbay.connections.rename(actor, connection.id, "Production")

    assert ticket.is_set()


async def test_of_two_servers_that_give_one_name_one_does(here: Installation) -> None:
    connections = [await here.connect_with_token() for _ in range(6)]

    async with another_server(here) as other:
        servers = [here.patchbay, other] * 3
        ends = await asyncio.gather(
            *[renamed_by(server, here.ada, each, "Main") for server, each in zip(servers, connections, strict=True)], return_exceptions=True
        )

    assert sum(isinstance(end, NameTaken) for end in ends) == 5
    assert await models.Connection.filter(name="Main").count() == 1
    assert [name for name, _ in await events()] == ["Main"]
    assert sorted(outcome for outcome, _, _ in await entries()) == [DONE] + [AuditOutcome.FAILED] * 5


async def test_names_that_two_servers_give_one_connection_are_told_in_their_order(
    here: Installation, connection: models.Connection
) -> None:
    async with another_server(here) as other:
        servers = [here.patchbay, other] * 4
        await asyncio.gather(*[renamed_by(server, here.ada, connection, f"Name {n}") for n, server in enumerate(servers)])

    names = [name for name, _ in await events()]
    assert sorted(names) == [f"Name {n}" for n in range(8)]
    assert (await found(connection)).name == names[-1]
    was = {(name, f"was {former}") for former, name in zip(["Main", *names], names, strict=False)}
    assert {(name, detail) for _, name, detail in await entries()} == was


async def test_a_connection_that_another_server_deletes_is_renamed_before_or_not_at_all(here: Installation) -> None:
    connections = [await here.connect_with_token() for _ in range(4)]

    async with another_server(here) as other:
        named = [renamed_by(here.patchbay, here.ada, each, f"Name {n}") for n, each in enumerate(connections)]
        ended = [deleted_by(other, here.ada, each) for each in connections]
        ends = await asyncio.gather(*[each for pair in zip(ended, named, strict=True) for each in pair], return_exceptions=True)

    refused = [end for end in ends if isinstance(end, BaseException)]
    assert all(isinstance(end, NotFound) for end in refused)
    assert len(await events()) == 4 - len(refused)
    assert sorted(outcome for outcome, _, _ in await entries()) == [DONE] * (4 - len(refused)) + [REFUSED] * len(refused)
    assert await models.Connection.all().count() == 0
    # Nothing is told of a connection after its end.
    last = [await models.ConnectionEvent.filter(connection_id=each.id).order_by("-id").first() for each in connections]
    assert [None if event is None else event.type for event in last] == [ConnectionEventType.DELETED] * 4


async def test_who_is_deactivated_at_this_moment_names_nothing_after_it(
    here: Installation, actor: Actor, connection: models.Connection
) -> None:
    admin = await here.add_person("Grace", administrator=True)

    async with another_server(here) as other:
        end, _ = await asyncio.gather(
            renamed_by(here.patchbay, actor, connection, "Production"),
            deactivated_by(other, admin, actor.user_id),
            return_exceptions=True,
        )

    log = [entry.action for entry in await models.AuditEntry.filter(action__in=["connection.rename", "user.deactivate"]).order_by("id")]
    assert isinstance(end, NotFound) or log == ["connection.rename", "user.deactivate"]
    assert (await found(connection)).name == ("Main" if isinstance(end, NotFound) else "Production")
    assert len(await events()) == (0 if isinstance(end, NotFound) else 1)


async def test_a_grant_that_is_taken_away_at_this_moment_allows_nothing_after_it(here: Installation) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    bob = await here.add_person("Bob")
    connection = await here.connect_with_token(folder_id=folder.id, name="Main")
    await here.patchbay.folders.set_access(here.ada, folder.id, bob.user_id, Permission.VIEW | Permission.EDIT)

    async with another_server(here) as other:
        end, _ = await asyncio.gather(
            renamed_by(here.patchbay, bob, connection, "Production"),
            taken_away_by(other, here.ada, folder.id, bob.user_id),
            return_exceptions=True,
        )

    assert (await found(connection)).name == ("Main" if isinstance(end, NotFound) else "Production")
    assert len(await events()) == (0 if isinstance(end, NotFound) else 1)
    with pytest.raises(NotFound):
        await here.patchbay.connections.rename(bob, connection.id, "Again")


async def renamed_by(server: Any, actor: Actor, connection: models.Connection, name: str) -> object:
    with server.database.entered():
        return await server.connections.rename(actor, connection.id, name)


async def deleted_by(server: Any, actor: Actor, connection: models.Connection) -> object:
    with server.database.entered():
        return await server.connections.delete(actor, connection.id)


async def deactivated_by(server: Any, actor: Actor, user_id: UUID) -> object:
    with server.database.entered():
        return await server.people.deactivate(actor, user_id)


async def taken_away_by(server: Any, actor: Actor, folder_id: UUID, user_id: UUID) -> object:
    with server.database.entered():
        return await server.folders.set_access(actor, folder_id, user_id, Permission(0))
