"""The event log as a stream: replay after a cursor, then live. One reader a process, many subscribers."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, nullcontext
from uuid import UUID

from tortoise.functions import Count

import models
from api.access import Access, Actor
from api.clock import Clock
from api.errors import InvalidInput, StreamLagged
from api.events.audience import Audience, Delivery
from api.events.audiences import Audiences
from api.events.log import CHANNEL
from api.events.order import EventOrder, EventPosition, PlacedEvent, ShownEvent, placed_event
from api.events.seeing import who_see
from api.events.selection import EventSelection
from api.events.subscriber import Subscriber
from api.events.wakeup import Wakeup, wait
from models.database import Database, rows
from models.notices import listening

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0

_BEFORE_ON_SQLITE = """
SELECT * FROM connection_event WHERE connection_id = $1 AND $2 >= 0 AND id < $3 AND folder_id IN ({folders})
ORDER BY id DESC LIMIT $4
"""
_BEFORE_ON_POSTGRESQL = """
SELECT * FROM connection_event
WHERE connection_id = $1 AND (xid, id) < (($2::bigint)::text::xid8, $3) AND folder_id IN ({folders})
ORDER BY xid DESC, id DESC LIMIT $4
"""
_PLACES = "SELECT DISTINCT folder_id FROM connection_event WHERE connection_id IN ({ids})"
_NEWEST_OF_EACH = """
SELECT * FROM connection_event WHERE id IN (
  SELECT id FROM (
    SELECT id, ROW_NUMBER() OVER (PARTITION BY connection_id ORDER BY {order}) AS place
    FROM connection_event WHERE connection_id IN ({ids}) AND folder_id IN ({folders})
  ) AS ranked WHERE place <= {most}
) ORDER BY {order}
"""


# PostgreSQL's transaction ids have 64 bits, of which bigint takes 63.
_AFTER_ALL = EventPosition(2**63 - 1, 2**63 - 1)


class EventFeed:
    def __init__(self, access: Access, database: Database, wakeup: Wakeup, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._database = database
        self._order = EventOrder(database)
        self._wakeup = wakeup
        self._subscribers: set[Subscriber] = set()
        # Those of somebody: at each event it is asked who of them is good, and there are fewer of them than of their streams.
        self._streams: dict[Actor, set[Subscriber]] = {}
        # Those who are served one by one; the others are in audiences.
        self._alone: set[Subscriber] = set()
        self._audiences = Audiences(clock, events=self._events, position=lambda: self._position)
        # Up to where every subscriber was offered what there is.
        self._position = EventPosition(0, 0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the log for as long as this lasts; at its end every stream ends too."""
        self._position = await self._order.now()
        async with listening(self._database, CHANNEL, self._wakeup.signal), asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(self._read_for_ever())
            with self._audiences.running(tasks):
                try:
                    yield
                finally:
                    self.close()
                    reader.cancel()

    def close(self) -> None:
        """End every stream, and those that are begun from now on."""
        self._wakeup.close()
        for subscriber in self._subscribers:
            subscriber.end()

    async def watch(
        self, actor: Actor, selection: EventSelection, *, after: EventPosition | None, delivery: Delivery | None = None
    ) -> AsyncGenerator[ShownEvent, None]:
        """Every event that the actor may see when it is delivered: in order, none missed, none twice.

        Without `after` the stream begins now. It ends once the actor is deactivated, or their API token or session is no longer good.
        Raises StreamLagged for who left more than a hundred events waiting for ten seconds, and InvalidInput for an `after` that only
        another database can have given: what followed there is not here, and what follows here would seem to be before it.

        With a `delivery` it yields only what is not delivered by it.
        """
        # Join before reading what was: nothing that is committed meanwhile falls between.
        with self._joined(Subscriber(actor)) as subscriber:
            now = await self._order.now()
            if after is not None and after > now:
                raise InvalidInput({"after": "is from before the database was restored: begin without it, and read the connections again"})
            start = now if after is None else after
            with self._audiences.followed(delivery) if delivery else nullcontext():
                async with aclosing(self._follow(subscriber, start, selection, delivery)) as events:
                    async for placed in events:
                        if subscriber.has_ended:
                            return
                        if (viewer := await self._viewer(actor, selection, placed.event)) is not None:
                            yield ShownEvent(placed.position, placed.event, viewer)

    @asynccontextmanager
    async def _events(self, position: EventPosition) -> AsyncIterator[AsyncIterator[PlacedEvent]]:
        """All events after a position."""
        with self._joined(Subscriber(None)) as subscriber:
            async with aclosing(self._follow(subscriber, position)) as events:
                yield events

    async def _follow(
        self, subscriber: Subscriber, last: EventPosition, selection: EventSelection | None = None, delivery: Delivery | None = None
    ) -> AsyncGenerator[PlacedEvent, None]:
        """Every event after a position, but for those that are delivered. Raises StreamLagged."""
        while True:
            audience = self._audiences.find(selection, delivery) if selection and delivery else None
            # Whatever it has answered by now, the log has when it is read.
            reached = audience.position if audience else last
            was_all = False
            while not was_all:
                batch = await self._order.after(last)
                for placed in batch:
                    last = placed.position
                    yield placed
                was_all = self._order.was_all(batch)
            last = max(last, reached)
            if not subscriber.catch_up(last):
                continue
            while subscriber.full_since is None:
                if audience and delivery and subscriber.is_idle:
                    if last >= audience.position and not audience.is_over:
                        last = await self._rest(subscriber, audience, delivery, last)
                    break
                next_event = await subscriber.queue.get()
                if next_event is None:
                    return
                # The reader may be behind what was read from the log.
                if next_event.position > last:
                    last = next_event.position
                    yield next_event
            if subscriber.has_ended:
                return
            if subscriber.has_lagged(self._clock()):
                raise StreamLagged

    async def history(
        self, actor: Actor, connection_id: UUID, *, first: int, before: EventPosition | None
    ) -> tuple[list[PlacedEvent], bool]:
        """A connection's events that the actor may see, newest first, and whether there are older ones."""
        folders = await self._folders_of(actor, [connection_id])
        start = before or _AFTER_ALL
        statement = _BEFORE_ON_SQLITE if self._database.dialect == "sqlite" else _BEFORE_ON_POSTGRESQL
        found = await rows(
            statement.format(folders=_marks(folders, start=5)), [connection_id, start.transaction, start.id, first + 1, *folders]
        )
        return [placed_event(row) for row in found[:first]], len(found) > first

    async def first_histories(
        self, actor: Actor, connection_ids: Sequence[UUID], *, first: int
    ) -> dict[UUID, tuple[list[PlacedEvent], bool]]:
        """As `history` from the newest on, of several connections at once."""
        ids, folders = _marks(connection_ids, start=1), await self._folders_of(actor, connection_ids)
        order = "id DESC" if self._database.dialect == "sqlite" else "xid DESC, id DESC"
        statement = _NEWEST_OF_EACH.format(order=order, ids=ids, folders=_marks(folders, start=1 + len(connection_ids)), most=first + 1)
        found: dict[UUID, list[PlacedEvent]] = {id: [] for id in connection_ids}
        for row in await rows(statement, [*connection_ids, *folders]):
            placed = placed_event(row)
            found[placed.event.connection_id].append(placed)
        return {id: (events[:first], len(events) > first) for id, events in found.items()}

    async def count_histories(self, actor: Actor, connection_ids: Sequence[UUID]) -> dict[UUID, int]:
        folders = await self._folders_of(actor, connection_ids)
        events = models.ConnectionEvent.filter(connection_id__in=list(connection_ids), folder_id__in=folders)
        counted = await events.annotate(count=Count("id")).group_by("connection_id").values("connection_id", "count")
        return dict.fromkeys(connection_ids, 0) | {row["connection_id"]: row["count"] for row in counted}

    async def _folders_of(self, actor: Actor, connection_ids: Sequence[UUID]) -> list[UUID]:
        """The folders in which these connections were, as far as the actor can see them."""
        places = await rows(_PLACES.format(ids=_marks(connection_ids, start=1)), connection_ids, folder_id=UUID)
        return list(await self._access.permissions(actor, [place["folder_id"] for place in places]))

    async def _viewer(self, actor: Actor, selection: EventSelection, event: models.ConnectionEvent) -> Actor | None:
        """What is left of the actor by now, if they are to be shown this."""
        seen = await who_see(event, [actor], self._clock()) if selection.includes(event) else {}
        return seen[actor].actor if seen else None

    @contextmanager
    def _joined(self, subscriber: Subscriber) -> Iterator[Subscriber]:
        self._subscribers.add(subscriber)
        self._alone.add(subscriber)
        if self._wakeup.closed:
            subscriber.end()
        if subscriber.actor is not None:
            self._streams.setdefault(subscriber.actor, set()).add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)
            self._alone.discard(subscriber)
            self._part(subscriber)

    def _part(self, subscriber: Subscriber) -> None:
        if subscriber.actor is None:
            return
        mine = self._streams[subscriber.actor]
        mine.discard(subscriber)
        if not mine:
            del self._streams[subscriber.actor]

    async def _rest(self, subscriber: Subscriber, audience: Audience, delivery: Delivery, last: EventPosition) -> EventPosition:
        """Be in an audience until it is left; up to which position it has been served then."""
        self._alone.discard(subscriber)
        try:
            return await subscriber.rest(audience, delivery.write, last)
        finally:
            self._alone.add(subscriber)

    async def _read_for_ever(self) -> None:
        while True:
            ticket = self._wakeup.ticket()
            try:
                while not await self._read_on():
                    # However much happens, an end is not put off for it: there is another turn.
                    if ticket.is_set():
                        break
                await self._end_unknown()
            # The reader must live: while the database is away it looks again each second, and misses nothing.
            except Exception:
                logger.exception("event log not read")
            await wait(ticket, seconds=_POLL_SECONDS)

    async def _read_on(self) -> bool:
        """Offer what is there to those who are served one by one; whether that was all, or more may be there."""
        batch = await self._order.after(self._position)
        for placed in batch:
            for subscriber in self._alone:
                subscriber.offer(placed, self._clock())
            self._position = placed.position
        return self._order.was_all(batch)

    async def _end_unknown(self) -> None:
        """End the streams of those who may not ask any more: all of them are looked at at once, at each commit and each second."""
        streams = {actor: list(mine) for actor, mine in self._streams.items()}
        if streams:
            known = await self._access.known_among(set(streams), self._clock())
            for actor in streams.keys() - known:
                for subscriber in streams[actor]:
                    subscriber.end()


def _marks(values: Sequence[object], *, start: int) -> str:
    """The places for these values in a statement."""
    return ", ".join(f"${number}" for number in range(start, start + len(values))) or "NULL"
