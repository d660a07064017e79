"""What happened to connections: the log, replayed and streamed."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import strawberry

from api.errors import InvalidInput
from api.events.cursors import read_cursor, write_cursor
from api.events.order import EventPosition, PlacedEvent
from api.events.selection import EventSelection
from api.graphql.connecting import Authorization
from api.graphql.connections import Connection
from api.graphql.context import Info
from api.graphql.folders import Folder, find_folder
from api.graphql.ids import graph_id, id_of
from api.graphql.statuses import StatusReason
from api.graphql.users import User
from models import ConnectionEventType, ConnectionStatus


@strawberry.type(description="Something that happened to a connection.")
class ConnectionEvent:
    placed: strawberry.Private[PlacedEvent]
    cursor: str = strawberry.field(description="Hand it to connectionStatusChanged(after:) to go on from here.")
    type: ConnectionEventType = strawberry.field(description="What happened.")
    connection_id: strawberry.ID = strawberry.field(description="To which connection.")
    connection_name: str = strawberry.field(description="What the connection was called then.")
    previous_status: ConnectionStatus | None = strawberry.field(description="Its status before, where it changed or may have.")
    status: ConnectionStatus = strawberry.field(description="Its status from then on.")
    reason: StatusReason | None = strawberry.field(description="Why the status was what it was; null where nothing was wrong.")
    at: datetime = strawberry.field(description="When.")

    @classmethod
    def of(cls, placed: PlacedEvent, info: Info) -> "ConnectionEvent":
        event = placed.event
        return cls(
            placed=placed,
            cursor=write_cursor(placed.position, info.context.patchbay.vault),
            type=event.type,
            connection_id=graph_id(event.connection_id),
            connection_name=event.connection_name,
            previous_status=event.previous_status,
            status=event.status,
            reason=StatusReason.of_optional(event.reason),
            at=event.at,
        )

    @strawberry.field(description="The connection as it is now; null once it is deleted.")
    async def connection(self, info: Info) -> Connection | None:
        row = await info.context.loaders.connection.load(self.placed.event.connection_id)
        return None if row is None else Connection.of(row)

    @strawberry.field(description="Where it happened: for a move, where the connection went. Null where that is hidden, or gone.")
    async def folder(self, info: Info) -> Folder | None:
        return await find_folder(self.placed.event.folder_id, info)

    @strawberry.field(
        description="For a move, where the connection came from. Null for everything else, and where that is hidden, or gone."
    )
    async def previous_folder(self, info: Info) -> Folder | None:
        return await find_folder(self.placed.event.previous_folder_id, info)

    @strawberry.field(description="Who did it; null where the refresh loop did.")
    async def actor(self, info: Info) -> User | None:
        actor_id = self.placed.event.actor_id
        row = None if actor_id is None else await info.context.loaders.user.load(actor_id)
        return None if row is None else User.of(row, info)


@strawberry.type
class EventSubscription:
    @strawberry.subscription(
        description="Every status change that the viewer may see, in order, none missed and none twice. `after` takes the cursor of the "
        "last event that the client has and replays what happened since; without it the stream begins now."
    )
    async def connection_status_changed(
        self,
        info: Info,
        folder_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only in this folder.")] = None,
        connection_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only of this connection.")] = None,
        connector_key: Annotated[str | None, strawberry.argument(description="Only of this connector.")] = None,
        after: Annotated[str | None, strawberry.argument(description="The cursor of the last event that the client has.")] = None,
    ) -> AsyncIterator[ConnectionEvent]:
        selection = EventSelection(
            folder_id=None if folder_id is None else id_of(folder_id, "folder"),
            connection_id=None if connection_id is None else id_of(connection_id, "connection"),
            connector_key=connector_key,
        )
        position = None if after is None else _read(after, info)
        async for placed in info.context.events(selection, position):
            yield ConnectionEvent.of(placed, info)

    @strawberry.subscription(description="One consent, as it is and at each change, until it is over.")
    async def authorization_changed(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The consent.")]
    ) -> AsyncIterator[Authorization]:
        async for row in info.context.patchbay.connecting.watch(info.context.actor, id_of(id, "consent")):
            if await info.context.viewer.look_again():
                yield Authorization.of(row, info)


def _read(cursor: str, info: Info) -> EventPosition:
    """Raises InvalidInput."""
    position = read_cursor(cursor, info.context.patchbay.vault)
    if position is None:
        raise InvalidInput({"after": "is not the cursor of an event"})
    return position
