"""Sending again what was sent, or what never arrived.

A message is known by its id, which stays the same however often and for whatever reason it is sent: a receiver that keeps the ids takes
again only what it lost. Only where the first delivery is forgotten, after thirty days, the message gets a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import models
from api.access import Access, Actor
from api.audit import Audit
from api.clock import Clock
from api.errors import Conflict, InvalidInput, NotFound
from api.events.log import EventLog
from api.events.order import EventOrder, EventPosition, PlacedEvent
from api.outbound.egress import origin_of
from api.webhooks.coverage import concerns
from api.webhooks.outbox import Outbox
from api.webhooks.permissions import WebhookAccess
from models import DeliveryState
from models.webhook_cursor import THE_CURSOR

# In one go: so many deliveries, out of so many pieces of the log.
_MOST_DELIVERIES = 1_000
_MOST_BATCHES = 20
_RESEND_FIELDS = ["state", "attempts", "next_attempt_at", "finished_at"]


@dataclass(frozen=True, slots=True)
class Replayed:
    webhook: models.Webhook
    deliveries: int
    # How far in the log it came, and whether that was the end.
    end: EventPosition
    is_complete: bool


class Replaying:
    def __init__(self, access: Access, outbox: Outbox, order: EventOrder, *, log: EventLog, audit: Audit, clock: Clock) -> None:
        self._access = WebhookAccess(access)
        self._outbox = outbox
        self._order = order
        self._log = log
        self._audit = audit
        self._clock = clock

    async def resend(self, actor: Actor, delivery_id: UUID) -> models.WebhookDelivery:
        """Send a message again, now and then by the schedule from its beginning. One that is being sent now is left alone.

        Raises NotFound, PermissionDenied, Conflict.
        """
        async with self._audit.act(actor, "webhook.resend", delivery_id) as act, self._log.change():
            known = await models.WebhookDelivery.get_or_none(id=delivery_id)
            webhook = await self._enabled(actor, known.webhook_id if known else UUID(int=0), noun="webhook delivery")
            delivery = await models.WebhookDelivery.select_for_update().get_or_none(id=delivery_id)
            if delivery is None:
                raise NotFound("webhook delivery")
            delivery.send_again(self._clock())
            await delivery.save(update_fields=_RESEND_FIELDS)
            await act.done(subject_name=origin_of(webhook.url), folder_id=webhook.folder_id)
        return delivery

    async def replay(
        self, actor: Actor, webhook_id: UUID, *, after: EventPosition | None = None, since: datetime | None = None
    ) -> Replayed:
        """Send again all that the webhook is told of and that happened since: behind an event, or from a moment on.

        Raises NotFound, PermissionDenied, InvalidInput, Conflict.
        """
        async with self._audit.act(actor, "webhook.replay", webhook_id) as act, self._log.change():
            webhook = await self._enabled(actor, webhook_id)
            start = await self._start(after, since)
            replayed = await self._replay(webhook, start)
            detail = f"{replayed.deliveries} deliveries"
            await act.done(subject_name=origin_of(webhook.url), folder_id=webhook.folder_id, detail=detail)
        return replayed

    async def _start(self, after: EventPosition | None, since: datetime | None) -> EventPosition:
        if after is not None and since is None:
            return after
        if since is not None and after is None:
            return await self._order.before(since)
        raise InvalidInput({"since": "give either a moment or, as `after`, the cursor of an event"})

    async def _replay(self, webhook: models.Webhook, position: EventPosition) -> Replayed:
        made, end = 0, await self._end(webhook)
        for _ in range(_MOST_BATCHES):
            batch = [placed for placed in await self._order.after(position) if placed.position <= end]
            if not batch:
                return Replayed(webhook, made, position, is_complete=True)
            made += await self._deliver_again(webhook, batch)
            position = batch[-1].position
            if made >= _MOST_DELIVERIES:
                break
        return Replayed(webhook, made, position, is_complete=False)

    async def _deliver_again(self, webhook: models.Webhook, batch: Sequence[PlacedEvent]) -> int:
        """Deliveries of these events, but for those that wait to be delivered anyway; how many."""
        concerned = await concerns(batch, [webhook])
        former = models.WebhookDelivery.filter(webhook_id=webhook.id, event_id__in=[concern.placed.event.id for concern in concerned])
        known = await former.only("event_id", "message_id", "state")
        waiting = {delivery.event_id for delivery in known if delivery.state is DeliveryState.PENDING}
        message_ids = {delivery.event_id: delivery.message_id for delivery in known}
        again = [concern for concern in concerned if concern.placed.event.id not in waiting]
        deliveries = [
            self._outbox.delivery_of(concern, message_id=message_ids.get(concern.placed.event.id), is_replay=True) for concern in again
        ]
        await models.WebhookDelivery.bulk_create(deliveries, batch_size=200)
        return len(deliveries)

    async def _end(self, webhook: models.Webhook) -> EventPosition:
        """What comes behind this is still to be delivered for the first time."""
        cursor = await models.WebhookCursor.get_or_none(id=THE_CURSOR)
        begins = EventPosition(webhook.begins_transaction, webhook.begins_id)
        return begins if cursor is None else max(begins, EventPosition(cursor.writer, cursor.event_id))

    async def _enabled(self, actor: Actor, webhook_id: UUID, *, noun: str = "webhook") -> models.Webhook:
        try:
            webhook = await self._access.held(actor, webhook_id)
        except NotFound:
            raise NotFound(noun) from None
        if webhook.disabled_at is not None:
            raise Conflict("The webhook is disabled.", "Enable it first.")
        return webhook
