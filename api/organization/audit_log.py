"""The audit log, read: filtered, paged, newest first; handed out as JSON lines; and cut off at the end of its retention."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tortoise.queryset import QuerySet

import models
from api.access import Actor, require_administrator
from api.clock import Clock

_BATCH = 500
# So many at a time, so that a long log does not hold the database up.
_FORGOTTEN_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class AuditSelection:
    """Which entries; None: all of them. `until` is not included."""

    actor_id: UUID | None = None
    action: str | None = None
    subject_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    # Named by what is no id: then nothing is meant.
    nothing: bool = False


class AuditLog:
    """`retention`: how long entries are kept; None: for good."""

    def __init__(self, clock: Clock, retention: timedelta | None) -> None:
        self._clock = clock
        self._retention = retention

    async def page(
        self, actor: Actor, selection: AuditSelection, *, first: int, before: int | None
    ) -> tuple[list[models.AuditEntry], bool]:
        """Entries, newest first, and whether there are older ones. Administrators only: raises PermissionDenied."""
        require_administrator(actor)
        entries = _selected(selection)
        if before is not None:
            entries = entries.filter(id__lt=before)
        found = await entries.order_by("-id").limit(first + 1)
        return found[:first], len(found) > first

    async def count(self, actor: Actor, selection: AuditSelection) -> int:
        """Raises PermissionDenied."""
        require_administrator(actor)
        return await _selected(selection).count()

    async def export(self, selection: AuditSelection) -> AsyncIterator[str]:
        """Every entry as a line of JSON, oldest first."""
        last = 0
        while batch := await _selected(selection).filter(id__gt=last).order_by("id").limit(_BATCH):
            for entry in batch:
                yield json.dumps(_to_json(entry), ensure_ascii=False, separators=(",", ":"))
            last = batch[-1].id

    async def forget_old(self) -> int:
        """Delete what is older than the retention; how many entries that was."""
        if self._retention is None:
            return 0
        old = models.AuditEntry.filter(at__lt=self._clock() - self._retention)
        ids: Any = await old.order_by("id").limit(_FORGOTTEN_AT_ONCE).values_list("id", flat=True)
        return await models.AuditEntry.filter(id__in=ids).delete() if ids else 0


def _selected(selection: AuditSelection) -> QuerySet[models.AuditEntry]:
    if selection.nothing:
        return models.AuditEntry.filter(id__in=[])
    entries = models.AuditEntry.all()
    if selection.actor_id is not None:
        entries = entries.filter(actor_id=selection.actor_id)
    if selection.action is not None:
        entries = entries.filter(action=selection.action)
    if selection.subject_id is not None:
        entries = entries.filter(subject_id=selection.subject_id)
    if selection.since is not None:
        entries = entries.filter(at__gte=selection.since)
    if selection.until is not None:
        entries = entries.filter(at__lt=selection.until)
    return entries


def _to_json(entry: models.AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at.isoformat(),
        "actor_id": None if entry.actor_id is None else str(entry.actor_id),
        "actor_name": entry.actor_name,
        "source": entry.source,
        "token_id": None if entry.token_id is None else str(entry.token_id),
        "action": entry.action,
        "outcome": entry.outcome.value,
        "subject_id": entry.subject_id,
        "subject_name": entry.subject_name,
        "folder_id": None if entry.folder_id is None else str(entry.folder_id),
        "detail": entry.detail,
    }
