"""Nothing missed and nothing made twice: over many writers, crashes, restarts and replicas."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import models
from api.opening import open_patchbay
from models import ConnectionEventType, ConnectionStatus, DeliveryState
from models.database import transaction
from tests.clock import HeldClock
from tests.installation import installed
from tests.webhooks.receiver import receiving
from tests.webhooks.scene import Scene, opened_scene

pytestmark = pytest.mark.anyio


class Killed(Exception):
    """The process ends here."""


async def append(folder_id: UUID, name: str) -> None:
    await models.ConnectionEvent.create(
        type=ConnectionEventType.CREATED,
        connection_id=uuid4(),
        connection_name=name,
        connector_key="sandbox",
        folder_id=folder_id,
        status=ConnectionStatus.CONNECTED,
        at=datetime.now(UTC),
    )


def names(scene: Scene, path: str = "/hook") -> list[str]:
    """Whose messages came, in the order of the events."""
    return [each.data["connectionName"] for each in sorted(scene.receiver.at(path), key=lambda each: each.data["sequence"])]


async def made(scene: Scene, count: int) -> None:
    """Make deliveries until there are so many, without sending any. Take the dispatcher's turn first."""
    async with asyncio.timeout(10):
        while await models.WebhookDelivery.all().count() < count:
            await scene.dispatcher._outbox.make_deliveries()
            await asyncio.sleep(0.01)


async def test_many_writers_at_once_lose_nothing_and_repeat_nothing(scene: Scene) -> None:
    await scene.listen()
    committed = [f"{number}" for number in range(60) if number % 5]

    async def write(number: int) -> None:
        async with transaction():
            await append(scene.place, f"{number}")
            await asyncio.sleep(0)
            if number % 5 == 0:
                raise ZeroDivisionError

    ends = await asyncio.gather(*(write(number) for number in range(60)), return_exceptions=True)
    await scene.settle()

    assert [type(end) for end in ends if end is not None] == [ZeroDivisionError] * 12
    assert sorted(names(scene)) == sorted(committed)


