"""What is issued without a transaction: a change between the reading and the telling is found by the statement that tells."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import models
from api.access import Actor
from api.errors import Conflict, NotFound, PatchbayError
from models import AuditOutcome, ConnectionStatus
from models.database import in_own_transaction
from tests.connections.meanwhile import Change, ada_by_token, deactivate, delete, revoke
from tests.connections.test_issuing import TTL
from tests.installation import Installation

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connection(here: Installation) -> models.Connection:
    return await here.connect_with_token()


@pytest.fixture
async def actor(here: Installation) -> Actor:
    return await ada_by_token(here)


async def outcomes() -> list[AuditOutcome]:
    return [entry.outcome for entry in await models.AuditEntry.filter(action="credential.issue").order_by("id")]


def once_it_is_read(here: Installation, monkeypatch: pytest.MonkeyPatch, change: Callable[[], Awaitable[object]]) -> list[bool]:
    """Change something after the first reading; of each reading, whether it was within a transaction."""
    subjects: Any = here.patchbay.issuing._subjects
    read, within = subjects.read, []

    async def reading(connection_id: Any) -> Any:
        within.append(in_own_transaction())
        found = await read(connection_id)
        if len(within) == 1:
            await change()
        return found

    monkeypatch.setattr(subjects, "read", reading)
    return within


async def nothing() -> None:
    """Nothing changes."""


async def test_what_is_in_order_is_read_once_and_in_no_transaction(
    here: Installation, actor: Actor, connection: models.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = once_it_is_read(here, monkeypatch, nothing)

    issued = await here.patchbay.issuing.issue(actor, connection.id, TTL)

    entry = await models.AuditEntry.get(action="credential.issue")
    assert within == [False]
    assert (entry.outcome, entry.actor_id, entry.token_id, entry.at) == (AuditOutcome.DONE, actor.user_id, actor.token_id, here.clock.now)
    assert (entry.subject_id, entry.subject_name, entry.folder_id) == (str(connection.id), connection.name, connection.folder_id)
    assert issued.connection.last_used_at == here.clock.now == (await models.Connection.get(id=connection.id)).last_used_at


async def disable(here: Installation, _: Actor, connection: models.Connection) -> None:
    await here.patchbay.connections.disable(here.ada, connection.id)


@pytest.mark.parametrize(("change", "error"), [(deactivate, NotFound), (revoke, NotFound), (disable, Conflict), (delete, NotFound)])
async def test_what_is_not_allowed_any_more_is_not_issued(
    here: Installation,
    actor: Actor,
    connection: models.Connection,
    monkeypatch: pytest.MonkeyPatch,
    change: Change,
    error: type[PatchbayError],
) -> None:
    within = once_it_is_read(here, monkeypatch, lambda: change(here, actor, connection))

    with pytest.raises(error):
        await here.patchbay.issuing.issue(actor, connection.id, TTL)

    assert within == [False, True]
    assert await outcomes() == ([AuditOutcome.FAILED] if error is Conflict else [AuditOutcome.REFUSED])
    kept = await models.Connection.get_or_none(id=connection.id)
    assert kept is None or kept.last_used_at is None


async def test_a_credential_that_was_replaced_is_not_issued_but_the_new_one(
    here: Installation, actor: Actor, connection: models.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def replace() -> None:
        await models.Credential.filter(connection_id=connection.id).update(generation=2)

    within = once_it_is_read(here, monkeypatch, replace)

    issued = await here.patchbay.issuing.issue(actor, connection.id, TTL)

    assert (within, issued.generation) == ([False, True], 2)
    assert [entry.detail for entry in await models.AuditEntry.filter(action="credential.issue")] == ["generation 2"]


async def test_who_was_an_administrator_a_moment_ago_is_issued_nothing_of_a_shared_folder(
    here: Installation, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await models.User.filter(id=actor.user_id).update(administrator=True)
    shared = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    connection = await here.connect_with_token(folder_id=shared.id)
    await models.FolderGrant.filter(folder_id=shared.id).delete()

    async def demote() -> None:
        await models.User.filter(id=actor.user_id).update(administrator=False)

    within = once_it_is_read(here, monkeypatch, demote)

    with pytest.raises(NotFound):
        await here.patchbay.issuing.issue(actor, connection.id, TTL)

    assert within == [False, True]
    assert await outcomes() == [AuditOutcome.REFUSED]


async def test_what_is_refused_is_told_once(here: Installation, actor: Actor, connection: models.Connection) -> None:
    await here.patchbay.connections.disable(here.ada, connection.id)

    with pytest.raises(Conflict):
        await here.patchbay.issuing.issue(actor, connection.id, TTL)

    assert await outcomes() == [AuditOutcome.FAILED]
    assert (await models.Connection.get(id=connection.id)).status is ConnectionStatus.DISABLED


async def test_those_who_ask_at_once_are_each_issued_what_they_asked_for(here: Installation, actor: Actor) -> None:
    tokens = [here.personal_token() for _ in range(3)]
    connections = [await here.connect_with_token(name=str(place), fields={"token": token}) for place, token in enumerate(tokens)]
    asked = [*range(3)] * 3

    issued = await asyncio.gather(*(here.patchbay.issuing.issue(actor, connections[place].id, TTL) for place in asked))

    assert [each.connection.id for each in issued] == [connections[place].id for place in asked]
    assert [each.headers["Authorization"] for each in issued] == [f"Bearer {tokens[place].reveal()}" for place in asked]
