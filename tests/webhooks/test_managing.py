"""Webhooks are made, changed and ended by whoever manages the folder, and send nothing to where nobody should."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

import models
from api.access import Actor
from api.errors import Conflict, InvalidInput, NotFound, PatchbayError, PermissionDenied
from api.vault.sealed_values import Opened, open_all
from models import AuditOutcome, ConnectionEventType, DeliveryState, Permission
from models.database import rows
from tests.outbound.servers import Server
from tests.webhooks.scene import Scene

pytestmark = pytest.mark.anyio

REFUSED = [
    "http://example.com/hook",
    "https://example.com:8443/hook",
    "https://127.0.0.1/hook",
    "https://localhost.localdomain@10.0.0.1/hook",
    "https://10.0.0.1/hook",
    "https://192.168.1.1/hook",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/hook",
    "https://[::ffff:127.0.0.1]/hook",
    "https://[fd00::1]/hook",
    "https://0x7f000001/hook",
    "https://2130706433/hook",
    "https://user:password@example.com/hook",
    "https://example.com/hook#part",
    "ftp://example.com/hook",
    "javascript:alert(1)",
    "example.com/hook",
    "https://example.com/ho ok",
    "https://example.com/\r\nX: y",
    "",
    "https://example.com/" + "x" * 2_000,
]


@asynccontextmanager
async def unchanged() -> AsyncIterator[None]:
    before = [await rows(f"SELECT * FROM {table} ORDER BY id") for table in ("webhook", "webhook_delivery")]
    yield
    assert [await rows(f"SELECT * FROM {table} ORDER BY id") for table in ("webhook", "webhook_delivery")] == before


async def refused(kind: type[PatchbayError], act: Callable[[], Awaitable[object]]) -> PatchbayError:
    """The error came, and nothing changed."""
    async with unchanged():
        with pytest.raises(kind) as caught:
            await act()
    return caught.value


def names_mean(scene: Scene, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses."""

    async def look_up(host: str) -> list[str]:
        return list(addresses)

    monkeypatch.setattr(scene.here.patchbay.webhooks.managing._guard, "_lookup", look_up)


async def test_a_webhook_says_what_it_is_for_and_shows_its_secret_once(scene: Scene) -> None:
    folder = await scene.folder("Sales")

    new = await scene.here.patchbay.webhooks.managing.create(scene.here.ada, folder_id=folder, url=scene.receiver.url())

    webhook = await models.Webhook.get(id=new.webhook.id)
    assert (webhook.folder_id, webhook.url, webhook.created_by_id) == (folder, scene.receiver.url(), scene.here.ada.user_id)
    assert webhook.events == ["CREATED", "RECONNECTED", "STATUS_CHANGED", "DELETED"]
    assert (webhook.disabled_at, webhook.secret_set_at) == (None, scene.here.clock())
    # 32 random bytes in base64.
    assert (new.secret.reveal()[:6], len(new.secret.reveal())) == ("whsec_", 50)
    assert await open_all(scene.here.patchbay.vault) == Opened(2, [])
    (entry,) = await models.AuditEntry.filter(action="webhook.create")
    assert (entry.outcome, entry.subject_id, entry.folder_id) == (AuditOutcome.DONE, str(webhook.id), folder)
    assert entry.subject_name == "http://127.0.0.1"


async def test_an_address_that_is_not_called_is_refused_when_it_is_given(scene: Scene) -> None:
    webhook = await scene.listen()
    ada, webhooks = scene.here.ada, scene.here.patchbay.webhooks.managing

    for url in REFUSED:
        made = await refused(InvalidInput, lambda url=url: webhooks.create(ada, folder_id=None, url=url))  # type: ignore[misc]
        changed = await refused(InvalidInput, lambda url=url: webhooks.update(ada, webhook.id, url=url))  # type: ignore[misc]

        for error in (made, changed):
            assert isinstance(error, InvalidInput)
            assert list(error.fields) == ["url"], url


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], []])
async def test_a_name_that_means_no_public_address_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    names_mean(scene, monkeypatch, *addresses)

    error = await refused(
        InvalidInput, lambda: scene.here.patchbay.webhooks.managing.create(scene.here.ada, folder_id=None, url="https://example.com/")
    )

    assert error.message.startswith("The input is not valid: url: is not called")


