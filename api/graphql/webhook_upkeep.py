"""What is done to webhooks."""

from datetime import datetime
from typing import Annotated

import strawberry

from api.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from api.events.cursors import read_cursor, write_cursor
from api.events.order import EventPosition
from api.graphql.context import Info
from api.graphql.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError, answering
from api.graphql.ids import graph_id, id_of
from api.graphql.webhooks import Webhook, WebhookDelivery
from api.webhooks.managing import Managing
from models import ConnectionEventType

_WHO = "Needs MANAGE in its folder; in a workspace, its owner; without a folder, an administrator."
_NOUN = "webhook"


@strawberry.input(description="A new webhook.")
class CreateWebhookInput:
    folder_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="Whose connections it is about, with the folders below; without it, those in every shared folder, and in no "
        "workspace: administrators only.",
    )
    url: str = strawberry.field(description="Where messages are sent: a public https address.")
    events: list[ConnectionEventType] | None = strawberry.field(
        default=None, description="What it is told of; without it CREATED, RECONNECTED, STATUS_CHANGED and DELETED."
    )


@strawberry.input(description="What changes of a webhook. What is left out stays.")
class UpdateWebhookInput:
    webhook_id: strawberry.ID = strawberry.field(description="The webhook.")
    url: str | None = strawberry.field(default=None, description="Where messages are sent, also those that wait.")
    events: list[ConnectionEventType] | None = strawberry.field(default=None, description="What it is told of.")


@strawberry.input(description="A new secret for a webhook.")
class RotateWebhookSecretInput:
    webhook_id: strawberry.ID = strawberry.field(description="The webhook.")
    previous_secret_ends_at: datetime | None = strawberry.field(
        default=None,
        description="Until when messages are signed with the secret before it too: a day where nothing is said, thirty at most; a moment "
        "that is over ends it at once.",
    )


@strawberry.input(description="What a webhook is to be told again: give one of `after` and `since`.")
class ReplayWebhookInput:
    webhook_id: strawberry.ID = strawberry.field(description="The webhook.")
    after: str | None = strawberry.field(default=None, description="The cursor of the last event that the receiver has.")
    since: datetime | None = strawberry.field(default=None, description="A moment from which on the receiver lacks something.")


@strawberry.type(description="The webhook is there.")
class CreateWebhookSuccess:
    webhook: Webhook = strawberry.field(description="The webhook.")
    secret: str = strawberry.field(description="What its messages are signed with. It is shown here, and never again.")


@strawberry.type(description="The webhook has a new secret.")
class RotateWebhookSecretSuccess:
    webhook: Webhook = strawberry.field(description="The webhook.")
    secret: str = strawberry.field(description="What its messages are signed with from now on. It is shown here, and never again.")


@strawberry.type(description="It was done.")
class WebhookSuccess:
    webhook: Webhook = strawberry.field(description="The webhook as it is now.")


@strawberry.type(description="The webhook is gone, with all that waited for it.")
class DeleteWebhookSuccess:
    webhook_id: strawberry.ID = strawberry.field(description="The webhook's id.")


@strawberry.type(description="The test was sent.")
class SendTestWebhookSuccess:
    delivered: bool = strawberry.field(description="Whether the receiver took it.")
    status: int | None = strawberry.field(description="The status that answered it; null where nothing did.")
    message: str = strawberry.field(description="What came of it, in words a person understands.")


@strawberry.type(description="The message is sent again.")
class ResendWebhookDeliverySuccess:
    delivery: WebhookDelivery = strawberry.field(description="The delivery.")


@strawberry.type(description="What happened since is sent again.")
class ReplayWebhookSuccess:
    webhook: Webhook = strawberry.field(description="The webhook.")
    delivery_count: int = strawberry.field(description="How many messages are sent again; not those that wait to be delivered anyway.")
    end_cursor: str = strawberry.field(description="How far that came: hand it to `after` to go on.")
    is_complete: bool = strawberry.field(description="Whether that is all; about a thousand messages are sent again in one go.")


CreateWebhookResult = Annotated[
    CreateWebhookSuccess | NotFoundError | PermissionDeniedError | InvalidInputError | ConflictError,
    strawberry.union("CreateWebhookResult", description="The webhook with its secret, or why not."),
]
RotateWebhookSecretResult = Annotated[
    RotateWebhookSecretSuccess | NotFoundError | PermissionDeniedError | InvalidInputError | ConflictError,
    strawberry.union("RotateWebhookSecretResult", description="The webhook with its new secret, or why not."),
]
WebhookResult = Annotated[
    WebhookSuccess | NotFoundError | PermissionDeniedError | InvalidInputError,
    strawberry.union("WebhookResult", description="The webhook, or why not."),
]
DeleteWebhookResult = Annotated[
    DeleteWebhookSuccess | NotFoundError | PermissionDeniedError,
    strawberry.union("DeleteWebhookResult", description="The webhook's id, or why not."),
]
SendTestWebhookResult = Annotated[
    SendTestWebhookSuccess | NotFoundError | PermissionDeniedError | ConflictError,
    strawberry.union("SendTestWebhookResult", description="What came of the test, or why nothing was sent."),
]
ResendWebhookDeliveryResult = Annotated[
    ResendWebhookDeliverySuccess | NotFoundError | PermissionDeniedError | ConflictError,
    strawberry.union("ResendWebhookDeliveryResult", description="The delivery, or why not."),
]
ReplayWebhookResult = Annotated[
    ReplayWebhookSuccess | NotFoundError | PermissionDeniedError | InvalidInputError | ConflictError,
    strawberry.union("ReplayWebhookResult", description="How much is sent again, or why nothing is."),
]
WebhookId = Annotated[strawberry.ID, strawberry.argument(description="The webhook.")]


