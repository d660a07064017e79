"""The audit log: who did what, or tried to, when, from where, on what, and what came of it. Only ever appended, and never a secret.

What was done is written in the transaction that does it, so that there is neither an act without its entry nor an entry without its act.
What was refused or came to nothing left no transaction, and is written by itself.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import models
from api.access import Actor
from api.clock import Clock
from api.errors import NotFound, PatchbayError, PermissionDenied, PolicyViolation, SignInRefused
from models import AuditOutcome
from models.appending import Appended, Condition, Told

logger = logging.getLogger(__name__)

_REFUSALS = (NotFound, PermissionDenied, PolicyViolation, SignInRefused)
_LONGEST_NAME = 320
_LONGEST_DETAIL = 1000
_ENTRIES = Appended(models.AuditEntry)


@dataclass(slots=True)
class Act:
    """Something that somebody does. What is not known when it begins is told when it is done."""

    clock: Clock
    actor: Actor | None
    action: str
    subject_id: str | None = None
    subject_name: str | None = None
    folder_id: UUID | None = None
    # Where it came from, while nobody knows whose act it is.
    source: str | None = None
    is_written: bool = False

    async def done(
        self,
        *,
        subject_id: UUID | str | None = None,
        subject_name: str | None = None,
        folder_id: UUID | None = None,
        detail: str | None = None,
    ) -> None:
        """Write down that it was done. Call it in the transaction that does it; `detail` never holds a secret."""
        self._learn(subject_id, subject_name, folder_id)
        await self.write(AuditOutcome.DONE, detail)
        self.is_written = True

    async def done_if(
        self,
        *conditions: Condition,
        subject_id: UUID | str | None = None,
        subject_name: str | None = None,
        folder_id: UUID | None = None,
        detail: str | None = None,
    ) -> bool:
        """As `done`, of what is done by being told here: in a statement of its own, and only if all of this is so. Whether it was."""
        self._learn(subject_id, subject_name, folder_id)
        self.is_written = await _ENTRIES.append_if(self._entry(AuditOutcome.DONE, detail), *conditions)
        return self.is_written

    def told(self, *, subject_name: str, folder_id: UUID, detail: str) -> Told:
        """The entry of `done`, to be appended with the change that does it; `is_written` is to be set once it was."""
        return _ENTRIES.told(
            self._entry(AuditOutcome.DONE, detail) | {"subject_name": subject_name[:_LONGEST_NAME], "folder_id": folder_id}
        )

    async def write(self, outcome: AuditOutcome, detail: str | None) -> None:
        await _ENTRIES.append(self._entry(outcome, detail))

    def _learn(self, subject_id: UUID | str | None, subject_name: str | None, folder_id: UUID | None) -> None:
        self.subject_id = self.subject_id if subject_id is None else str(subject_id)
        self.subject_name = self.subject_name if subject_name is None else subject_name
        self.folder_id = self.folder_id if folder_id is None else folder_id

    def _entry(self, outcome: AuditOutcome, detail: str | None) -> dict[str, object]:
        actor = self.actor
        return {
            "at": self.clock(),
            "actor_id": None if actor is None else actor.user_id,
            "actor_name": None if actor is None else actor.name,
            "source": self.source if actor is None else actor.source,
            "token_id": None if actor is None else actor.token_id,
            "action": self.action,
            "outcome": outcome,
            "subject_id": None if self.subject_id is None else self.subject_id[:64],
            "subject_name": None if self.subject_name is None else self.subject_name[:_LONGEST_NAME],
            "folder_id": self.folder_id,
            "detail": None if detail is None else detail[:_LONGEST_DETAIL],
        }


class Audit:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @asynccontextmanager
    async def act(
        self,
        actor: Actor | None,
        action: str,
        subject_id: UUID | str | None = None,
        *,
        subject_name: str | None = None,
        source: str | None = None,
    ) -> AsyncIterator[Act]:
        """An act that is told of, whatever comes of it. The block calls `done` in its transaction.

        An expected failure is written down as REFUSED or FAILED, in its own words, and flies on. What is not expected is logged elsewhere.
        """
        act = Act(self._clock, actor, action, None if subject_id is None else str(subject_id), subject_name, source=source)
        try:
            yield act
        except PatchbayError as error:
            # Its transaction may be committed already, where the provider is asked afterwards.
            if not act.is_written:
                await self._tell(act, AuditOutcome.REFUSED if isinstance(error, _REFUSALS) else AuditOutcome.FAILED, error)
            raise

    async def _tell(self, act: Act, outcome: AuditOutcome, error: PatchbayError) -> None:
        try:
            await act.write(outcome, error.message)
        # Nothing was done, so nothing is hidden by this; the caller must learn of the first failure, not of this one.
        except Exception:
            logger.exception("refusal not written to the audit log", extra={"action": act.action})
