"""What the databases refuse, whatever the code above them does. Each refusal: the error came, and nothing changed."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from tortoise.exceptions import IntegrityError

import models
from models.database import Database, rows, transaction

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Change = Callable[[], Awaitable[object]]


async def user(name: str = "Ada", **values: Any) -> models.User:
    return await models.User.create(name=name, created_at=NOW, **values)


async def shared(name: str = "Team", parent: models.Folder | None = None) -> models.Folder:
    return await models.Folder.create(name=name, name_key=models.fold(name), kind=models.FolderKind.SHARED, parent=parent, created_at=NOW)


async def personal(owner: models.User | None) -> models.Folder:
    return await models.Folder.create(name="Mine", name_key="mine", kind=models.FolderKind.PERSONAL, owner=owner, created_at=NOW)


async def app(origin: models.OAuthAppOrigin, folder: models.Folder | None, connector: str = "github") -> models.OAuthApp:
    return await models.OAuthApp.create(
        connector_key=connector, name="App", client_id="client", origin=origin, folder=folder, created_at=NOW
    )


async def connection(folder: models.Folder, owner: models.User, name: str = "GitHub", **values: Any) -> models.Connection:
    columns: dict[str, Any] = {
        "folder": folder,
        "connector_key": "github",
        "name": name,
        "name_key": models.fold(name),
        "owner": owner,
        "authentication_type": models.AuthenticationType.API_KEY,
        "status": models.ConnectionStatus.CONNECTED,
        "status_changed_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return await models.Connection.create(**(columns | values))


async def credential(of: models.Connection, generation: int = 1) -> models.Credential:
    return await models.Credential.create(
        connection=of, secrets=models.Sealed(b"sealed"), generation=generation, fingerprint="f" * 64, obtained_at=NOW
    )


async def policy(connector: str, group_id: UUID | None, user_id: UUID | None) -> models.ConnectorPolicy:
    return await models.ConnectorPolicy.create(connector_key=connector, group_id=group_id, user_id=user_id, created_at=NOW, updated_at=NOW)


async def webhook(folder: models.Folder | None) -> models.Webhook:
    return await models.Webhook.create(
        folder=folder,
        url="https://example.com/",
        secret=models.Sealed(b"sealed"),
        secret_set_at=NOW,
        created_by_id=UUID(int=1),
        created_at=NOW,
    )


async def delivery(of: models.Webhook, event_id: int = 1, **values: Any) -> models.WebhookDelivery:
    columns: dict[str, Any] = {
        "webhook": of,
        "message_id": "msg_1",
        "event_id": event_id,
        "event_type": models.ConnectionEventType.CREATED,
        "payload": "{}",
        "next_attempt_at": NOW,
        "created_at": NOW,
    }
    return await models.WebhookDelivery.create(**(columns | values))


async def contents() -> dict[str, list[dict[str, Any]]]:
    tables = [
        "user_account", "folder", "folder_grant", "oauth_app", "connection", "credential", "token_journal", "connector_policy", "webhook",
        "webhook_delivery",
    ]  # fmt: skip
    return {table: await rows(f'SELECT * FROM "{table}" ORDER BY 1, 2') for table in tables}


async def refused(change: Change) -> None:
    before = await contents()
    with pytest.raises(IntegrityError):
        await change()
    assert await contents() == before
    # And the same inside a transaction, which goes on after it.
    async with transaction():
        with pytest.raises(IntegrityError):
            async with transaction():
                await change()
        assert await contents() == before


async def test_a_second_default_connection_of_a_connector_in_a_folder_is_refused() -> None:
    owner, folder, other = await user(), await shared("One"), await shared("Two")
    await connection(folder, owner, "first", is_default=True)
    await connection(folder, owner, "second")
    await connection(other, owner, "first", is_default=True)
    await connection(folder, owner, "third", connector_key="slack", is_default=True)

    await refused(lambda: connection(folder, owner, "fourth", is_default=True))
    await refused(lambda: models.Connection.filter(name="second").update(is_default=True))


async def test_a_second_connection_of_a_name_in_a_folder_is_refused_without_regard_to_case() -> None:
    owner, folder = await user(), await shared()
    await connection(folder, owner, "Straße")
    await connection(folder, owner, "Straße", connector_key="slack")

    await refused(lambda: connection(folder, owner, "STRASSE"))


async def test_a_second_folder_of_a_name_beside_the_first_is_refused() -> None:
    root = await shared("Root")
    await shared("Team", root)
    await shared("Team", await shared("Elsewhere"))

    await refused(lambda: shared("TEAM", root))


async def test_a_second_shared_root_of_a_name_is_refused() -> None:
    await shared("Team")
    await personal(await user("Ada"))
    await personal(await user("Bob"))

    await refused(lambda: shared("team"))


async def test_a_second_personal_workspace_is_refused() -> None:
    owner = await user()
    await personal(owner)

    await refused(lambda: personal(owner))


async def test_a_personal_workspace_without_an_owner_is_refused() -> None:
    await refused(lambda: personal(None))


async def test_a_personal_workspace_inside_another_folder_is_refused() -> None:
    owner, root = await user(), await shared()
    await personal(owner)

    await refused(lambda: models.Folder.filter(owner_id=owner.id).update(parent_id=root.id))


async def test_a_folder_inside_itself_is_refused() -> None:
    root = await shared()

    await refused(lambda: models.Folder.filter(id=root.id).update(parent_id=root.id))


async def test_a_second_app_of_the_operator_for_a_connector_is_refused() -> None:
    folder = await shared()
    await app(models.OAuthAppOrigin.OPERATOR, None)
    await app(models.OAuthAppOrigin.OPERATOR, None, "slack")
    await app(models.OAuthAppOrigin.CONNECTION, folder)
    await app(models.OAuthAppOrigin.CONNECTION, folder)

    await refused(lambda: app(models.OAuthAppOrigin.OPERATOR, None))


async def test_an_app_belongs_either_to_the_installation_or_to_a_folder() -> None:
    folder = await shared()
    await app(models.OAuthAppOrigin.POLICY, None)
    await app(models.OAuthAppOrigin.POLICY, None)

    await refused(lambda: app(models.OAuthAppOrigin.OPERATOR, folder))
    await refused(lambda: app(models.OAuthAppOrigin.POLICY, folder))
    await refused(lambda: app(models.OAuthAppOrigin.CONNECTION, None))


async def test_a_second_policy_for_the_same_is_refused() -> None:
    ada, sales = await user(), await models.Group.create(name="Sales", name_key="sales", created_at=NOW)
    for connector in ("github", "slack"):
        await policy(connector, None, None)
        await policy(connector, sales.id, None)
        await policy(connector, None, ada.id)

    await refused(lambda: policy("github", None, None))
    await refused(lambda: policy("github", sales.id, None))
    await refused(lambda: policy("github", None, ada.id))
    await refused(lambda: policy("asana", sales.id, ada.id))


@pytest.mark.parametrize("permissions", [0, 64, -1])
async def test_a_grant_of_nothing_or_of_unknown_permissions_is_refused(permissions: int) -> None:
    holder, folder = await user(), await shared()

    await refused(lambda: models.FolderGrant.create(folder=folder, user=holder, permissions=permissions))


async def test_a_second_grant_for_a_user_in_a_folder_is_refused() -> None:
    holder, folder = await user(), await shared()
    await models.FolderGrant.create(folder=folder, user=holder, permissions=1)

    await refused(lambda: models.FolderGrant.create(folder=folder, user=holder, permissions=3))


async def test_a_second_user_of_an_email_address_is_refused() -> None:
    await user(email="ada@example.com", email_key="ada@example.com")
    await user("Nobody")
    await user("No one")

    await refused(lambda: user("Eve", email="ADA@example.com", email_key="ada@example.com"))
    await refused(lambda: user("Eve", email="eve@example.com"))


async def test_a_second_credential_of_a_connection_is_refused() -> None:
    linked = await connection(await shared(), await user())
    await credential(linked)

    await refused(lambda: credential(linked))


async def test_counts_below_zero_are_refused() -> None:
    linked = await connection(await shared(), await user())
    await credential(linked)

    await refused(lambda: models.Connection.filter(id=linked.id).update(failures=-1))
    await refused(lambda: models.Connection.filter(id=linked.id).update(lease_number=-1))
    await refused(lambda: models.Credential.filter(connection_id=linked.id).update(generation=0))


async def test_a_journal_entry_has_an_answer_and_its_time_or_neither() -> None:
    async def entry(**values: Any) -> models.TokenJournal:
        values |= {"connection_id": UUID(int=1), "folder_id": UUID(int=2), "started_at": NOW}
        return await models.TokenJournal.create(fingerprint="f", generation=1, lease_number=1, **values)

    await entry()
    await entry(answer=models.Sealed(b"sealed"), answered_at=NOW)

    await refused(lambda: entry(answer=models.Sealed(b"sealed")))
    await refused(lambda: entry(answered_at=NOW))


async def test_a_folder_a_user_or_an_app_in_use_is_not_deleted() -> None:
    owner, folder = await user(), await shared()
    used = await app(models.OAuthAppOrigin.CONNECTION, folder)
    await connection(folder, owner, oauth_app=used)

    await refused(lambda: models.Folder.filter(id=folder.id).delete())
    await refused(lambda: models.User.filter(id=owner.id).delete())
    await refused(lambda: models.OAuthApp.filter(id=used.id).delete())


async def test_a_folder_that_holds_another_is_not_deleted() -> None:
    root = await shared("Root")
    await shared("Team", root)

    await refused(lambda: models.Folder.filter(id=root.id).delete())


async def test_a_connection_takes_its_credential_with_it_and_leaves_its_events() -> None:
    linked = await connection(await shared(), await user())
    await credential(linked)
    await event(linked)

    await models.Connection.filter(id=linked.id).delete()

    assert await models.Credential.all().count() == 0
    assert await models.ConnectionEvent.filter(connection_id=linked.id).count() == 1


async def test_the_number_of_an_event_is_never_given_again(database: Database) -> None:
    linked = await connection(await shared(), await user())
    first, second = await event(linked), await event(linked)
    await models.ConnectionEvent.filter(id=second.id).delete()

    third = await event(linked)

    assert first.id < second.id < third.id


async def test_postgresql_keeps_with_each_event_the_transaction_that_wrote_it(database: Database) -> None:
    linked = await connection(await shared(), await user())
    async with transaction():
        await event(linked)
        await event(linked)
    await event(linked)

    found = await rows('SELECT * FROM "connection_event" ORDER BY "id"')

    if database.dialect == "sqlite":
        assert all("xid" not in row for row in found)
    else:
        assert found[0]["xid"] == found[1]["xid"] < found[2]["xid"]


async def event(of: models.Connection) -> models.ConnectionEvent:
    return await models.ConnectionEvent.create(
        type=models.ConnectionEventType.CREATED,
        connection_id=of.id,
        connection_name=of.name,
        connector_key=of.connector_key,
        folder_id=of.folder_id,
        status=of.status,
        at=NOW,
    )


async def test_a_second_delivery_of_an_event_to_a_webhook_is_refused_unless_it_is_asked_for_again() -> None:
    one, other = await webhook(None), await webhook(await shared())
    await delivery(one)
    await delivery(one, event_id=2)
    await delivery(other)
    await delivery(one, is_replay=True)
    await delivery(one, is_replay=True)

    await refused(lambda: delivery(one))


async def test_what_waits_to_be_delivered_is_due_and_nothing_else_is() -> None:
    one = await webhook(None)
    await delivery(one, state=models.DeliveryState.DELIVERED, next_attempt_at=None)

    await refused(lambda: delivery(one, event_id=2, next_attempt_at=None))
    await refused(lambda: delivery(one, event_id=2, state=models.DeliveryState.FAILED))
    await refused(lambda: rows("UPDATE webhook_delivery SET state = $1", ["LOST"]))


async def test_a_folder_that_goes_takes_its_webhooks_along_and_no_others() -> None:
    folder = await shared()
    gone, left = await webhook(folder), await webhook(None)
    await delivery(gone)
    await delivery(left)

    await folder.delete()

    assert [row.id for row in await models.Webhook.all()] == [left.id]
    assert [row.webhook_id for row in await models.WebhookDelivery.all()] == [left.id]
