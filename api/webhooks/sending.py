"""One attempt to deliver a message: signed, sent through the guarded client, and judged by the status that answers it."""

from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

import models
from api.clock import Clock
from api.oauth.errors import read_retry_after
from api.outbound.egress import OutboundError
from api.outbound.http import Answer, AnswerTooLarge, OutboundRequest, Sender
from api.vault.vault import KeyUnavailable, Unreadable
from api.webhooks.secrets import WebhookSecrets

# All of it: name, connection, TLS, message and answer.
DEADLINE = timedelta(seconds=20)
# Of what is answered only the status counts.
_MOST_BYTES = 4_096
_ASKS_TO_WAIT = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt. `error` is in our words, and None where the receiver has the message."""

    status: int | None
    error: str | None = None
    # For how long the receiver asked to be left alone.
    retry_after: timedelta | None = None

    @property
    def is_delivered(self) -> bool:
        return self.error is None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more messages, ever."""
        return self.status == HTTPStatus.GONE


class WebhookSender:
    def __init__(self, http: Sender, secrets: WebhookSecrets, clock: Clock) -> None:
        self._http = http
        self._secrets = secrets
        self._clock = clock

    async def send(self, webhook: models.Webhook, message_id: str, message: str, *, deadline: timedelta = DEADLINE) -> Outcome:
        """Send a message, signed as of now. A failure is an outcome like any other."""
        try:
            await self._secrets.look_for_keys(webhook)
            headers = self._secrets.headers(webhook, message_id, message)
            request = OutboundRequest("POST", webhook.url, headers, message.encode())
            answer = await self._http.send(request, deadline=deadline, max_bytes=_MOST_BYTES)
        except AnswerTooLarge as error:
            return Outcome(None, error.message) if error.status is None else self._judged(Answer(error.status))
        except (OutboundError, Unreadable, KeyUnavailable) as error:
            return Outcome(None, error.message)
        return self._judged(answer)

    def _judged(self, answer: Answer) -> Outcome:
        status = answer.status
        if 200 <= status < 300:
            return Outcome(status)
        if 300 <= status < 400:
            return Outcome(status, f"It answered {status}, a redirect, which is not followed.")
        retry_after = read_retry_after(answer.headers.get("Retry-After"), self._clock()) if status in _ASKS_TO_WAIT else None
        return Outcome(status, f"It answered {status}.", retry_after)
