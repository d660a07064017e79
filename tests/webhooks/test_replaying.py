"""Sending again: one message, or all since a moment or an event; what the receiver has it knows by the message's id."""

import asyncio
from datetime import timedelta

import pytest

import models
from api.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from api.events.cursors import read_cursor
from api.events.order import EventPosition
from models import AuditOutcome, DeliveryState, Permission
from tests.webhooks.scene import Scene

pytestmark = pytest.mark.anyio


@pytest.fixture
async def webhook(scene: Scene) -> models.Webhook:
    """One that three messages were delivered to, an hour apart."""
    webhook = await scene.listen()
    for name in ("first", "second", "third"):
        await scene.connect(name=name)
        await scene.settle(after=timedelta(hours=1))
    return webhook


def ids(scene: Scene) -> list[str]:
    return [each.id for each in scene.receiver.received]


async def test_what_happened_behind_a_cursor_is_sent_again_under_the_same_ids(scene: Scene, webhook: models.Webhook) -> None:
    before = {each.data["connectionName"]: each for each in scene.receiver.received}
    after = read_cursor(before["first"].data["cursor"], scene.here.patchbay.vault)

    replayed = await scene.here.patchbay.webhooks.replaying.replay(scene.here.ada, webhook.id, after=after)
    await scene.settle()

    again = {each.data["connectionName"]: each for each in scene.receiver.received[3:]}
    assert (replayed.deliveries, replayed.is_complete, len(scene.receiver.received)) == (2, True, 5)
    assert {name: (each.id, each.body) for name, each in again.items()} == {
        name: (before[name].id, before[name].body) for name in ("second", "third")
    }
    assert [delivery.is_replay for delivery in await scene.deliveries(webhook)] == [False, False, True, False, True]
    (entry,) = await models.AuditEntry.filter(action="webhook.replay")
    assert (entry.outcome, entry.detail) == (AuditOutcome.DONE, "2 deliveries")


async def test_what_happened_since_a_moment_is_sent_again(scene: Scene, webhook: models.Webhook) -> None:
    # The third was made at the end of the second hour.
    since = scene.here.clock() - timedelta(hours=1, minutes=30)
    replaying = scene.here.patchbay.webhooks.replaying

    one = await replaying.replay(scene.here.ada, webhook.id, since=since)
    none = await replaying.replay(scene.here.ada, webhook.id, since=scene.here.clock())
    await scene.settle()
    every = await replaying.replay(scene.here.ada, webhook.id, since=since - timedelta(days=365))

    assert (one.deliveries, none.deliveries, every.deliveries) == (1, 0, 3)


async def test_what_happened_before_there_was_the_webhook_can_be_told_afterwards(scene: Scene) -> None:
    await scene.connect()
    webhook = await scene.listen()

    replayed = await scene.here.patchbay.webhooks.replaying.replay(scene.here.ada, webhook.id, after=EventPosition(0, 0))
    await scene.settle()

    assert (replayed.deliveries, [each.message["type"] for each in scene.receiver.received]) == (1, ["connection.created"])


async def test_what_waits_to_be_delivered_is_not_made_again(scene: Scene) -> None:
    scene.receiver.usual["/hook"] = 500
    webhook = await scene.listen()
    await scene.connect()
    await scene.settle()

    replayed = await scene.here.patchbay.webhooks.replaying.replay(scene.here.ada, webhook.id, after=EventPosition(0, 0))

    assert (replayed.deliveries, len(await scene.deliveries(webhook))) == (0, 1)


async def test_a_message_whose_first_delivery_is_forgotten_gets_a_new_id(scene: Scene, webhook: models.Webhook) -> None:
    before = ids(scene)
    await scene.settle(after=timedelta(days=31))
    assert await scene.deliveries(webhook) == []

    await scene.here.patchbay.webhooks.replaying.replay(scene.here.ada, webhook.id, after=EventPosition(0, 0))
    await scene.settle()

    assert len({*before, *ids(scene)}) == 6


