"""What came of an attempt, written down: delivered, to be tried again, given up; and webhooks that nobody listens at any more."""

import logging
import random
from datetime import datetime, timedelta

import models
from api.audit import Audit
from api.clock import Clock
from api.outbound.egress import origin_of
from api.webhooks.schedule import next_wait
from api.webhooks.sending import Outcome
from models import DeliveryState
from models.database import transaction

logger = logging.getLogger(__name__)

# Longer than a message is tried for.
_PATIENCE = timedelta(days=5)
_GONE = "The receiver answered 410 Gone: it wants no more messages."
_SILENT = "Nothing could be delivered for five days."


class WebhookOutcomes:
    def __init__(self, audit: Audit, clock: Clock, chance: random.Random) -> None:
        self._audit = audit
        self._clock = clock
        self._chance = chance

    async def save(self, webhook: models.Webhook, delivery: models.WebhookDelivery, outcome: Outcome) -> None:
        """Write an outcome down, as far as the attempt is still the delivery's last."""
        now = self._clock()
        wait = next_wait(delivery.attempts, self._chance, retry_after=outcome.retry_after)
        told = {"last_status": outcome.status, "last_error": None if outcome.error is None else outcome.error[:300]}
        if outcome.is_delivered:
            over = {"state": DeliveryState.DELIVERED, "next_attempt_at": None, "finished_at": now}
        elif outcome.is_gone or wait is None:
            over = {"state": DeliveryState.FAILED, "next_attempt_at": None, "finished_at": now}
        else:
            over = {"next_attempt_at": now + wait}
        if await delivery.end_attempt(**told, **over):
            await self._tell(webhook, outcome, gave_up=wait is None, now=now)

    async def _tell(self, webhook: models.Webhook, outcome: Outcome, *, gave_up: bool, now: datetime) -> None:
        """Let the webhook know of it."""
        this = models.Webhook.filter(id=webhook.id)
        if outcome.is_delivered:
            await this.filter(failing_since__not_isnull=True).update(failing_since=None)
            return
        await this.filter(failing_since__isnull=True).update(failing_since=now)
        if outcome.is_gone:
            await self._disable(webhook, _GONE, now)
        elif gave_up:
            logger.warning("webhook message given up", extra={"webhook": str(webhook.id), "status": outcome.status})
            if await this.filter(failing_since__lte=now - _PATIENCE).exists():
                await self._disable(webhook, _SILENT, now)
        elif outcome.retry_after is not None:
            await this.update(paused_until=now + outcome.retry_after)

    async def _disable(self, webhook: models.Webhook, reason: str, now: datetime) -> None:
        async with self._audit.act(None, "webhook.disable", webhook.id) as act, transaction():
            # Another attempt may have been told the same.
            if await models.Webhook.enabled().filter(id=webhook.id).update(disabled_at=now, disabled_reason=reason):
                await act.done(subject_name=origin_of(webhook.url), folder_id=webhook.folder_id, detail=reason)
                logger.warning("webhook disabled", extra={"webhook": str(webhook.id), "reason": reason})
