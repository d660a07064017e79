"""Compares the provider's truth with what Patchbay holds.

A grant that Patchbay holds no good token of is a suspect at first: it may be about to find that out. It is lost once Patchbay says so
(flagged), or once it went through another cycle and is shown as connected all the same (falsely healthy).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from models import ConnectionStatus, StatusReasonCode
from tests.faults.at_provider import KnownGrant
from tests.faults.records import Held

# A grant that dies twice in days is told as one that keeps dying, which asks for the same.
_SIGN_IN_AGAIN = {StatusReasonCode.REAUTHENTICATION_REQUIRED, StatusReasonCode.EXPIRES_FREQUENTLY}
_UNUSED = KnownGrant((), 0, 0, 0)


@dataclass(slots=True)
class Tally:
    """What came of a fault, over all its trials."""

    trials: int = 0
    lost: int = 0
    # Of the lost: those whose owner is told to sign in again.
    flagged: int = 0
    # Of the lost: those that are shown as connected.
    falsely_healthy: int = 0
    # Held well, and shown as broken.
    falsely_broken: int = 0
    # Exchanges of one grant at the same time, and tokens presented again though their first exchange was answered.
    duplicates: int = 0
    rotations: int = 0
    note: str = ""


class Checker:
    """`fingerprint` is how Patchbay knows a token."""

    def __init__(self) -> None:
        self.tally = Tally()
        # What the provider knew of each when it was last looked at.
        self._known: dict[str, KnownGrant] = {}
        self._suspects: dict[str, Held] = {}
        self._excused: set[str] = set()

    def excuse(self, grant_ids: Iterable[str]) -> None:
        """An answer to each of these never arrived: of its token one more try is right."""
        self._excused.update(grant_ids)

    def had_their_turn(self, truth: Mapping[str, KnownGrant]) -> bool:
        """Whether each suspect's token was presented again, or another one, since it was last looked at."""
        return all(_presented(truth[id]) > _presented(self._known[id]) for id in self._suspects)

    def look(self, holds: Iterable[Held], truth: Mapping[str, KnownGrant], fingerprint: Callable[[str], str]) -> list[Held]:
        """Judge everything that is held; what needs another grant, because it is lost or is shown so, is returned."""
        over = [held for held in holds if self._judge(held, truth[held.grant_id], fingerprint)]
        for held in over:
            self._suspects.pop(held.grant_id, None)
        return over

    def conclude(self, holds: Iterable[Held]) -> None:
        """Nothing more will happen: whoever is a suspect still is lost, and not flagged."""
        for held in holds:
            if held.grant_id in self._suspects:
                self.tally.lost += 1
                self.tally.falsely_healthy += held.status is ConnectionStatus.CONNECTED

    def _judge(self, held: Held, grant: KnownGrant, fingerprint: Callable[[str], str]) -> bool:
        before = self._known.get(held.grant_id, _UNUSED)
        self._known[held.grant_id] = grant
        self._count_use(held, before, grant)
        # One that is taken for the moment only, because it was the last but one, must still be exchanged in time.
        if held.fingerprints & {fingerprint(token) for token in grant.accepted[:1]}:
            self._suspects.pop(held.grant_id, None)
            self.tally.falsely_broken += held.status is ConnectionStatus.ACTION_REQUIRED
            return held.status is ConnectionStatus.ACTION_REQUIRED
        if held.status is ConnectionStatus.ACTION_REQUIRED:
            self.tally.lost += 1
            self.tally.flagged += held.reason in _SIGN_IN_AGAIN
            return True
        suspect = self._suspects.get(held.grant_id)
        if suspect is None or grant.rotations > before.rotations:
            self._suspects[held.grant_id] = held
            return False
        if held.last_refreshed_at == suspect.last_refreshed_at:
            return False
        # It was renewed since, as Patchbay has it, and not as the provider has it.
        self.tally.lost += 1
        self.tally.falsely_healthy += 1
        return True

    def _count_use(self, held: Held, before: KnownGrant, grant: KnownGrant) -> None:
        # Of a token whose answer may never have arrived, one more try is right.
        excused = grant.repeats > before.repeats and (held.grant_id in self._suspects or held.grant_id in self._excused)
        self._excused.discard(held.grant_id)
        self.tally.duplicates += grant.repeats - before.repeats - excused + grant.overlaps - before.overlaps
        self.tally.rotations += grant.rotations - before.rotations


def _presented(grant: KnownGrant) -> int:
    return grant.rotations + grant.repeats
