"""One attempt to renew a credential: its intent, which is written down, and its way to the provider."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import models
from api.clock import Clock, seconds_since_boot
from api.courier.client import Courier, CourierAway, NotCarried
from api.courier.wire import Errand, Order, Refusal
from api.errors import PatchbayError
from api.outbound.http import Answer, EgressGuard, OutboundClient, OutboundError, OutboundRequest

# Counted from its intent, a request is over after this: 20 seconds are its deadline.
OVER_AFTER = timedelta(seconds=21)


class NotYet(PatchbayError):
    """An earlier exchange of the same token may still be under way, or its answer is for another process to save."""

    def __init__(self, until: datetime) -> None:
        super().__init__("An earlier refresh of this connection may still be under way.", "Try again in a minute.")
        self.until = until


@dataclass(frozen=True, slots=True)
class Intent:
    row: models.TokenJournal
    # An earlier exchange of the same token was begun and never answered.
    repeats: bool


class Attempt:
    """Sends the requests of one renewal, and knows whether one of them may have arrived.

    Nothing is sent after `send_before`, in seconds since boot: by then the lease may be another's.
    """

    # Whether an answer is on disk as soon as it is heard.
    keeps_answers = False
    # Whether nothing is sent, and only an answer to an earlier request is wanted.
    only_listens = False

    def __init__(self, intent: Intent, http: OutboundClient, *, send_before: float) -> None:
        self.intent = intent
        self.may_have_arrived = False
        self._http = http
        self._send_before = send_before

    @property
    def over_at(self) -> datetime:
        """When a request that its intent announced is over."""
        return self.intent.row.started_at + OVER_AFTER

    @property
    def guard(self) -> EgressGuard:
        return self._http.guard

    async def send(self, request: OutboundRequest, *, deadline: timedelta, max_bytes: int) -> Answer:
        """Raises OutboundError, NotCarried where it was not sent, and CourierAway."""
        # Until the contrary is known, whatever ends this in the middle.
        earlier, self.may_have_arrived = self.may_have_arrived, True
        try:
            return await self._carry(request, deadline, max_bytes)
        except NotCarried:
            self.may_have_arrived = earlier
            raise
        except (OutboundError, CourierAway) as error:
            self.may_have_arrived = earlier or error.may_have_arrived
            raise

    def settle(self) -> None:
        """All that came of it is saved, or need not be."""

    async def _carry(self, request: OutboundRequest, deadline: timedelta, max_bytes: int) -> Answer:
        if seconds_since_boot() > self._send_before:
            raise NotCarried(Refusal.LATE)
        return await self._http.send(request, deadline=deadline, max_bytes=max_bytes)


class CarriedAttempt(Attempt):
    """By the courier. One that only listens wants an answer that the courier has, or waits for."""

    keeps_answers = True

    def __init__(
        self,
        intent: Intent,
        http: OutboundClient,
        courier: Courier,
        errand: Errand,
        *,
        send_before: float,
        only_listens: bool,
        clock: Clock,
    ) -> None:
        super().__init__(intent, http, send_before=send_before)
        self._clock = clock
        self._courier = courier
        self._errand = errand
        self.only_listens = only_listens
        self._heard: list[int] = []

    def settle(self) -> None:
        self._courier.settle(self._heard)

    async def _carry(self, request: OutboundRequest, deadline: timedelta, max_bytes: int) -> Answer:
        heard = max(self._heard, default=0)
        kept = await self._courier.carry(Order(self._errand, request, deadline, max_bytes, not self.only_listens, self._send_before, heard))
        self._heard.append(kept.sequence)
        # By our clock: what it says of times is reckoned by that.
        return kept.answer.received(self._clock() - kept.age)
