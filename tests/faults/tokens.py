"""What a strict authorization server knows of its grants: which refresh token of each is good, and everything that was wrong with how it
was used.

A refresh token is good once. What a used one meets is the mode:
strict   `invalid_grant`
grace    for 30 seconds after its use the same successor once more, then `invalid_grant`
family   `invalid_grant`, and the whole grant has ended
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

GRACE_SECONDS = 30.0


class Mode(StrEnum):
    STRICT = "strict"
    GRACE = "grace"
    FAMILY = "family"


@dataclass(slots=True)
class Grant:
    """`repeats` are presentations of a token that was used already, `overlaps` exchanges that began while another was under way."""

    id: str
    current: str
    previous: str | None = None
    rotated_at: float = 0.0
    rotations: int = 0
    under_way: int = 0
    overlaps: int = 0
    repeats: int = 0
    has_ended: bool = False

    def accepts(self, token: str, mode: Mode, now: float) -> bool:
        if self.has_ended:
            return False
        return token == self.current or (mode is Mode.GRACE and token == self.previous and now - self.rotated_at < GRACE_SECONDS)

    def accepted(self, mode: Mode, now: float) -> list[str]:
        return [token for token in (self.current, self.previous) if token is not None and self.accepts(token, mode, now)]


class Grants:
    """`now` is in seconds, by any clock that goes evenly."""

    def __init__(self, mode: Mode = Mode.STRICT) -> None:
        self.mode = mode
        self._grants: dict[str, Grant] = {}

    def issue(self) -> Grant:
        """A new grant, as a consent would give it."""
        grant_id = secrets.token_hex(6)
        grant = self._grants[grant_id] = Grant(grant_id, _new_token(grant_id))
        return grant

    def find(self, token: str) -> Grant | None:
        """The grant that a token belongs to, good or not."""
        return self._grants.get(token.partition(".")[0])

    def begin(self, grant: Grant) -> None:
        """An exchange was asked for."""
        grant.overlaps += grant.under_way > 0
        grant.under_way += 1

    def end(self, grant: Grant) -> None:
        grant.under_way -= 1

    def exchange(self, grant: Grant, token: str, now: float) -> str | None:
        """The refresh token that replaces this one; None for `invalid_grant`."""
        if token == grant.current and not grant.has_ended:
            grant.previous, grant.current = grant.current, _new_token(grant.id)
            grant.rotated_at = now
            grant.rotations += 1
            return grant.current
        grant.repeats += 1
        if self.mode is Mode.FAMILY:
            grant.has_ended = True
        return grant.current if grant.accepts(token, self.mode, now) else None

    def truth(self, now: float, only: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """All that is known of the grants, or of those named."""
        return {
            grant.id: {
                "accepted": grant.accepted(self.mode, now),
                "rotations": grant.rotations,
                "overlaps": grant.overlaps,
                "repeats": grant.repeats,
            }
            for grant in (self._grants.values() if only is None else [self._grants[each] for each in only])
        }


def _new_token(grant_id: str) -> str:
    return f"{grant_id}.{secrets.token_urlsafe(24)}"