async def test_a_long_replay_goes_on_where_it_ended(scene: Scene, webhook: models.Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.webhooks.replaying._MOST_DELIVERIES", 2)
    monkeypatch.setattr("api.events.order._BATCH", 2)
    replaying = scene.here.patchbay.webhooks.replaying

    first = await replaying.replay(scene.here.ada, webhook.id, after=EventPosition(0, 0))
    second = await replaying.replay(scene.here.ada, webhook.id, after=first.end)

    assert (first.deliveries, first.is_complete) == (2, False)
    assert (second.deliveries, second.is_complete) == (1, True)


async def test_a_replay_begins_in_one_way(scene: Scene, webhook: models.Webhook) -> None:
    for given in ({}, {"after": EventPosition(0, 0), "since": scene.here.clock()}):
        with pytest.raises(InvalidInput):
            await scene.here.patchbay.webhooks.replaying.replay(scene.here.ada, webhook.id, **given)  # type: ignore[arg-type]
    assert len(await scene.deliveries(webhook)) == 3


@pytest.mark.parametrize("status", [204, 500])
async def test_one_message_is_sent_again_whether_or_not_it_arrived(scene: Scene, status: int) -> None:
    scene.receiver.plan(status)
    webhook = await scene.listen()
    await scene.connect()
    await scene.settle()
    (delivery,) = await scene.deliveries(webhook)

    await scene.here.patchbay.webhooks.replaying.resend(scene.here.ada, delivery.id)
    await scene.settle()

    (after,) = await scene.deliveries(webhook)
    assert (len(scene.receiver.received), len(set(ids(scene)))) == (2, 1)
    assert (after.state, after.attempts) == (DeliveryState.DELIVERED, 1)


async def test_a_message_that_is_being_sent_is_not_sent_beside_itself(scene: Scene) -> None:
    scene.receiver.stuck["/hook"] = asyncio.Event()
    webhook = await scene.listen()
    await scene.connect()
    async with asyncio.timeout(10):
        while not scene.receiver.received:
            await scene.dispatcher.tick()
            await asyncio.sleep(0.01)
    (delivery,) = await scene.deliveries(webhook)

    await scene.here.patchbay.webhooks.replaying.resend(scene.here.ada, delivery.id)
    await scene.dispatcher.tick()
    scene.receiver.stuck["/hook"].set()
    await scene.settle()

    assert (len(scene.receiver.received), (await scene.deliveries(webhook))[0].state) == (1, DeliveryState.DELIVERED)


async def test_nothing_is_sent_again_to_a_webhook_that_is_disabled(scene: Scene, webhook: models.Webhook) -> None:
    delivery = (await scene.deliveries(webhook))[0]
    await scene.here.patchbay.webhooks.managing.disable(scene.here.ada, webhook.id)
    replaying = scene.here.patchbay.webhooks.replaying

    with pytest.raises(Conflict):
        await replaying.resend(scene.here.ada, delivery.id)
    with pytest.raises(Conflict):
        await replaying.replay(scene.here.ada, webhook.id, after=EventPosition(0, 0))

    assert {each.state for each in await scene.deliveries(webhook)} == {DeliveryState.DELIVERED}


async def test_who_does_not_manage_the_folder_sends_nothing_again(scene: Scene) -> None:
    folder = await scene.folder("Sales")
    webhook = await scene.listen(folder)
    await scene.connect(folder)
    await scene.settle()
    (delivery,) = await scene.deliveries(webhook)
    stranger, viewer = await scene.here.add_person("Ben"), await scene.here.add_person("Cleo")
    await models.FolderGrant.create(folder_id=folder, user_id=viewer.user_id, permissions=int(Permission.VIEW | Permission.EDIT))
    replaying = scene.here.patchbay.webhooks.replaying

    for actor, refusal in ((stranger, NotFound), (viewer, PermissionDenied)):
        with pytest.raises(refusal):
            await replaying.resend(actor, delivery.id)
        with pytest.raises(refusal):
            await replaying.replay(actor, webhook.id, after=EventPosition(0, 0))
    await scene.settle()

    assert len(scene.receiver.received) == 1