async def test_a_name_that_changes_its_mind_is_not_called(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    names_mean(scene, monkeypatch, "93.184.216.34")
    url = f"https://rebinding.example/hook?{uuid4()}"
    webhook = (await scene.here.patchbay.webhooks.managing.create(scene.here.ada, folder_id=None, url=url)).webhook
    names_mean(scene, monkeypatch, "127.0.0.1")
    await scene.connect()
    await scene.settle()

    (delivery,) = await scene.deliveries(webhook)
    assert scene.receiver.received == []
    assert (delivery.state, delivery.last_status) == (DeliveryState.PENDING, None)
    assert delivery.last_error == "https://rebinding.example is not called: its address is not public."


async def test_an_address_that_is_allowed_no_more_is_not_called(scene: Scene) -> None:
    webhook = await scene.listen()
    # As it was kept by an operator who allowed more.
    await models.Webhook.filter(id=webhook.id).update(url="http://127.0.0.1:1/hook")
    await scene.connect()
    await scene.settle()

    (delivery,) = await scene.deliveries(webhook)
    assert delivery.last_error == "http://127.0.0.1 is not called: only https is allowed."


async def test_a_webhook_of_no_events_is_refused(scene: Scene) -> None:
    webhooks = scene.here.patchbay.webhooks.managing

    error = await refused(InvalidInput, lambda: webhooks.create(scene.here.ada, folder_id=None, url=scene.receiver.url(), events=[]))

    assert error.message == "The input is not valid: events: must name one at least."


async def test_there_are_twenty_webhooks_at_a_place(scene: Scene) -> None:
    folder = await scene.folder("Sales")
    for place in (folder, None):
        await asyncio.gather(*(scene.listen(place) for _ in range(20)))
        await refused(Conflict, lambda place=place: scene.listen(place))  # type: ignore[misc]
    await scene.listen(await scene.folder("Support"))


async def test_another_address_gets_what_waits(scene: Scene) -> None:
    scene.receiver.plan(500)
    webhook = await scene.listen()
    connection = await scene.connect()
    await scene.settle()

    await scene.here.patchbay.webhooks.managing.update(
        scene.here.ada, webhook.id, url=scene.receiver.url("/new"), events=[ConnectionEventType.RENAMED]
    )
    await scene.settle(after=timedelta(seconds=6))
    await scene.here.patchbay.connections.rename(scene.here.ada, connection.id, "Renamed")
    await scene.settle()

    assert [each.message["type"] for each in scene.receiver.at("/new")] == ["connection.created", "connection.renamed"]
    assert scene.receiver.at("/new")[0].verified_by == scene.receiver.secrets


async def test_while_a_secret_is_replaced_messages_verify_with_both(scene: Scene) -> None:
    webhook = await scene.listen()
    webhooks, connections = scene.here.patchbay.webhooks.managing, scene.here.patchbay.connections
    new = await webhooks.rotate_secret(scene.here.ada, webhook.id, previous_ends_at=scene.here.clock() + timedelta(seconds=30))
    scene.know(new)
    former, present = scene.receiver.secrets
    connection = await scene.connect()
    await scene.settle()
    await connections.disable(scene.here.ada, connection.id)
    await scene.settle(after=timedelta(seconds=31))

    assert former != present
    assert [each.verified_by for each in scene.receiver.received] == [[former, present], [present]]
    assert [len(each.headers["webhook-signature"].split()) for each in scene.receiver.received] == [2, 1]
    await scene.settle(after=timedelta(minutes=2))
    kept = await models.Webhook.get(id=webhook.id)
    assert (kept.previous_secret, kept.previous_secret_until) == (None, None)


async def test_a_former_secret_ends_by_itself_after_a_day_or_at_once(scene: Scene) -> None:
    webhook, webhooks = await scene.listen(), scene.here.patchbay.webhooks.managing

    usual = await webhooks.rotate_secret(scene.here.ada, webhook.id)
    assert usual.webhook.previous_secret_until == scene.here.clock() + timedelta(hours=24)
    at_once = await webhooks.rotate_secret(scene.here.ada, webhook.id, previous_ends_at=scene.here.clock())
    assert (at_once.webhook.previous_secret, at_once.webhook.previous_secret_until) == (None, None)

    late = scene.here.clock() + timedelta(days=31)
    await refused(InvalidInput, lambda: webhooks.rotate_secret(scene.here.ada, webhook.id, previous_ends_at=late))


async def test_a_secret_that_does_not_open_is_replaced_and_meanwhile_the_message_waits(scene: Scene) -> None:
    webhook = await scene.listen()
    await models.Webhook.filter(id=webhook.id).update(secret=models.Sealed(b"never sealed, and long enough for one value"))
    await scene.connect()
    await scene.settle()
    (delivery,) = await scene.deliveries(webhook)
    assert (delivery.state, scene.receiver.received) == (DeliveryState.PENDING, [])
    assert "cannot be opened" in str(delivery.last_error)

    scene.know(await scene.here.patchbay.webhooks.managing.rotate_secret(scene.here.ada, webhook.id))
    await scene.settle(after=timedelta(seconds=6))

    assert [each.verified_by for each in scene.receiver.received] == [scene.receiver.secrets[1:]]


@pytest.mark.parametrize(("status", "told"), [(204, None), (500, "It answered 500."), (410, "It answered 410.")])
async def test_a_test_says_what_the_receiver_said_and_changes_nothing(scene: Scene, status: int, told: str | None) -> None:
    webhook = await scene.listen()
    scene.receiver.plan(status)

    async with unchanged():
        outcome = await scene.here.patchbay.webhooks.managing.send_test(scene.here.ada, webhook.id)

    (received,) = scene.receiver.received
    assert (outcome.status, outcome.error) == (status, told)
    assert (received.message["type"], received.data) == ("webhook.test", {"webhookId": str(webhook.id)})
    assert received.verified_by == scene.receiver.secrets
    assert await models.AuditEntry.filter(action="webhook.test", outcome=AuditOutcome.DONE).count() == 1


async def test_a_test_of_a_receiver_that_is_not_there_says_so(scene: Scene) -> None:
    webhook = await scene.listen()
    # Nobody listens at a port that was just given back.
    await models.Webhook.filter(id=webhook.id).update(url=Server(port=1).url())

    outcome = await scene.here.patchbay.webhooks.managing.send_test(scene.here.ada, webhook.id)

    assert (outcome.status, outcome.is_delivered) == (None, False)


async def test_a_webhook_goes_on_when_its_maker_leaves(scene: Scene) -> None:
    folder, ben = await scene.folder("Sales"), await scene.here.add_person("Ben")
    await models.FolderGrant.create(folder_id=folder, user_id=ben.user_id, permissions=int(Permission.every()))
    webhook = await scene.listen(folder, actor=ben)
    await scene.here.patchbay.people.deactivate(scene.here.ada, ben.user_id)
    await scene.connect(folder)
    await scene.settle()

    rows, _, total = await scene.here.patchbay.webhooks.reading.page(scene.here.ada, folder_id=folder, first=10, after=None)
    assert len(scene.receiver.received) == 1
    assert ([row.id for row in rows], rows[0].created_by_id, total) == ([webhook.id], ben.user_id, 1)


async def test_the_owner_of_a_workspace_may_have_webhooks_there_and_nobody_else(scene: Scene) -> None:
    ben = await scene.here.add_person("Ben")
    workspace = (await models.Folder.get(owner_id=ben.user_id)).id
    webhook = await scene.listen(workspace, actor=ben)
    webhooks, reading = scene.here.patchbay.webhooks.managing, scene.here.patchbay.webhooks.reading

    await refused(NotFound, lambda: webhooks.create(scene.here.ada, folder_id=workspace, url=scene.receiver.url()))
    await refused(NotFound, lambda: webhooks.delete(scene.here.ada, webhook.id))
    await refused(PermissionDenied, lambda: webhooks.create(ben, folder_id=None, url=scene.receiver.url()))

    assert await reading.find(scene.here.ada, webhook.id) is None
    assert await reading.find(ben, webhook.id) is not None


async def test_webhooks_of_the_installation_are_for_administrators(scene: Scene) -> None:
    webhook, ben = await scene.listen(), await scene.here.add_person("Ben")
    webhooks, reading = scene.here.patchbay.webhooks.managing, scene.here.patchbay.webhooks.reading

    async def acts(actor: Actor, id: UUID) -> list[Callable[[], Awaitable[Any]]]:
        return [
            lambda: webhooks.update(actor, id, url=scene.receiver.url("/mine")),
            lambda: webhooks.rotate_secret(actor, id),
            lambda: webhooks.enable(actor, id),
            lambda: webhooks.disable(actor, id),
            lambda: webhooks.delete(actor, id),
            lambda: webhooks.send_test(actor, id),
        ]

    for id in (webhook.id, uuid4()):
        for act in await acts(ben, id):
            await refused(NotFound, act)
    assert await reading.page(ben, folder_id=None, first=10, after=None) == ([], False, 0)
    assert scene.receiver.received == []
    # And whoever is an administrator may do all of it.
    for act in await acts(scene.here.ada, webhook.id):
        if not await models.Webhook.exists(id=webhook.id):
            break
        await act()
    assert not await models.Webhook.exists(id=webhook.id)


async def test_the_secret_is_in_no_row(scene: Scene) -> None:
    await scene.listen()
    await scene.connect()
    await scene.settle()

    (secret,) = scene.receiver.secrets
    kept = [await model.all().values() for model in (models.Webhook, models.WebhookDelivery, models.AuditEntry)]
    assert all(kept)
    assert secret not in repr(kept)


async def test_a_message_is_small_whatever_is_in_it(scene: Scene) -> None:
    webhook = await scene.listen()
    await models.ConnectionEvent.create(
        type=ConnectionEventType.STATUS_CHANGED,
        connection_id=uuid4(),
        connection_name="\U0001f600" * 120,
        connector_key="x" * 64,
        folder_id=scene.place,
        status=models.ConnectionStatus.DEGRADED,
        reason_json={
            "code": "PROVIDER_ERROR",
            "message": "\U0001f600" * 5_000,
            "remedy": '"\\' * 5_000,
            "fixable_by": "NOBODY",
            "provider_error": "\n" * 5_000,
        },
        at=datetime.now(UTC),
    )
    await scene.settle()

    (delivery,) = await scene.deliveries(webhook)
    (received,) = scene.receiver.received
    assert delivery.payload.encode() == received.body
    assert len(received.body) < 20_000
