"""A Patchbay with a receiver of its webhooks, and what happens there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import models
from api.access import Actor
from api.webhooks.dispatcher import WebhookDispatcher
from api.webhooks.managing import NewSecret
from models import ConnectionEventType
from models.database import rows
from models.webhook_cursor import THE_CURSOR
from tests.clock import HeldClock
from tests.installation import Installation, installed
from tests.webhooks.receiver import Receiver, receiving


@dataclass(frozen=True)
class Scene:
    here: Installation
    receiver: Receiver
    # A shared folder, in which things happen where nothing else is said.
    place: UUID

    @property
    def dispatcher(self) -> WebhookDispatcher:
        return self.here.patchbay.webhooks.dispatcher

    async def listen(
        self,
        folder_id: UUID | None = None,
        *,
        path: str = "/hook",
        events: Sequence[ConnectionEventType] | None = None,
        actor: Actor | None = None,
    ) -> models.Webhook:
        """A webhook of the receiver, which knows its secret."""
        await self._calm()
        new = await self.here.patchbay.webhooks.managing.create(
            actor or self.here.ada, folder_id=folder_id, url=self.receiver.url(path), events=events
        )
        self.know(new)
        return new.webhook

    def know(self, new: NewSecret) -> None:
        self.receiver.secrets.append(new.secret.reveal())

    async def folder(self, name: str, parent_id: UUID | None = None) -> UUID:
        return (await self.here.patchbay.folders.create(self.here.ada, name=name, parent_id=parent_id)).id

    async def connect(self, folder_id: UUID | None = None, name: str = "Mine") -> models.Connection:
        return await self.here.connect_with_token(name=name, folder_id=folder_id or self.place)

    async def settle(self, *, after: timedelta = timedelta(0)) -> None:
        """Let time pass; then until everything that happened is made into deliveries, and no attempt is under way or due."""
        self.here.clock.move(after)
        async with asyncio.timeout(15):
            await self.dispatcher.settled()
            while await self._has_more():
                # On PostgreSQL other databases of the server can hold back for a moment what may be read.
                await asyncio.sleep(0.01)
                await self.dispatcher.settled()

    async def deliveries(self, webhook: models.Webhook) -> list[models.WebhookDelivery]:
        return await models.WebhookDelivery.filter(webhook_id=webhook.id).order_by("event_id", "created_at", "is_replay")

    async def _calm(self) -> None:
        """Until everything that happened may be read, and so is before what begins now."""
        held_back = "SELECT 1 AS one FROM connection_event WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()) LIMIT 1"
        async with asyncio.timeout(10):
            while self.here.patchbay.database.dialect == "postgresql" and await rows(held_back):
                await asyncio.sleep(0.01)

    async def _has_more(self) -> bool:
        earliest = await models.Webhook.enabled().order_by("begins_transaction", "begins_id").first()
        cursor = await models.WebhookCursor.get_or_none(id=THE_CURSOR)
        if earliest is None:
            return False
        begins = (earliest.begins_transaction, earliest.begins_id)
        on_sqlite = self.here.patchbay.database.dialect == "sqlite"
        later = "$1 >= 0 AND id > $2" if on_sqlite else "(xid, id) > (($1::bigint)::text::xid8, $2)"
        found = await rows(f"SELECT 1 AS one FROM connection_event WHERE {later}", max(begins, _place(cursor)))
        return bool(found)


def _place(cursor: models.WebhookCursor | None) -> tuple[int, int]:
    return (0, 0) if cursor is None else (cursor.writer, cursor.event_id)


@asynccontextmanager
async def opened_scene(database_url: str, folder: Path) -> AsyncIterator[Scene]:
    # The receiver looks at the time by its own clock.
    clock = HeldClock(datetime.now(UTC))
    async with receiving() as receiver, installed(database_url, folder, clock, PATCHBAY_EGRESS_ALLOW=receiver.host) as here:
        place = await here.patchbay.folders.create(here.ada, name="Place", parent_id=None)
        yield Scene(here, receiver, place.id)
