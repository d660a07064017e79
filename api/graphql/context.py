"""What every resolver is given."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Protocol

import strawberry

from api.access import Actor
from api.events.order import EventPosition, PlacedEvent
from api.events.selection import EventSelection
from api.graphql.loaders import Loaders
from api.graphql.viewer import Viewer
from api.patchbay import Patchbay


class Events(Protocol):
    """Where a subscription's events come from."""

    def __call__(self, selection: EventSelection, after: EventPosition | None) -> AsyncIterator[PlacedEvent]: ...


class Context:
    """`events`: where a subscription's events come from, if not from the feed."""

    __slots__ = ("_events", "loaders", "patchbay", "plan_given_up", "viewer")

    def __init__(self, patchbay: Patchbay, actor: Actor, *, events: Events | None = None) -> None:
        self.patchbay = patchbay
        self.viewer = Viewer(patchbay.access, actor)
        self.loaders = Loaders(patchbay, self.viewer)
        self._events = events
        # Whether what is asked is a query whose plan came to nothing.
        self.plan_given_up = False

    @property
    def actor(self) -> Actor:
        return self.viewer.actor

    def events(self, selection: EventSelection, after: EventPosition | None) -> AsyncIterator[PlacedEvent]:
        return self._watch(selection, after) if self._events is None else self._events(selection, after)

    async def _watch(self, selection: EventSelection, after: EventPosition | None) -> AsyncIterator[PlacedEvent]:
        async with aclosing(self.patchbay.feed.watch(self.actor, selection, after=after)) as events:
            async for shown in events:
                self.viewer.be(shown.viewer)
                yield shown


Info = strawberry.Info[Context, None]
