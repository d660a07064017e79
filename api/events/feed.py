"""The event log as a stream: replay after a cursor, then live. One reader a process, many subscribers.

Order is the order of commits. On SQLite one writer at a time makes that the order of ids. On PostgreSQL ids are drawn before the
commit, so rows are ordered by the transaction that wrote them, and read only once no older transaction is still open.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import models
from api.access import Access, Actor
from api.errors import StreamLagged
from api.events.log import CHANNEL
from api.events.wakeup import Wakeup, wait
from models import Permission
from models.database import Database, instance, rows
from models.notices import listening

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_BATCH = 500
_QUEUE = 100

_AFTER_ON_SQLITE = "SELECT * FROM connection_event WHERE id > $1 ORDER BY id LIMIT $2"
_AFTER_ON_POSTGRESQL = """
SELECT * FROM connection_event
WHERE (xid, id) > (($1::bigint)::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, id LIMIT $3
"""
_BEFORE_ON_SQLITE = "SELECT * FROM connection_event WHERE connection_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
_BEFORE_ON_POSTGRESQL = """
SELECT * FROM connection_event WHERE connection_id = $1 AND (xid, id) < (($2::bigint)::text::xid8, $3) ORDER BY xid DESC, id DESC LIMIT $4
"""
_NOW_ON_SQLITE = "SELECT 0 AS writer, COALESCE(MAX(id), 0) AS id FROM connection_event"
_NOW_ON_POSTGRESQL = """
SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1) AS writer, COALESCE(MAX(id), 0) AS id FROM connection_event
"""


@dataclass(frozen=True, slots=True, order=True)
class EventPosition:
    """Where an event stands in the order of commits."""

    transaction: int
    id: int


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    position: EventPosition
    event: models.ConnectionEvent


@dataclass(frozen=True, slots=True)
class EventSelection:
    """Which events; None: all of them."""

    folder_id: UUID | None = None
    connection_id: UUID | None = None
    connector_key: str | None = None

    def includes(self, event: models.ConnectionEvent) -> bool:
        return (
            self.folder_id in (None, event.folder_id)
            and self.connection_id in (None, event.connection_id)
            and self.connector_key in (None, event.connector_key)
        )


# PostgreSQL's transaction ids have 64 bits, of which bigint takes 63.
_AFTER_ALL = EventPosition(2**63 - 1, 2**63 - 1)


class _Subscriber:
    """The events that one subscriber has yet to take: at most a hundred, then it has lagged."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[PlacedEvent | None] = asyncio.Queue(_QUEUE)
        self.lagged = False

    def offer(self, placed: PlacedEvent | None) -> None:
        try:
            self.queue.put_nowait(placed)
        except asyncio.QueueFull:
            self.lagged = True

    def forget(self) -> None:
        while not self.queue.empty():
            self.queue.get_nowait()
        self.lagged = False


class EventFeed:
    def __init__(self, access: Access, database: Database, wakeup: Wakeup) -> None:
        self._access = access
        self._database = database
        self._wakeup = wakeup
        self._subscribers: set[_Subscriber] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the log for as long as this lasts; at its end every stream ends too."""
        start = await self._now()
        async with listening(self._database, CHANNEL, self._wakeup.signal), asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(self._read_for_ever(start))
            try:
                yield
            finally:
                self.close()
                reader.cancel()

    def close(self) -> None:
        """End every stream, and those that are begun from now on."""
        self._wakeup.close()
        for subscriber in self._subscribers:
            subscriber.forget()
            subscriber.offer(None)

    async def watch(self, actor: Actor, selection: EventSelection, *, after: EventPosition | None) -> AsyncIterator[PlacedEvent]:
        """Every event that the actor may see when it is delivered: in order, none missed, none twice.

        Without `after` the stream begins now. Raises StreamLagged once a hundred events wait to be taken.
        """
        # Join before reading what was: nothing that is committed meanwhile falls between.
        with self._joined() as subscriber:
            last = await self._now() if after is None else after
            while batch := await self._after(last):
                for placed in batch:
                    if await self._shows(actor, selection, placed.event):
                        yield placed
                last = batch[-1].position
                if subscriber.lagged:
                    subscriber.forget()
                    # What did not fit is in the log: go on reading there.
                    continue
            while not (subscriber.lagged and subscriber.queue.empty()):
                next_event = await subscriber.queue.get()
                if next_event is None:
                    return
                if next_event.position <= last:
                    continue
                last = next_event.position
                if await self._shows(actor, selection, next_event.event):
                    yield next_event
            raise StreamLagged(None)

    async def history(
        self, actor: Actor, connection_id: UUID, *, first: int, before: EventPosition | None
    ) -> tuple[list[PlacedEvent], bool]:
        """A connection's events that the actor may see, newest first, and whether there are older ones."""
        folders = await self._access.visible_folders(actor)
        start = before or _AFTER_ALL
        if self._database.dialect == "sqlite":
            found = await rows(_BEFORE_ON_SQLITE, [connection_id, start.id, first + 1])
        else:
            found = await rows(_BEFORE_ON_POSTGRESQL, [connection_id, start.transaction, start.id, first + 1])
        placed = [event for event in map(_placed, found) if event.event.folder_id in folders]
        return placed[:first], len(found) > first

    async def count_history(self, actor: Actor, connection_id: UUID) -> int:
        folders = await self._access.visible_folders(actor)
        return await models.ConnectionEvent.filter(connection_id=connection_id, folder_id__in=list(folders)).count()

    async def _shows(self, actor: Actor, selection: EventSelection, event: models.ConnectionEvent) -> bool:
        if not selection.includes(event):
            return False
        permissions = await self._access.permissions(actor, [event.folder_id])
        return Permission.VIEW in permissions.get(event.folder_id, Permission(0))

    @contextmanager
    def _joined(self) -> Iterator[_Subscriber]:
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        if self._wakeup.closed:
            subscriber.offer(None)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    async def _read_for_ever(self, position: EventPosition) -> None:
        while True:
            ticket = self._wakeup.ticket()
            try:
                while batch := await self._after(position):
                    for placed in batch:
                        for subscriber in self._subscribers:
                            subscriber.offer(placed)
                    position = batch[-1].position
            # The reader must live: while the database is away it looks again each second, and misses nothing.
            except Exception:
                logger.exception("event log not read")
            await wait(ticket, seconds=_POLL_SECONDS)

    async def _after(self, position: EventPosition) -> list[PlacedEvent]:
        """The next events after a position, at most 500."""
        if self._database.dialect == "sqlite":
            found = await rows(_AFTER_ON_SQLITE, [position.id, _BATCH])
        else:
            found = await rows(_AFTER_ON_POSTGRESQL, [position.transaction, position.id, _BATCH])
        return [_placed(row) for row in found]

    async def _now(self) -> EventPosition:
        """After everything that is committed by now."""
        (place,) = await rows(_NOW_ON_SQLITE if self._database.dialect == "sqlite" else _NOW_ON_POSTGRESQL, [])
        return EventPosition(place["writer"], place["id"])


def _placed(row: dict[str, Any]) -> PlacedEvent:
    return PlacedEvent(EventPosition(row.get("xid", 0), row["id"]), instance(models.ConnectionEvent, row))
