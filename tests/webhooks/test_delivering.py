"""From an event to the receiver: signed, at least once, by the schedule, until it is taken or given up."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook as Signer

import models
from api.events.cursors import read_cursor
from api.webhooks.schedule import RETRIES
from models import ConnectionEventType, DeliveryState
from tests.webhooks.receiver import Received
from tests.webhooks.scene import Scene

pytestmark = pytest.mark.anyio


def statuses(received: list[Received]) -> list[tuple[str | None, str]]:
    return [(each.data["previousStatus"], each.data["status"]) for each in received]


async def test_a_status_change_reaches_the_receiver_signed(scene: Scene) -> None:
    connection = await scene.connect()
    await scene.listen()
    await scene.here.patchbay.connections.disable(scene.here.ada, connection.id)
    await scene.settle()

    (received,) = scene.receiver.received
    event = await models.ConnectionEvent.filter(type=ConnectionEventType.STATUS_CHANGED).get()
    at = event.at.isoformat().replace("+00:00", "Z")
    data = received.data
    position = read_cursor(data.pop("cursor"), scene.here.patchbay.vault)
    assert received.verified_by == scene.receiver.secrets
    assert received.headers["content-type"] == "application/json"
    assert (received.message["type"], received.message["timestamp"]) == ("connection.status_changed", at)
    assert position is not None
    assert position.id == event.id
    assert event.reason is not None
    assert data == {
        "sequence": event.id,
        "connectionId": str(connection.id),
        "connectionName": "Mine",
        "connectorKey": "sandbox",
        "folderId": str(scene.place),
        "previousFolderId": None,
        "previousStatus": "CONNECTED",
        "status": "DISABLED",
        "reason": {
            "code": "DISABLED_BY_USER",
            "message": event.reason.message,
            "remedy": event.reason.remedy,
            "fixableBy": event.reason.fixable_by,
            "providerError": None,
        },
        "actorId": str(scene.here.ada.user_id),
        "at": at,
    }


async def test_every_transition_is_one_message_recovery_included(scene: Scene) -> None:
    webhook = await scene.listen()
    connection = await scene.connect()
    for _ in range(2):
        await scene.here.patchbay.connections.disable(scene.here.ada, connection.id)
        await scene.here.patchbay.connections.enable(scene.here.ada, connection.id)
    await scene.here.patchbay.connections.rename(scene.here.ada, connection.id, "Nobody asked")
    await scene.here.patchbay.connections.delete(scene.here.ada, connection.id)
    await scene.settle()

    in_order = sorted(scene.receiver.received, key=lambda each: each.data["sequence"])
    assert statuses(in_order) == [
        (None, "CONNECTED"),
        ("CONNECTED", "DISABLED"),
        ("DISABLED", "CONNECTED"),
        ("CONNECTED", "DISABLED"),
        ("DISABLED", "CONNECTED"),
        (None, "CONNECTED"),
    ]
    assert [each.message["type"] for each in in_order][::5] == ["connection.created", "connection.deleted"]
    assert len({each.id for each in in_order}) == 6
    assert {delivery.state for delivery in await scene.deliveries(webhook)} == {DeliveryState.DELIVERED}


async def test_a_message_is_tried_by_the_schedule_and_then_given_up(scene: Scene) -> None:
    scene.receiver.usual["/hook"] = 500
    webhook = await scene.listen()
    await scene.connect()
    await scene.settle()

    for number, wait in enumerate(RETRIES, 1):
        assert len(scene.receiver.received) == number
        await scene.settle(after=wait * 0.89)
        assert len(scene.receiver.received) == number
        await scene.settle(after=wait * 0.22)
    await scene.settle(after=timedelta(days=3))

    (delivery,) = await scene.deliveries(webhook)
    assert len(scene.receiver.received) == 10
    assert {each.id for each in scene.receiver.received} == {delivery.message_id}
    assert len({each.body for each in scene.receiver.received}) == 1
    assert len({each.headers["webhook-timestamp"] for each in scene.receiver.received}) == 10
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (DeliveryState.FAILED, 10, None)
    assert (delivery.last_status, delivery.last_error) == (500, "It answered 500.")
    for each in scene.receiver.received:
        sent_at = datetime.fromtimestamp(int(each.headers["webhook-timestamp"]), UTC)
        signature = Signer(scene.receiver.secrets[0]).sign(each.id, sent_at, each.body.decode())
        assert each.headers["webhook-signature"] == signature
    await webhook.refresh_from_db()
    assert webhook.disabled_at is None


async def test_a_receiver_that_comes_back_gets_what_it_missed(scene: Scene) -> None:
    scene.receiver.plan(500)
    scene.receiver.plan(503)
    webhook = await scene.listen()
    await scene.connect()
    await scene.settle()
    await webhook.refresh_from_db()
    failing = webhook.failing_since
    await scene.settle(after=timedelta(seconds=6))
    await scene.settle(after=timedelta(minutes=6))

    (delivery,) = await scene.deliveries(webhook)
    await webhook.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.last_status, delivery.last_error) == (DeliveryState.DELIVERED, 3, 204, None)
    assert (failing is not None, webhook.failing_since) == (True, None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
async def test_a_redirect_is_a_failure_and_is_not_followed(scene: Scene, status: int) -> None:
    scene.receiver.plan(status, location=scene.receiver.url("/elsewhere"))
    webhook = await scene.listen()
    await scene.connect()
    await scene.settle()

    (delivery,) = await scene.deliveries(webhook)
    assert [each.path for each in scene.receiver.received] == ["/hook"]
    assert (delivery.state, delivery.last_error) == (
        DeliveryState.PENDING,
        f"It answered {status}, a redirect, which is not followed.",
    )


async def test_who_answers_gone_is_sent_nothing_more_until_it_is_enabled(scene: Scene) -> None:
    webhook = await scene.listen()
    connection = await scene.connect()
    await scene.settle()
    scene.receiver.plan(410)
    await scene.here.patchbay.connections.disable(scene.here.ada, connection.id)
    await scene.settle()
    await scene.here.patchbay.connections.enable(scene.here.ada, connection.id)
    await scene.settle(after=timedelta(days=1))

    await webhook.refresh_from_db()
    (entry,) = await models.AuditEntry.filter(action="webhook.disable")
    assert len(scene.receiver.received) == 2
    assert webhook.disabled_reason == "The receiver answered 410 Gone: it wants no more messages."
    assert (entry.actor_id, entry.outcome, entry.subject_id) == (None, models.AuditOutcome.DONE, str(webhook.id))
    assert [delivery.state for delivery in await scene.deliveries(webhook)] == [DeliveryState.DELIVERED, DeliveryState.FAILED]

    await scene.here.patchbay.webhooks.managing.enable(scene.here.ada, webhook.id)
    await scene.here.patchbay.connections.rename(scene.here.ada, connection.id, "Again")
    await scene.here.patchbay.connections.disable(scene.here.ada, connection.id)
    await scene.settle()
    assert statuses(scene.receiver.received[2:]) == [("CONNECTED", "DISABLED")]


@pytest.mark.parametrize(("status", "asked", "waits"), [(429, "600", 600), (503, "60", 60), (503, "999999", 3600), (429, "-5", 5)])
async def test_who_asks_to_wait_is_left_alone_so_long(scene: Scene, status: int, asked: str, waits: int) -> None:
    scene.receiver.plan(status, retry_after=asked)
    webhook = await scene.listen()
    connection = await scene.connect()
    await scene.settle()
    # Other messages wait as well.
    await scene.here.patchbay.connections.disable(scene.here.ada, connection.id)
    await scene.settle(after=timedelta(seconds=0.8 * waits))
    assert len(scene.receiver.received) == (1 if waits > 5 else 2)
    await scene.settle(after=timedelta(seconds=0.4 * waits))

    assert len(scene.receiver.received) == 3
    assert {delivery.state for delivery in await scene.deliveries(webhook)} == {DeliveryState.DELIVERED}


async def test_a_slow_receiver_delays_nobody_else(scene: Scene) -> None:
    scene.receiver.stuck["/slow"] = asyncio.Event()
    slow = await scene.listen(path="/slow")
    fast = await scene.listen(path="/fast")
    connection = await scene.connect()
    for _ in range(5):
        await scene.here.patchbay.connections.disable(scene.here.ada, connection.id)
        await scene.here.patchbay.connections.enable(scene.here.ada, connection.id)

    async with asyncio.timeout(10):
        while len(scene.receiver.at("/fast")) < 11:
            await scene.dispatcher.tick()
            await asyncio.sleep(0.01)
    under_way = len(scene.receiver.at("/slow"))
    scene.receiver.stuck["/slow"].set()
    await scene.settle()

    assert under_way == 4
    for webhook in (slow, fast):
        assert [delivery.state for delivery in await scene.deliveries(webhook)] == [DeliveryState.DELIVERED] * 11
    assert len(scene.receiver.received) == 22


async def test_an_answer_counts_by_its_status_however_long_it_is(scene: Scene) -> None:
    scene.receiver.plan(200, body=b"x" * 1_000_000)
    webhook = await scene.listen()
    await scene.connect()
    await scene.settle()

    (delivery,) = await scene.deliveries(webhook)
    assert (delivery.state, delivery.last_status) == (DeliveryState.DELIVERED, 200)


@pytest.mark.parametrize("status", [500, 200])
async def test_what_a_receiver_writes_is_kept_nowhere(scene: Scene, status: int, caplog: pytest.LogCaptureFixture) -> None:
    scene.receiver.plan(status, body=b"what-the-receiver-said")
    await scene.listen()
    await scene.connect()
    await scene.settle()

    (delivery,) = await models.WebhookDelivery.all().values()
    assert delivery["last_status"] == status
    assert "what-the-receiver-said" not in repr(delivery) + caplog.text


async def test_a_receiver_that_says_nothing_ends_at_the_deadline(scene: Scene) -> None:
    scene.receiver.stuck["/hook"] = asyncio.Event()
    webhook = await scene.listen()

    sender = scene.here.patchbay.webhooks.managing._sender
    outcome = await sender.send(webhook, "msg_1", "{}", deadline=timedelta(seconds=0.3))
    scene.receiver.stuck["/hook"].set()

    assert (outcome.status, outcome.error) == (None, "http://127.0.0.1 did not answer within 0.3 s.")


async def test_a_webhook_to_which_nothing_arrives_for_five_days_is_disabled(scene: Scene) -> None:
    scene.receiver.usual["/hook"] = 500
    webhook = await scene.listen()
    connection = await scene.connect()
    await scene.settle()
    for wait in RETRIES:
        await scene.settle(after=wait * 1.11)
    await scene.here.patchbay.connections.disable(scene.here.ada, connection.id)
    await scene.settle()
    states = []
    for wait in RETRIES:
        await webhook.refresh_from_db()
        states.append(webhook.disabled_at)
        await scene.settle(after=wait * 1.11)

    await webhook.refresh_from_db()
    assert states == [None] * 9
    assert webhook.disabled_reason == "Nothing could be delivered for five days."
    assert await models.AuditEntry.filter(action="webhook.disable", subject_id=str(webhook.id), actor_id=None).count() == 1


async def test_deliveries_are_forgotten_after_thirty_days(scene: Scene) -> None:
    webhook = await scene.listen()
    await scene.connect()
    await scene.settle()
    await scene.settle(after=timedelta(days=29))
    kept = len(await scene.deliveries(webhook))
    await scene.settle(after=timedelta(days=2))

    assert (kept, len(await scene.deliveries(webhook))) == (1, 0)
