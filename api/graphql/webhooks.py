"""Webhooks: addresses that are told what happens to connections."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

import models
from api.graphql.context import Info
from api.graphql.folders import Folder, find_folder
from api.graphql.ids import find_id, graph_id
from api.graphql.page import After, Cursors, First, Page, checked_first, counted, page_of
from api.graphql.users import User
from models import ConnectionEventType, DeliveryState


@strawberry.type(description="One message for one webhook. It is forgotten after thirty days.")
class WebhookDelivery:
    id: strawberry.ID = strawberry.field(description="Names the delivery.")
    message_id: str = strawberry.field(
        description="The `webhook-id` that it is sent with: the same message has the same, however often it is sent."
    )
    type: ConnectionEventType = strawberry.field(description="What happened.")
    payload: str = strawberry.field(description="The message, as it is sent.")
    is_replay: bool = strawberry.field(description="Whether somebody asked for it again.")
    state: DeliveryState = strawberry.field(description="Whether it arrived.")
    attempts: int = strawberry.field(description="How often it was sent, since it was last asked for.")
    next_attempt_at: datetime | None = strawberry.field(description="When it is sent next; null where it is not.")
    last_attempt_at: datetime | None = strawberry.field(description="When it was last sent.")
    last_status: int | None = strawberry.field(description="The status that answered it; null where nothing did.")
    last_error: str | None = strawberry.field(description="Why the last attempt failed; never what the receiver wrote.")
    created_at: datetime = strawberry.field(description="When it was made.")
    finished_at: datetime | None = strawberry.field(description="When it arrived, or was given up.")

    @classmethod
    def of(cls, row: models.WebhookDelivery) -> "WebhookDelivery":
        return cls(
            id=graph_id(row.id),
            message_id=row.message_id,
            type=row.event_type,
            payload=row.payload,
            is_replay=row.is_replay,
            state=row.state,
            attempts=row.attempts,
            next_attempt_at=row.next_attempt_at,
            last_attempt_at=row.last_attempt_at,
            last_status=row.last_status,
            last_error=row.last_error,
            created_at=row.created_at,
            finished_at=row.finished_at,
        )


@strawberry.type(
    description="An address that is told what happens to the connections in a folder and in those below it. It is the folder's: it goes on "
    "when who made it leaves, and goes with the folder."
)
class Webhook:
    row: strawberry.Private[models.Webhook]
    id: strawberry.ID = strawberry.field(description="Names the webhook for good.")
    url: str = strawberry.field(description="The address.")
    events: list[ConnectionEventType] = strawberry.field(description="What it is told of.")
    created_at: datetime = strawberry.field(description="When it was made.")
    disabled_at: datetime | None = strawberry.field(description="Since when nothing is sent; null where it is.")
    disabled_reason: str | None = strawberry.field(description="Why nothing is sent.")
    failing_since: datetime | None = strawberry.field(description="Since when every attempt has failed; null where the last one did not.")
    secret_set_at: datetime = strawberry.field(description="When its secret was made, which was shown once.")
    previous_secret_retained_until: datetime | None = strawberry.field(
        description="Until when messages are signed with the secret before it too; null where they are not."
    )

    @classmethod
    def of(cls, row: models.Webhook) -> "Webhook":
        return cls(
            row=row,
            id=graph_id(row.id),
            url=row.url,
            events=row.event_types,
            created_at=row.created_at,
            disabled_at=row.disabled_at,
            disabled_reason=row.disabled_reason,
            failing_since=row.failing_since,
            secret_set_at=row.secret_set_at,
            previous_secret_retained_until=row.previous_secret_until,
        )

    @strawberry.field(description="The folder; null for every shared folder.")
    async def folder(self, info: Info) -> Folder | None:
        return await find_folder(self.row.folder_id, info)

    @strawberry.field(description="Who made it; null where they are not known any more.")
    async def created_by(self, info: Info) -> User | None:
        row = await info.context.loaders.user.load(self.row.created_by_id)
        return None if row is None else User.of(row, info)

    @strawberry.field(description="What it was sent, or is to be sent, newest first.")
    async def deliveries(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        state: Annotated[DeliveryState | None, strawberry.argument(description="Only those in this state.")] = None,
    ) -> Page[WebhookDelivery]:
        reading, cursors = info.context.patchbay.webhooks.reading, Cursors(info.context, "webhook_deliveries", (self.row.id, state))
        written = cursors.read(after)
        before = None if written is None else (datetime.fromisoformat(written[0]), UUID(written[1]))
        rows, has_next = await reading.deliveries(self.row, state=state, first=checked_first(first), before=before)
        cursor = cursors.write([rows[-1].created_at.isoformat(), str(rows[-1].id)]) if rows else None
        nodes = [WebhookDelivery.of(row) for row in rows]
        return page_of(nodes, cursor=cursor, has_next=has_next, count=lambda: reading.count_deliveries(self.row, state=state))


@strawberry.type
class WebhookQuery:
    @strawberry.field(description="Webhooks of one folder, or all that the viewer manages; administrators also those without a folder.")
    async def webhooks(
        self,
        info: Info,
        folder_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only those of this folder.")] = None,
        first: First = 50,
        after: After = None,
    ) -> Page[Webhook]:
        cursors = Cursors(info.context, "webhooks", folder_id)
        position = cursors.read(after)
        rows, has_next, total = await info.context.patchbay.webhooks.reading.page(
            info.context.actor,
            # What is no id names no folder, and no folder has webhooks.
            folder_id=None if folder_id is None else find_id(folder_id) or UUID(int=0),
            first=checked_first(first),
            after=None if position is None else UUID(position),
        )
        cursor = cursors.write(str(rows[-1].id)) if rows else None
        return page_of([Webhook.of(row) for row in rows], cursor=cursor, has_next=has_next, count=counted(total))

    @strawberry.field(description="One webhook; null for who does not manage it.")
    async def webhook(self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The webhook.")]) -> Webhook | None:
        known = find_id(id)
        row = None if known is None else await info.context.patchbay.webhooks.reading.find(info.context.actor, known)
        return None if row is None else Webhook.of(row)
