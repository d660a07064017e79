"""Messages to webhooks, and who sends them: a lease in the row, so that one attempt is made at a time, in whichever process."""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.context import require_context

from models.base import Row
from models.event import ConnectionEventType
from models.fields import UtcField, WordField
from models.rows import rows
from models.webhook import Webhook

# So many at a time, so that a long log does not hold the database up.
_FORGOTTEN_AT_ONCE = 5_000

# Those that waited longest first, so that none is left out where there are more than can be sent to at once.
_DUE_WEBHOOKS = """
SELECT id, url, due FROM (
  SELECT webhook.id, webhook.url, (
    SELECT MIN(next_attempt_at) FROM webhook_delivery WHERE webhook_id = webhook.id AND state = 'PENDING'
  ) AS due
  FROM webhook WHERE disabled_at IS NULL AND (paused_until IS NULL OR paused_until <= $1) {without}
) AS waiting WHERE due <= $1 ORDER BY due LIMIT $2
"""
# The due time moves with the claim: if who claimed it dies, it is due again when the lease is over.
_CLAIM = """
UPDATE webhook_delivery SET attempts = attempts + 1, last_attempt_at = $2, next_attempt_at = $3, lease_until = $3
WHERE id IN (
  SELECT id FROM webhook_delivery WHERE webhook_id = $1 AND state = 'PENDING' AND next_attempt_at <= $2
  ORDER BY next_attempt_at, event_id LIMIT $4 {skip_locked}
)
RETURNING id
"""


class DeliveryState(StrEnum):
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    # Given up.
    FAILED = "FAILED"


class WebhookDelivery(Row):
    """One message for one webhook, from the event to the receiver's yes. Forgotten after thirty days."""

    webhook: fields.ForeignKeyRelation[Webhook] = fields.ForeignKeyField(
        "patchbay.Webhook", related_name="deliveries", on_delete=fields.CASCADE
    )
    # By which a receiver knows that it has the message: the same however often it is sent.
    message_id = fields.CharField(max_length=40)
    event_id = fields.BigIntField()
    event_type = WordField(ConnectionEventType, max_length=16)
    payload = fields.TextField()
    # Whether somebody asked for it again, beside the delivery that the event itself made.
    is_replay = fields.BooleanField(default=False)
    state = WordField(DeliveryState, max_length=9, default=DeliveryState.PENDING)
    # Which attempt it is at; whoever makes it knows by this whether the delivery is still theirs.
    attempts = fields.IntField(default=0)
    # Null: there is none.
    next_attempt_at = UtcField(null=True)
    # While somebody sends it: until when that is certainly over.
    lease_until = UtcField(null=True)
    last_attempt_at = UtcField(null=True)
    last_status: int | None = fields.IntField(null=True)
    # In our words.
    last_error = fields.CharField(max_length=300, null=True)
    created_at = UtcField()
    finished_at = UtcField(null=True)

    webhook_id: UUID

    class Meta:
        app = "patchbay"
        table = "webhook_delivery"

    @classmethod
    async def due_webhooks(cls, now: datetime, *, without: Collection[UUID], limit: int) -> list[tuple[UUID, str]]:
        """Webhooks with something to send, and their addresses; those that waited longest first."""
        marks = ", ".join(f"${number}" for number in range(3, len(without) + 3))
        statement = _DUE_WEBHOOKS.format(without=f"AND webhook.id NOT IN ({marks})" if without else "")
        return [(row["id"], row["url"]) for row in await rows(statement, [now, limit, *without], id=UUID)]

    @classmethod
    async def claim(cls, webhook_id: UUID, now: datetime, *, lease: timedelta, limit: int) -> list["WebhookDelivery"]:
        """Begin the next attempts of what is due at a webhook. No two processes begin the same."""
        skip_locked = "FOR UPDATE SKIP LOCKED" if require_context().db().capabilities.dialect == "postgres" else ""
        claimed = await rows(_CLAIM.format(skip_locked=skip_locked), [webhook_id, now, now + lease, limit], id=UUID)
        return await cls.filter(id__in=[row["id"] for row in claimed]).order_by("event_id") if claimed else []

    @classmethod
    async def forget_old(cls, before: datetime) -> int:
        """Delete some of what was made before that; how many that was."""
        ids: Any = await cls.filter(created_at__lt=before).limit(_FORGOTTEN_AT_ONCE).values_list("id", flat=True)
        return await cls.filter(id__in=ids).delete() if ids else 0

    async def end_attempt(self, **columns: Any) -> bool:
        """Write down what came of the attempt that was claimed; False where another has been begun since, or it is gone."""
        held = WebhookDelivery.filter(id=self.id, attempts=self.attempts, state=DeliveryState.PENDING)
        return bool(await held.update(**{"lease_until": None} | columns))

    async def give_back(self, now: datetime) -> None:
        """End the attempt that was claimed as if it had not been: it is due again at once."""
        await self.end_attempt(attempts=self.attempts - 1, next_attempt_at=now)

    def send_again(self, now: datetime) -> None:
        """Begin the attempts anew, unless one is under way. Saves nothing."""
        if self.lease_until is None or self.lease_until <= now:
            self.state, self.attempts, self.next_attempt_at, self.finished_at = DeliveryState.PENDING, 0, now, None
