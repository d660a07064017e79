"""The secrets that messages are signed with: made here, shown once, sealed for their rows; while two are good, both sign."""

import base64
import os
from datetime import datetime
from uuid import UUID

from standardwebhooks import Webhook as Signer

import models
from api.clock import Clock
from api.secret import Secret
from api.vault.vault import Place, Unreadable, Vault

# The standard wants 24 to 64 bytes.
_SECRET_BYTES = 32
SECRET_FIELDS = ["secret", "secret_set_at", "previous_secret", "previous_secret_until"]


class WebhookSecrets:
    """What is done here to a row is saved by whoever does it."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock

    def give(self, webhook: models.Webhook) -> Secret:
        """Make the webhook a secret, its only one. Raises KeyUnavailable."""
        secret = Secret(f"whsec_{base64.b64encode(os.urandom(_SECRET_BYTES)).decode()}")
        webhook.secret = self._vault.seal(secret.reveal().encode(), _place(webhook, "secret"))
        webhook.secret_set_at = self._clock()
        webhook.previous_secret = webhook.previous_secret_until = None
        return secret

    def rotate(self, webhook: models.Webhook, *, until: datetime) -> Secret:
        """Make the webhook a new secret; with the one in use messages are signed too until then. One from before that ends now.

        Raises KeyUnavailable.
        """
        former = self._moved_behind(webhook) if until > self._clock() else None
        secret = self.give(webhook)
        if former is not None:
            webhook.previous_secret, webhook.previous_secret_until = former, until
        return secret

    async def look_for_keys(self, webhook: models.Webhook) -> None:
        """Before its secrets are opened: their keys may be new here."""
        await self._vault.look_for_key(webhook.secret)
        await self._vault.look_for_key(webhook.previous_secret)

    def headers(self, webhook: models.Webhook, message_id: str, message: str) -> dict[str, str]:
        """The headers of a message that is sent now, signed with each secret that is good. Raises Unreadable, KeyUnavailable."""
        now = self._clock()
        signatures = [Signer(secret.reveal()).sign(message_id, now, message) for secret in self._good(webhook, now)]
        return {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _good(self, webhook: models.Webhook, now: datetime) -> list[Secret]:
        good = [self._open(webhook.secret, _place(webhook, "secret"))]
        if webhook.previous_secret is not None and webhook.previous_secret_until is not None and now < webhook.previous_secret_until:
            good.append(self._open(webhook.previous_secret, _place(webhook, "previous_secret")))
        return good

    def _moved_behind(self, webhook: models.Webhook) -> models.Sealed | None:
        """The secret in use, sealed for the place of the one before; None where it cannot be opened: nothing was signed with it."""
        try:
            return self._vault.reseal(webhook.secret, _place(webhook, "secret"), _place(webhook, "previous_secret"))
        except Unreadable:
            return None

    def _open(self, sealed: models.Sealed, place: Place) -> Secret:
        return Secret(self._vault.open(sealed, place).decode())


async def forget_ended(now: datetime) -> None:
    """Take away the secrets that nothing is signed with any more."""
    ended = models.Webhook.filter(previous_secret_until__lte=now)
    await ended.update(previous_secret=None, previous_secret_until=None)


def _place(webhook: models.Webhook, column: str) -> Place:
    row: UUID = webhook.id
    return Place("webhook", column, row, webhook.folder_id)
