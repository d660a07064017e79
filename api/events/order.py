"""The order of events, which is the order of commits.

On SQLite one writer at a time makes that the order of ids. On PostgreSQL ids are drawn before the commit, so rows are ordered by the
transaction that wrote them, and read only once no older transaction is still open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import models
from api.access import Actor
from models.database import Database, instance, rows

_BATCH = 500

_AFTER_ON_SQLITE = "SELECT * FROM connection_event WHERE id > $1 ORDER BY id LIMIT $2"
_AFTER_ON_POSTGRESQL = """
SELECT * FROM connection_event
WHERE (xid, id) > (($1::bigint)::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, id LIMIT $3
"""
_FIRST_SINCE = "SELECT * FROM connection_event WHERE at >= $1 ORDER BY {order} LIMIT 1"
_NOW_ON_SQLITE = "SELECT 0 AS writer, COALESCE(MAX(id), 0) AS id FROM connection_event"
_NOW_ON_POSTGRESQL = """
SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1) AS writer, COALESCE(MAX(id), 0) AS id FROM connection_event
"""


class EventPosition(NamedTuple):
    """Where an event stands in the order of commits. A tuple, because those of thousands are compared at each event."""

    transaction: int
    id: int


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    position: EventPosition
    event: models.ConnectionEvent


@dataclass(frozen=True, slots=True)
class ShownEvent(PlacedEvent):
    """An event that somebody is shown. `viewer`: what is left of them since they were recognised."""

    viewer: Actor


class EventOrder:
    """Reads the log from a position on: what was read once is before the new position, and nothing comes before it later."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(self, position: EventPosition) -> list[PlacedEvent]:
        """The next events after a position, at most 500."""
        if self._database.dialect == "sqlite":
            found = await rows(_AFTER_ON_SQLITE, [position.id, _BATCH])
        else:
            found = await rows(_AFTER_ON_POSTGRESQL, [position.transaction, position.id, _BATCH])
        return [placed_event(row) for row in found]

    def was_all(self, batch: Sequence[PlacedEvent]) -> bool:
        """Whether nothing came after these when they were read."""
        return len(batch) < _BATCH

    async def before(self, moment: datetime) -> EventPosition:
        """Behind what happened before that moment, as far as nothing later is before it."""
        order = "id" if self._database.dialect == "sqlite" else "xid, id"
        found = await rows(_FIRST_SINCE.format(order=order), [moment])
        first = placed_event(found[0]).position if found else await self.now()
        return EventPosition(first.transaction, first.id - 1) if found else first

    async def now(self) -> EventPosition:
        """After everything that is committed by now."""
        (place,) = await rows(_NOW_ON_SQLITE if self._database.dialect == "sqlite" else _NOW_ON_POSTGRESQL, [])
        return EventPosition(place["writer"], place["id"])


def placed_event(row: Mapping[str, Any]) -> PlacedEvent:
    return PlacedEvent(EventPosition(row.get("xid", 0), row["id"]), instance(models.ConnectionEvent, row))
