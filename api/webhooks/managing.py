"""Webhooks as people manage them: whoever manages the folder; administrators those of every shared folder.

A webhook is the folder's, not its maker's: it goes on when they lose their permissions or leave, and is listed with who made it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import models
from api.access import Access, Actor
from api.audit import Audit
from api.clock import Clock
from api.errors import Conflict, InvalidInput
from api.events.log import EventLog
from api.events.order import EventOrder
from api.outbound.egress import EgressGuard, EgressRefused, ForbiddenAddress, origin_of
from api.secret import Secret
from api.webhooks.messages import USUAL_EVENTS, new_message_id, ping_of
from api.webhooks.permissions import WebhookAccess
from api.webhooks.secrets import SECRET_FIELDS, WebhookSecrets
from api.webhooks.sending import Outcome, WebhookSender
from models import ConnectionEventType
from models.database import transaction
from models.locks import Lock, hold

_MOST_OF_A_FOLDER = 20
_LONGEST_URL = 2_000
_USUAL_OVERLAP = timedelta(hours=24)
_LONGEST_OVERLAP = timedelta(days=30)
_RESOLVED_WITHIN_SECONDS = 3.0
# Within the time that an operation may take.
_TEST_DEADLINE = timedelta(seconds=7)
_TESTS_AT_ONCE = 8
_BY_A_PERSON = "Disabled by a person."


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A webhook with a secret that is shown once."""

    webhook: models.Webhook
    secret: Secret


