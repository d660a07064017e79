"""Webhooks and their deliveries, listed for whoever manages them."""

from datetime import datetime
from uuid import UUID

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

import models
from api.access import Access, Actor
from api.errors import NotFound, PermissionDenied
from api.webhooks.permissions import WebhookAccess
from models import DeliveryState


class WebhookReading:
    def __init__(self, access: Access) -> None:
        self._access = WebhookAccess(access)

    async def page(self, actor: Actor, *, folder_id: UUID | None, first: int, after: UUID | None) -> tuple[list[models.Webhook], bool, int]:
        """Webhooks of one folder, or all that the actor manages; whether more follow; how many in all."""
        folders = await self._access.folders(actor)
        if folder_id is None:
            found = models.Webhook.of_folders(folders, installation=actor.may_administer)
        else:
            found = models.Webhook.of_folders([id for id in folders if id == folder_id], installation=False)
        total = await found.count()
        rows = await (found if after is None else found.filter(id__gt=after)).order_by("id").limit(first + 1)
        return rows[:first], len(rows) > first, total

    async def find(self, actor: Actor, webhook_id: UUID) -> models.Webhook | None:
        try:
            return await self._access.get(actor, webhook_id)
        except (NotFound, PermissionDenied):
            return None

    async def deliveries(
        self, webhook: models.Webhook, *, state: DeliveryState | None, first: int, before: tuple[datetime, UUID] | None
    ) -> tuple[list[models.WebhookDelivery], bool]:
        """Deliveries of a webhook that the actor manages, newest first, and whether there are older ones."""
        found = self._deliveries(webhook, state)
        if before is not None:
            at, id = before
            found = found.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=id))
        rows = await found.order_by("-created_at", "-id").limit(first + 1)
        return rows[:first], len(rows) > first

    async def count_deliveries(self, webhook: models.Webhook, *, state: DeliveryState | None) -> int:
        return await self._deliveries(webhook, state).count()

    def _deliveries(self, webhook: models.Webhook, state: DeliveryState | None) -> QuerySet[models.WebhookDelivery]:
        found = models.WebhookDelivery.filter(webhook_id=webhook.id)
        return found if state is None else found.filter(state=state)
