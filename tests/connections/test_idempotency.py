"""The same key, the same answer."""

import asyncio
from typing import Any

import pytest

import models
from api.errors import Conflict, InvalidInput, NotFound, ProviderFailure
from api.secret import Secret
from models import AuthorizationStatus, Permission
from tests.installation import Installation

pytestmark = pytest.mark.anyio


async def test_a_connection_is_made_once_for_a_key(here: Installation) -> None:
    first = await here.connect_with_token(idempotency_key="k1")

    second = await here.connect_with_token(idempotency_key="k1")

    assert second.id == first.id
    assert await models.Connection.all().count() == 1
    assert await models.ConnectionEvent.all().count() == 1
    assert (await here.connect_with_token(idempotency_key="k2")).id != first.id


async def test_a_consent_is_begun_once_for_a_key(here: Installation) -> None:
    first = await here.begin(idempotency_key="k1")
    assert (await here.begin(idempotency_key="k1")).id == first.id
    await here.come_back(first)

    again = await here.begin(idempotency_key="k1")

    assert (again.id, again.status) == (first.id, AuthorizationStatus.SUCCEEDED)
    assert await models.Authorization.all().count() == 1
    assert await models.Connection.all().count() == 1


async def test_a_key_is_not_used_for_another_request(here: Installation) -> None:
    await here.connect_with_token(idempotency_key="k1", name="Main")
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    others: list[dict[str, Any]] = [
        {"name": None},
        {"name": "main"},
        {"name": "Main", "folder_id": folder.id},
        {"name": "Main", "scopes": ()},
    ]

    for changes in others:
        with pytest.raises(Conflict):
            await here.connect_with_token(idempotency_key="k1", **changes)
    with pytest.raises(Conflict):
        await here.connect_with_token(idempotency_key="k1", name="Main", fields={"token": here.personal_token("sam")})
    with pytest.raises(Conflict):
        await here.begin(idempotency_key="k1", name="Main")

    assert await models.Connection.all().count() == 1
    assert await models.Authorization.all().count() == 0


@pytest.mark.parametrize("name", [None, "Main"])
async def test_of_requests_with_one_key_at_once_one_connects_and_all_have_its_answer(here: Installation, name: str | None) -> None:
    made = await asyncio.gather(*(here.connect_with_token(idempotency_key="k1", name=name) for _ in range(5)))

    assert len({connection.id for connection in made}) == 1
    assert await models.Connection.all().count() == 1
    assert await models.Credential.all().count() == 1
    assert await models.ConnectionEvent.all().count() == 1


async def test_of_consents_with_one_key_at_once_one_is_begun(here: Installation) -> None:
    begun = await asyncio.gather(*(here.begin(idempotency_key="k1", name="Main") for _ in range(5)))

    assert len({authorization.id for authorization in begun}) == 1
    assert await models.Authorization.all().count() == 1


async def test_a_key_whose_connection_was_deleted_is_used_up(here: Installation) -> None:
    connection = await here.connect_with_token(idempotency_key="k1")
    await here.patchbay.connections.delete(here.ada, connection.id)

    with pytest.raises(Conflict):
        await here.connect_with_token(idempotency_key="k1")

    assert await models.Connection.all().count() == 0


async def test_a_key_whose_consent_was_deleted_is_used_up(here: Installation) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    await here.begin(idempotency_key="k1", folder_id=folder.id)
    await here.patchbay.folders.delete(here.ada, folder.id)

    with pytest.raises(Conflict):
        await here.begin(idempotency_key="k1", folder_id=folder.id)

    assert await models.Authorization.all().count() == 0


async def test_a_key_is_ones_own(here: Installation) -> None:
    eve = await here.add_person("Eve")
    theirs = await models.Folder.get(owner_id=eve.user_id)
    mine = await here.connect_with_token(idempotency_key="k1")

    other = await here.patchbay.connecting.connect(eve, here.token_request(idempotency_key="k1", folder_id=theirs.id))

    assert isinstance(other, models.Connection)
    assert other.id != mine.id and other.owner_id == eve.user_id
    assert await models.IdempotencyKey.all().count() == 2


async def test_a_key_does_not_show_a_connection_that_one_may_no_longer_see(here: Installation) -> None:
    bob = await here.add_person("Bob")
    folders = here.patchbay.folders
    folder = await folders.create(here.ada, name="Sales", parent_id=None)
    await folders.set_access(here.ada, folder.id, bob.user_id, Permission.CREATE)
    request = here.token_request(idempotency_key="k1", folder_id=folder.id)
    await here.patchbay.connecting.connect(bob, request)
    await folders.set_access(here.ada, folder.id, bob.user_id, Permission(0))

    with pytest.raises(NotFound):
        await here.patchbay.connecting.connect(bob, request)

    assert await models.Connection.all().count() == 1


async def test_a_failure_does_not_use_a_key_up(here: Installation) -> None:
    wrong = {"token": Secret("wrong")}
    for _ in range(2):
        with pytest.raises(ProviderFailure):
            await here.connect_with_token(idempotency_key="k1", fields=wrong)

    assert await models.IdempotencyKey.all().count() == 0
    assert (await here.connect_with_token(idempotency_key="k1")).name == "Sandbox"


@pytest.mark.parametrize("key", ["", " ", "a\0", "\ud800", "x" * 201])
async def test_a_key_is_a_text_that_can_be_seen(here: Installation, key: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await here.connect_with_token(idempotency_key=key)

    assert list(refusal.value.fields) == ["idempotencyKey"]
    assert await models.Connection.all().count() == 0


async def test_of_a_request_only_a_keyed_hash_is_kept_with_its_key(here: Installation) -> None:
    await here.connect_with_token(idempotency_key="k1")

    row = await models.IdempotencyKey.get(key="k1")

    assert len(row.request) <= 64
    assert here.personal_token().reveal() not in repr(vars(row))