class Managing:
    def __init__(
        self,
        access: Access,
        secrets: WebhookSecrets,
        sender: WebhookSender,
        guard: EgressGuard,
        order: EventOrder,
        *,
        log: EventLog,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._access = WebhookAccess(access)
        self._secrets = secrets
        self._sender = sender
        self._guard = guard
        self._order = order
        self._log = log
        self._audit = audit
        self._clock = clock
        self._tests = asyncio.Semaphore(_TESTS_AT_ONCE)

    async def create(
        self, actor: Actor, *, folder_id: UUID | None, url: str, events: Sequence[ConnectionEventType] | None = None
    ) -> NewSecret:
        """Tell an address from now on what happens in a folder and below it; without a folder, everywhere.

        Raises NotFound, PermissionDenied, InvalidInput, and Conflict where there are too many.
        """
        async with self._audit.act(actor, "webhook.create", subject_name=origin_of(url)) as act:
            await self._access.require(actor, folder_id)
            wanted = await self._checked(url, USUAL_EVENTS if events is None else events)
            async with transaction():
                await hold(Lock.WEBHOOKS, to_change=True)
                await self._access.require(actor, folder_id)
                await self._refuse_too_many(folder_id)
                webhook = models.Webhook(
                    id=uuid4(), folder_id=folder_id, url=url, events=wanted, created_by_id=actor.user_id, created_at=self._clock()
                )
                secret = self._secrets.give(webhook)
                await self._begin_now(webhook)
                await webhook.save(force_create=True)
                await act.done(subject_id=webhook.id, folder_id=folder_id)
        return NewSecret(webhook, secret)

    async def update(
        self, actor: Actor, webhook_id: UUID, *, url: str | None = None, events: Sequence[ConnectionEventType] | None = None
    ) -> models.Webhook:
        """Another address, other events. What waits to be delivered goes to the new address.

        Raises NotFound, PermissionDenied, InvalidInput.
        """
        async with self._audit.act(actor, "webhook.update", webhook_id) as act:
            before = await self._access.get(actor, webhook_id)
            wanted = await self._checked(before.url if url is None else url, before.event_types if events is None else events)
            async with transaction():
                webhook = await self._access.held(actor, webhook_id)
                webhook.url = webhook.url if url is None else url
                webhook.events = webhook.events if events is None else wanted
                await webhook.save(update_fields=["url", "events"])
                await act.done(subject_name=origin_of(webhook.url), folder_id=webhook.folder_id)
        return webhook

    async def rotate_secret(self, actor: Actor, webhook_id: UUID, *, previous_ends_at: datetime | None = None) -> NewSecret:
        """A new secret; messages are signed with the one before too until it ends, by itself after a day.

        Raises NotFound, PermissionDenied, InvalidInput, and Conflict where the one before cannot be opened here.
        """
        async with self._audit.act(actor, "webhook.rotate_secret", webhook_id) as act, transaction():
            webhook = await self._access.held(actor, webhook_id)
            now = self._clock()
            until = now + _USUAL_OVERLAP if previous_ends_at is None else previous_ends_at
            if until > now + _LONGEST_OVERLAP:
                raise InvalidInput({"previousSecretEndsAt": f"must be within {_LONGEST_OVERLAP.days} days"})
            await self._secrets.look_for_keys(webhook)
            secret = self._secrets.rotate(webhook, until=until)
            await webhook.save(update_fields=SECRET_FIELDS)
            await act.done(subject_name=origin_of(webhook.url), folder_id=webhook.folder_id)
        return NewSecret(webhook, secret)

    async def enable(self, actor: Actor, webhook_id: UUID) -> models.Webhook:
        """Go on: with what waits, and with what happens from now on. Raises NotFound, PermissionDenied."""
        async with self._audit.act(actor, "webhook.enable", webhook_id) as act, self._log.change():
            webhook = await self._access.held(actor, webhook_id)
            if webhook.disabled_at is not None:
                webhook.enable()
                await self._begin_now(webhook)
                await webhook.save()
            await act.done(subject_name=origin_of(webhook.url), folder_id=webhook.folder_id)
        return webhook

    async def disable(self, actor: Actor, webhook_id: UUID) -> models.Webhook:
        """Send nothing until it is enabled; of what happens meanwhile nothing is kept for it. Raises NotFound, PermissionDenied."""
        async with self._audit.act(actor, "webhook.disable", webhook_id) as act, transaction():
            webhook = await self._access.held(actor, webhook_id)
            if webhook.disabled_at is None:
                webhook.disable(_BY_A_PERSON, self._clock())
                await webhook.save(update_fields=["disabled_at", "disabled_reason"])
            await act.done(subject_name=origin_of(webhook.url), folder_id=webhook.folder_id)
        return webhook

    async def delete(self, actor: Actor, webhook_id: UUID) -> UUID:
        """The webhook, and all that waits for it. Raises NotFound, PermissionDenied."""
        async with self._audit.act(actor, "webhook.delete", webhook_id) as act, transaction():
            webhook = await self._access.held(actor, webhook_id)
            await webhook.delete()
            await act.done(subject_name=origin_of(webhook.url), folder_id=webhook.folder_id)
        return webhook_id

    async def send_test(self, actor: Actor, webhook_id: UUID) -> Outcome:
        """Send a message about nothing, now and once; what came of it. Raises NotFound, PermissionDenied, Conflict."""
        async with self._audit.act(actor, "webhook.test", webhook_id) as act:
            webhook = await self._access.get(actor, webhook_id)
            if self._tests.locked():
                raise Conflict("Too many tests are under way.", "Try again in a few seconds.")
            async with self._tests:
                ping = ping_of(webhook.id, self._clock())
                outcome = await self._sender.send(webhook, new_message_id(), ping, deadline=_TEST_DEADLINE)
            await act.done(subject_name=origin_of(webhook.url), folder_id=webhook.folder_id, detail=outcome.error or "It arrived.")
        return outcome

    async def _begin_now(self, webhook: models.Webhook) -> None:
        now = await self._order.now()
        webhook.begins_transaction, webhook.begins_id = now.transaction, now.id

    async def _refuse_too_many(self, folder_id: UUID | None) -> None:
        if await models.Webhook.filter(folder_id=folder_id).count() >= _MOST_OF_A_FOLDER:
            where = "without a folder" if folder_id is None else "of this folder"
            raise Conflict(f"There are {_MOST_OF_A_FOLDER} webhooks {where} already.", "Delete one first.")

    async def _checked(self, url: str, events: Sequence[ConnectionEventType]) -> list[str]:
        """The events as they are kept. Raises InvalidInput for an address that is not called, and for no events."""
        mistakes = {}
        if problem := await self._url_problem(url):
            mistakes["url"] = problem
        if not events:
            mistakes["events"] = "must name one at least"
        if mistakes:
            raise InvalidInput(mistakes)
        return [word.value for word in ConnectionEventType if word in events]

    async def _url_problem(self, url: str) -> str | None:
        if len(url) > _LONGEST_URL:
            return f"must not be longer than {_LONGEST_URL} characters"
        try:
            destination = self._guard.check(url)
            async with asyncio.timeout(_RESOLVED_WITHIN_SECONDS):
                await self._guard.addresses(destination)
        except EgressRefused as refused:
            return f"is not called: {refused.problem}"
        except ForbiddenAddress:
            return "is not called: its address is not public"
        # TimeoutError is one of these.
        except OSError:
            return "is not called: its name has no address"
        return None
