"""Events become deliveries: each event once for each webhook that it concerns, in the transaction that moves the cursor."""

from collections.abc import Sequence
from uuid import uuid4

from tortoise.exceptions import IntegrityError

import models
from api.clock import Clock
from api.events.order import EventOrder, EventPosition, PlacedEvent
from api.vault.vault import Vault
from api.webhooks.coverage import Concern, concerns, is_behind
from api.webhooks.messages import message_of, new_message_id
from models.database import rows, transaction
from models.webhook_cursor import THE_CURSOR

_EARLIEST = """
SELECT begins_transaction, begins_id FROM webhook WHERE disabled_at IS NULL ORDER BY begins_transaction, begins_id LIMIT 1
"""


class Outbox:
    """One cursor for the whole installation: replicas take turns, and one that dies in between has written nothing."""

    def __init__(self, order: EventOrder, vault: Vault, clock: Clock) -> None:
        self._order = order
        self._vault = vault
        self._clock = clock

    async def make_deliveries(self) -> bool:
        """Make the deliveries of the next events; whether more may follow."""
        # Looked at without a lock first, because mostly there is nothing.
        start = await self._start(await models.WebhookCursor.get_or_none(id=THE_CURSOR))
        if start is None or not await self._order.after(start):
            return False
        try:
            async with transaction():
                return await self._go_on()
        except IntegrityError:
            # A webhook was deleted while its deliveries were made: all is made anew without it.
            return True

    def delivery_of(self, concern: Concern, *, message_id: str | None = None, is_replay: bool = False) -> models.WebhookDelivery:
        """The delivery that tells a webhook of an event. Saves nothing."""
        now = self._clock()
        return models.WebhookDelivery(
            id=uuid4(),
            webhook_id=concern.webhook.id,
            message_id=message_id or new_message_id(),
            event_id=concern.placed.event.id,
            event_type=concern.placed.event.type,
            payload=message_of(concern.placed, sees=concern.sees, vault=self._vault),
            is_replay=is_replay,
            next_attempt_at=now,
            created_at=now,
        )

    async def _go_on(self) -> bool:
        cursor = await models.WebhookCursor.hold()
        start = None if cursor is None else await self._start(cursor)
        batch = [] if start is None else await self._order.after(start)
        if cursor is None or not batch:
            return False
        await self._make(batch)
        cursor.writer, cursor.event_id = batch[-1].position.transaction, batch[-1].position.id
        await cursor.save(update_fields=["writer", "event_id"])
        return True

    async def _start(self, cursor: models.WebhookCursor | None) -> EventPosition | None:
        """Behind which place to read on; None where nobody listens. What happened while nobody did is not read."""
        earliest = await rows(_EARLIEST)
        if not earliest:
            return None
        begins = EventPosition(earliest[0]["begins_transaction"], earliest[0]["begins_id"])
        return begins if cursor is None else max(begins, EventPosition(cursor.writer, cursor.event_id))

    async def _make(self, batch: Sequence[PlacedEvent]) -> None:
        concerned = [concern for concern in await concerns(batch) if is_behind(concern.webhook, concern.placed.position)]
        made = [self.delivery_of(concern) for concern in concerned]
        await models.WebhookDelivery.bulk_create(made, batch_size=200, ignore_conflicts=True)