@strawberry.type
class WebhookMutation:
    @strawberry.mutation(
        description="Tell an address from now on what happens to connections, by signed messages (Standard Webhooks). Needs MANAGE in the "
        "folder; in a workspace, its owner; without a folder, an administrator."
    )
    @answering(NotFound, PermissionDenied, InvalidInput, Conflict)
    async def create_webhook(
        self, info: Info, input: Annotated[CreateWebhookInput, strawberry.argument(description="The webhook.")]
    ) -> CreateWebhookResult:
        folder_id = None if input.folder_id is None else id_of(input.folder_id, "folder")
        new = await _managing(info).create(info.context.actor, folder_id=folder_id, url=input.url, events=input.events)
        return CreateWebhookSuccess(webhook=Webhook.of(new.webhook), secret=new.secret.reveal())

    @strawberry.mutation(description=f"Change a webhook. {_WHO}")
    @answering(NotFound, PermissionDenied, InvalidInput)
    async def update_webhook(
        self, info: Info, input: Annotated[UpdateWebhookInput, strawberry.argument(description="The changes.")]
    ) -> WebhookResult:
        webhooks, id = _managing(info), id_of(input.webhook_id, _NOUN)
        return WebhookSuccess(webhook=Webhook.of(await webhooks.update(info.context.actor, id, url=input.url, events=input.events)))

    @strawberry.mutation(description=f"Give a webhook a new secret; for a while messages are signed with both. {_WHO}")
    @answering(NotFound, PermissionDenied, InvalidInput, Conflict)
    async def rotate_webhook_secret(
        self, info: Info, input: Annotated[RotateWebhookSecretInput, strawberry.argument(description="The rotation.")]
    ) -> RotateWebhookSecretResult:
        webhooks, id = _managing(info), id_of(input.webhook_id, _NOUN)
        new = await webhooks.rotate_secret(info.context.actor, id, previous_ends_at=input.previous_secret_ends_at)
        return RotateWebhookSecretSuccess(webhook=Webhook.of(new.webhook), secret=new.secret.reveal())

    @strawberry.mutation(
        description="Let a webhook go on: with what waits for it, and with what happens from now on. What happened while it was disabled "
        f"is sent by replayWebhook. {_WHO}"
    )
    @answering(NotFound, PermissionDenied)
    async def enable_webhook(self, info: Info, id: WebhookId) -> WebhookResult:
        return WebhookSuccess(webhook=Webhook.of(await _managing(info).enable(info.context.actor, id_of(id, _NOUN))))

    @strawberry.mutation(description=f"Send a webhook nothing until it is enabled again. {_WHO}")
    @answering(NotFound, PermissionDenied)
    async def disable_webhook(self, info: Info, id: WebhookId) -> WebhookResult:
        return WebhookSuccess(webhook=Webhook.of(await _managing(info).disable(info.context.actor, id_of(id, _NOUN))))

    @strawberry.mutation(description=f"Delete a webhook, and all that waits for it. {_WHO}")
    @answering(NotFound, PermissionDenied)
    async def delete_webhook(self, info: Info, id: WebhookId) -> DeleteWebhookResult:
        deleted = await _managing(info).delete(info.context.actor, id_of(id, _NOUN))
        return DeleteWebhookSuccess(webhook_id=graph_id(deleted))

    @strawberry.mutation(description=f"Send a message of the type `webhook.test`, now and once, also to one that is disabled. {_WHO}")
    @answering(NotFound, PermissionDenied, Conflict)
    async def send_test_webhook(self, info: Info, id: WebhookId) -> SendTestWebhookResult:
        outcome = await _managing(info).send_test(info.context.actor, id_of(id, _NOUN))
        message = outcome.error or f"It arrived: the receiver answered {outcome.status}."
        return SendTestWebhookSuccess(delivered=outcome.is_delivered, status=outcome.status, message=message)

    @strawberry.mutation(
        description=f"Send one message again, with the same `webhook-id`, whether or not it arrived. {_WHO}",
    )
    @answering(NotFound, PermissionDenied, Conflict)
    async def resend_webhook_delivery(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The delivery.")]
    ) -> ResendWebhookDeliveryResult:
        delivery = await info.context.patchbay.webhooks.replaying.resend(info.context.actor, id_of(id, "webhook delivery"))
        return ResendWebhookDeliverySuccess(delivery=WebhookDelivery.of(delivery))

    @strawberry.mutation(
        description="Send again all that happened since, each message with the `webhook-id` that it had: what the receiver kept it knows "
        f"by that. {_WHO}"
    )
    @answering(NotFound, PermissionDenied, InvalidInput, Conflict)
    async def replay_webhook(
        self, info: Info, input: Annotated[ReplayWebhookInput, strawberry.argument(description="What is sent again.")]
    ) -> ReplayWebhookResult:
        replaying, id = info.context.patchbay.webhooks.replaying, id_of(input.webhook_id, _NOUN)
        replayed = await replaying.replay(info.context.actor, id, after=_position(input.after, info), since=input.since)
        return ReplayWebhookSuccess(
            webhook=Webhook.of(replayed.webhook),
            delivery_count=replayed.deliveries,
            end_cursor=write_cursor(replayed.end, info.context.patchbay.vault),
            is_complete=replayed.is_complete,
        )


def _managing(info: Info) -> Managing:
    return info.context.patchbay.webhooks.managing


def _position(cursor: str | None, info: Info) -> EventPosition | None:
    """Raises InvalidInput."""
    position = None if cursor is None else read_cursor(cursor, info.context.patchbay.vault)
    if cursor is not None and position is None:
        raise InvalidInput({"after": "is not the cursor of an event"})
    return position