async def test_who_dies_while_deliveries_are_made_has_made_none(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = await scene.listen()
    make = models.WebhookDelivery.bulk_create

    async def make_and_die(*args: object, **options: object) -> None:
        await make(*args, **options)  # type: ignore[arg-type]
        raise Killed

    async with scene.dispatcher._turn:
        with monkeypatch.context() as dying:
            dying.setattr(models.WebhookDelivery, "bulk_create", make_and_die)
            await append(scene.place, "told")
            async with asyncio.timeout(10):
                with pytest.raises(Killed):
                    while True:
                        await scene.dispatcher._outbox.make_deliveries()
                        await asyncio.sleep(0.01)
        assert await scene.deliveries(webhook) == []
    await scene.settle()

    assert names(scene) == ["told"]


async def test_what_somebody_sends_who_died_is_sent_again_once_their_lease_is_over(scene: Scene) -> None:
    webhook = await scene.listen()
    async with scene.dispatcher._turn:
        await append(scene.place, "told")
        await made(scene, 1)
        claimed = await models.WebhookDelivery.claim(webhook.id, scene.here.clock(), lease=timedelta(minutes=1), limit=5)
    await scene.settle(after=timedelta(seconds=50))
    before = len(scene.receiver.received)
    await scene.settle(after=timedelta(seconds=11))

    assert ([delivery.attempts for delivery in claimed], before) == ([1], 0)
    (delivery,) = await scene.deliveries(webhook)
    assert (delivery.state, delivery.attempts, len(scene.receiver.received)) == (DeliveryState.DELIVERED, 2, 1)
    # What the dead one still had to say is not heard.
    assert not await claimed[0].end_attempt(state=DeliveryState.FAILED, next_attempt_at=None)
    assert (await scene.deliveries(webhook))[0].state is DeliveryState.DELIVERED


async def test_a_restart_in_the_middle_of_sending_sends_the_same_message_again_at_once(database_url: str, tmp_path: Path) -> None:
    clock = HeldClock(datetime.now(UTC))
    async with receiving() as receiver:
        async with installed(database_url, tmp_path, clock, PATCHBAY_EGRESS_ALLOW=receiver.host) as here:
            scene = Scene(here, receiver, here.workspace)
            await scene.listen(here.workspace)
            receiver.stuck["/hook"] = asyncio.Event()
            await append(here.workspace, "told")
            async with asyncio.timeout(10):
                while not receiver.received:
                    await scene.dispatcher.tick()
                    await asyncio.sleep(0.01)
        receiver.stuck.pop("/hook").set()
        async with open_patchbay(here.patchbay.settings, clock=clock) as later:
            await later.webhooks.dispatcher.settled()

    assert len(receiver.received) == 2
    assert receiver.received[0].id == receiver.received[1].id
    assert receiver.received[0].body == receiver.received[1].body


async def test_two_replicas_send_every_message_once(postgresql_url: str, tmp_path: Path) -> None:
    async with (
        opened_scene(postgresql_url, tmp_path) as scene,
        open_patchbay(scene.here.patchbay.settings, clock=scene.here.clock, chance=random.Random(2)) as other,
    ):
        for path in ("/one", "/two"):
            await scene.listen(path=path)
        for number in range(40):
            await append(scene.place, f"{number}")
            await asyncio.gather(scene.dispatcher.tick(), other.webhooks.dispatcher.tick())
        await scene.settle()
        await other.webhooks.dispatcher.settled()

    counts = Counter((each.path, each.data["connectionName"]) for each in scene.receiver.received)
    assert counts == dict.fromkeys([(path, f"{number}") for path in ("/one", "/two") for number in range(40)], 1)
    assert len({each.id for each in scene.receiver.received}) == 80


async def test_a_process_that_only_refreshes_delivers_what_others_commit(postgresql_url: str, tmp_path: Path) -> None:
    async with (
        opened_scene(postgresql_url, tmp_path) as scene,
        open_patchbay(scene.here.patchbay.settings, clock=scene.here.clock, serves=False),
    ):
        webhook = await scene.listen()
        async with scene.dispatcher._turn, asyncio.timeout(15):
            await scene.connect()
            # Not only until it arrives: what ends before it is written down is sent again.
            while [each.state for each in await scene.deliveries(webhook)] != [DeliveryState.DELIVERED]:
                await asyncio.sleep(0.01)

    assert names(scene) == ["Mine"]


async def test_a_process_whose_clock_deviates_sends_nothing(scene: Scene) -> None:
    scene.here.patchbay.replicas.clock_deviates = True
    await scene.listen()
    await append(scene.place, "told")
    await scene.dispatcher.settled()

    assert scene.receiver.received == []


async def test_what_happened_before_a_webhook_or_while_it_was_disabled_is_not_told(scene: Scene) -> None:
    other = await scene.listen(path="/other")
    await append(scene.place, "before")
    await scene.settle()
    webhook = await scene.listen()
    await append(scene.place, "first")
    await scene.settle()
    await scene.here.patchbay.webhooks.managing.disable(scene.here.ada, webhook.id)
    await append(scene.place, "meanwhile")
    await scene.settle()
    await scene.here.patchbay.webhooks.managing.enable(scene.here.ada, webhook.id)
    await append(scene.place, "after")
    await scene.settle()

    assert names(scene) == ["first", "after"]
    assert names(scene, "/other") == ["before", "first", "meanwhile", "after"]
    assert other.disabled_at is None


async def test_what_waits_for_a_webhook_that_is_disabled_goes_on_when_it_is_enabled(scene: Scene) -> None:
    scene.receiver.plan(500)
    webhook = await scene.listen()
    await append(scene.place, "waiting")
    await scene.settle()
    await scene.here.patchbay.webhooks.managing.disable(scene.here.ada, webhook.id)
    await scene.settle(after=timedelta(hours=1))
    before = len(scene.receiver.received)
    await scene.here.patchbay.webhooks.managing.enable(scene.here.ada, webhook.id)
    await scene.settle()

    assert (before, names(scene)) == (1, ["waiting", "waiting"])


async def test_only_the_chosen_events_are_told(scene: Scene) -> None:
    await scene.listen(events=[ConnectionEventType.RENAMED])
    connection = await scene.connect()
    await scene.here.patchbay.connections.rename(scene.here.ada, connection.id, "Other")
    await scene.settle()

    assert [each.message["type"] for each in scene.receiver.received] == ["connection.renamed"]


async def test_a_webhook_hears_of_its_folder_and_those_below_and_of_no_other(scene: Scene) -> None:
    above = await scene.folder("Above")
    middle = await scene.folder("Middle", above)
    below = await scene.folder("Below", middle)
    beside = await scene.folder("Beside", above)
    await scene.listen(middle, path="/middle")
    await scene.listen(path="/all")
    await scene.listen(scene.here.workspace, path="/mine")
    for name, folder_id in {"above": above, "middle": middle, "below": below, "beside": beside, "mine": scene.here.workspace}.items():
        await append(folder_id, name)
    await scene.settle()

    assert names(scene, "/middle") == ["middle", "below"]
    # What is in a workspace is told to nobody but who owns it.
    assert names(scene, "/all") == ["above", "middle", "below", "beside"]
    assert names(scene, "/mine") == ["mine"]


async def test_a_connection_counts_where_it_is_when_something_happens(scene: Scene) -> None:
    here, there = await scene.folder("Here"), await scene.folder("There")
    every = list(ConnectionEventType)
    await scene.listen(here, path="/here", events=every)
    await scene.listen(there, path="/there", events=every)
    connection = await scene.connect(here)
    await scene.here.patchbay.moving.move(scene.here.ada, connection.id, there)
    await scene.here.patchbay.connections.rename(scene.here.ada, connection.id, "Moved")
    await scene.settle()

    def told(path: str) -> list[tuple[str, str | None, str | None]]:
        found = [(each.message["type"], each.data["previousFolderId"], each.data["folderId"]) for each in scene.receiver.at(path)]
        return sorted(each for each in found if "default" not in each[0])

    # Neither learns of a folder that it does not hear of.
    assert told("/here") == [("connection.created", None, str(here)), ("connection.moved", str(here), None)]
    assert told("/there") == [("connection.moved", None, str(there)), ("connection.renamed", None, str(there))]


async def test_the_last_events_of_a_folder_that_is_deleted_still_reach_who_listens_above(scene: Scene) -> None:
    above = await scene.folder("Above")
    middle = await scene.folder("Middle", above)
    below = await scene.folder("Below", middle)
    await scene.listen(above)
    gone = await scene.listen(below, path="/gone")
    connection = await scene.connect(below)
    await scene.settle()
    async with scene.dispatcher._turn:
        await scene.here.patchbay.connections.delete(scene.here.ada, connection.id)
        await scene.here.patchbay.folders.delete(scene.here.ada, below)
        await scene.here.patchbay.folders.delete(scene.here.ada, middle)
    await scene.settle()

    assert [each.message["type"] for each in scene.receiver.at("/hook")] == ["connection.created", "connection.deleted"]
    assert not await models.Webhook.exists(id=gone.id)
    assert (await models.AuditEntry.get(action="folder.delete", subject_id=str(below))).detail == "webhooks deleted with it: 1"


async def test_a_webhook_that_is_deleted_takes_what_waits_for_it_along(scene: Scene) -> None:
    scene.receiver.usual["/hook"] = 500
    webhook = await scene.listen()
    await scene.listen(path="/other")
    await append(scene.place, "told")
    await scene.settle()
    await scene.here.patchbay.webhooks.managing.delete(scene.here.ada, webhook.id)
    await scene.settle(after=timedelta(days=1))

    assert await scene.deliveries(webhook) == []
    assert (names(scene), names(scene, "/other")) == (["told"], ["told"])
