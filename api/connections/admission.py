"""Which of the connections that are due begin now: those that can be sent, the most urgent first.

Those that cannot be, because their provider is away or others come first, are moved to a later time in one statement, and are not in
the way of the others any more: what is due is at every moment little more than what can be sent, however much there is behind it.
Leaving them where they are and passing them over would mean to walk past all of them at every tick.
"""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.connections.clock_watch import ClockWatch
from api.connections.pacing import Held, Pacing, Visit
from api.connections.providers import Providers
from api.connections.schedule import LATE, ORDINARY, places_of_late, priority_of
from models import ConnectionStatus
from models.leases import Due, Lease, Postponed, Term, claim_due, put_off

logger = logging.getLogger(__name__)

# What ends by the clock waits so long for a clock that can be believed.
_IN_DOUBT = timedelta(minutes=10)
_UNDER_WAY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Claimed:
    """`count` connections were due, as many as were asked for at most; these of them begin."""

    count: int
    leases: Sequence[Lease]


class Admission:
    def __init__(self, *, providers: Providers, pacing: Pacing, watch: ClockWatch, chance: random.Random) -> None:
        self._providers = providers
        self._pacing = pacing
        self._watch = watch
        self._chance = chance

    async def claim(self, term: Term, *, limit: int) -> Claimed:
        """Claim what is due, and put off what cannot be sent now. Whatever begins must be `done` in the end."""
        now = term.now
        due = await claim_due(term, limit=limit, late=now - LATE, late_limit=places_of_late(limit, self._chance))
        most_urgent_first = sorted(due, key=lambda each: (each.priority, each.expires_at or now))
        postponed = {each.lease: self._postponed(each, now) for each in most_urgent_first}
        begin = [lease for lease, later in postponed.items() if later is None]
        try:
            await put_off([later for later in postponed.values() if later is not None])
        except BaseException:
            # The database is away, or this process stops: nobody will be done with these.
            for lease in begin:
                self.done(lease)
            raise
        return Claimed(len(due), begin)

    def done(self, lease: Lease) -> None:
        self._pacing.done(lease.connection_id)

    def _postponed(self, due: Due, now: datetime) -> Postponed | None:
        """Where one that is due goes instead; None where it begins."""
        if self._pacing.has(due.lease.connection_id):
            # Its attempt here is not over; that its lease is, only a clock that was set can say.
            return Postponed(due.lease, now + _UNDER_WAY, due.priority)
        if not due.renewable and _has_ended(due, now) and self._watch.is_in_doubt:
            return Postponed(due.lease, now + _IN_DOUBT * self._chance.uniform(0.5, 1), due.priority)
        visit = self._visit(due)
        held = None if visit is None else self._pacing.admit(visit, due.priority)
        if visit is None or held is None or (held.is_shut and self._is_to_tell(due, now)):
            return None
        return self._later(due, visit, held, now)

    def _is_to_tell(self, due: Due, now: datetime) -> bool:
        """Whether the status has to tell, once, that the token has ended while its provider is away: an attempt does no more than that."""
        return due.status is ConnectionStatus.CONNECTED and _has_ended(due, now) and not self._watch.is_in_doubt

    def _later(self, due: Due, visit: Visit, held: Held, now: datetime) -> Postponed:
        # At the end of the token the status has to tell.
        at_most = None if due.expires_at is None or due.expires_at <= now else due.expires_at - now
        usual = self._priority(due, None, now)
        # Whoever had a turn and did not get it is not among the last any more.
        queue = usual if held.is_shut else min(usual, ORDINARY)
        due_at = now + self._pacing.put_off(visit, held, queue, at_most=at_most)
        return Postponed(due.lease, due_at, min(queue, self._priority(due, due_at, now)))

    def _priority(self, due: Due, due_at: datetime | None, now: datetime) -> int:
        return priority_of(due_at, now=now, expires_at=due.expires_at, last_used_at=due.last_used_at, created_at=due.created_at)

    def _visit(self, due: Due) -> Visit | None:
        """What it is about; None for a connection of which nothing can be known: its attempt tells why."""
        try:
            provider = self._providers.find(due.connector_key, due.connector_version, due.authentication_type, due.option_key, due.site)
            if provider is None:
                return None
            asked = Visit.exchange if due.renewable else Visit.proof
            return asked(due.lease.connection_id, due.oauth_app_id, provider)
        # One that is broken must not stop all others.
        except Exception:
            logger.exception("connection not understood", extra={"connection": str(due.lease.connection_id)})
            return None


def _has_ended(due: Due, now: datetime) -> bool:
    return due.expires_at is not None and due.expires_at <= now
