"""Connections, as they are read."""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, cast

import strawberry

import models
from api.connections.pages import record
from api.connections.query import ConnectionQuery
from api.errors import NotFound
from api.events.order import EventPosition
from api.graphql.connectors import Connector, connector_as_found, connector_named, find_connector
from api.graphql.context import Info
from api.graphql.folders import Folder, find_folder
from api.graphql.ids import find_id, graph_id, key_of
from api.graphql.listing import Filtered, Ordered, connection_page, ordered_query
from api.graphql.oauth_apps import OAuthApp
from api.graphql.page import After, Cursors, First, Page, checked_first, page_of
from api.graphql.plans.reading import for_all
from api.graphql.plans.records import Records, beside, columns_asked, found_by, in_column, lists_records
from api.graphql.statuses import StatusReason
from api.graphql.users import User, load_user
from api.graphql.words import FolderPermission, permissions_of, word_of
from models import AuthenticationType, ConnectionStatus
from models.database import read_jsons, texts_of_times

if TYPE_CHECKING:
    from api.graphql.events import ConnectionEvent

LazyConnectionEvent = Annotated["ConnectionEvent", strawberry.lazy("api.graphql.events")]


async def _folders_of(connections: "Sequence[Connection]", info: Info) -> list[Folder | None]:
    ids = [connection.row.folder_id for connection in connections]
    distinct = list(dict.fromkeys(ids))
    found = dict(zip(distinct, await info.context.loaders.folder.load_many(distinct), strict=True))
    # One that is hidden is null here, so that this is given up and each connection asked for its own.
    folders = {id: Folder.of(row) for id, row in found.items() if row is not None}
    return [folders.get(id) for id in ids]


@strawberry.type(description="An account at a provider, kept in a folder, and kept alive.")
class Connection:
    row: strawberry.Private[models.Connection]
    id: strawberry.ID = strawberry.field(
        description="Names the connection for good; reconnecting and renaming do not change it.", metadata=in_column("id")
    )
    name: str = strawberry.field(description="Its name, unlike those of its folder and connector.", metadata=in_column("name"))
    authentication_type: AuthenticationType = strawberry.field(
        description="How it authenticates.", metadata=in_column("authentication_type", word_of(AuthenticationType))
    )
    option: str | None = strawberry.field(
        description="The key of its authentication option; null where it was made before there were several.",
        metadata=in_column("option_key"),
    )
    connector_version: int | None = strawberry.field(
        description="Of a connector of one's own, the version that it was made with, or moved to; null where a file is the connector.",
        metadata=in_column("connector_version"),
    )
    status: ConnectionStatus = strawberry.field(description="Its state.", metadata=in_column("status", word_of(ConnectionStatus)))
    status_reason: StatusReason | None = strawberry.field(
        description="Why its status is what it is; null where nothing is wrong.", metadata=in_column("reason_json", StatusReason.of_json)
    )
    status_changed_at: datetime = strawberry.field(
        description="Since when its status is what it is.", metadata=in_column("status_changed_at", answers=texts_of_times)
    )
    is_default: bool = strawberry.field(
        description="Whether it is what a workflow gets that names only the folder and the connector.",
        metadata=in_column("is_default", bool),
    )
    account: str | None = strawberry.field(description="Who the provider says is signed in.", metadata=in_column("account"))
    scopes: list[str] = strawberry.field(description="The scopes that were granted.", metadata=in_column("scopes", answers=read_jsons))
    missing_scopes: list[str] = strawberry.field(
        description="The scopes that were asked for and not granted.", metadata=in_column("missing_scopes", answers=read_jsons)
    )
    expires_at: datetime | None = strawberry.field(
        description="When the access token ends; null where it does not.", metadata=in_column("expires_at", answers=texts_of_times)
    )
    next_refresh_at: datetime | None = strawberry.field(
        description="When it is renewed next; null where it is not.", metadata=in_column("next_refresh_at", answers=texts_of_times)
    )
    last_refreshed_at: datetime | None = strawberry.field(
        description="When it was last renewed.", metadata=in_column("last_refreshed_at", answers=texts_of_times)
    )
    last_verified_at: datetime | None = strawberry.field(
        description="When the provider last took the credential.", metadata=in_column("last_verified_at", answers=texts_of_times)
    )
    last_used_at: datetime | None = strawberry.field(
        description="When its credential was last given out.", metadata=in_column("last_used_at", answers=texts_of_times)
    )
    created_at: datetime = strawberry.field(description="When it was made.", metadata=in_column("created_at", answers=texts_of_times))
    updated_at: datetime = strawberry.field(
        description="When something about it last changed.", metadata=in_column("updated_at", answers=texts_of_times)
    )

    @classmethod
    def of(cls, row: models.Connection) -> "Connection":
        return cls(
            row=row,
            id=graph_id(row.id),
            name=row.name,
            authentication_type=row.authentication_type,
            option=row.option_key,
            connector_version=row.connector_version,
            status=row.status,
            status_reason=StatusReason.of_optional(row.reason),
            status_changed_at=row.status_changed_at,
            is_default=row.is_default,
            account=row.account,
            scopes=row.scopes,
            missing_scopes=row.missing_scopes,
            expires_at=row.expires_at,
            next_refresh_at=row.next_refresh_at,
            last_refreshed_at=row.last_refreshed_at,
            last_verified_at=row.last_verified_at,
            last_used_at=row.last_used_at,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    @strawberry.field(
        description="What it connects to.",
        metadata=found_by("connector_key", find_connector, connector_as_found, key_of=attrgetter("row.connector_key")),
    )
    def connector(self, info: Info) -> Connector:
        return connector_named(self.row.connector_key, info)

    @strawberry.field(description="Where it is.", metadata={**for_all(_folders_of), **beside("folder")})
    async def folder(self, info: Info) -> Folder:
        folder = await find_folder(self.row.folder_id, info)
        if folder is not None:
            return folder
        # What a deactivated owner left is all that is shown of a folder that the viewer cannot see.
        left_behind = await info.context.loaders.left_behind.load(self.row.folder_id)
        if left_behind is None:
            # Whoever sees a connection sees its folder; unless that was taken from them since the connection was read.
            raise NotFound("folder")
        return Folder.of(left_behind)

    @strawberry.field(description="Whose it is.")
    async def owner(self, info: Info) -> User:
        return await load_user(self.row.owner_id, info)

    @strawberry.field(name="oauthApp", description="The OAuth app that it signs in with; null without one.")
    async def oauth_app(self, info: Info) -> OAuthApp | None:
        app = None if self.row.oauth_app_id is None else await info.context.loaders.oauth_app.load(self.row.oauth_app_id)
        return None if app is None else OAuthApp.of(app)

    @strawberry.field(description="What the viewer may do with it.")
    async def permissions(self, info: Info) -> list[FolderPermission]:
        return permissions_of(await info.context.loaders.permissions.load(self.row.folder_id))

    @strawberry.field(description="What happened to it, newest first.")
    async def events(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
    ) -> Page[LazyConnectionEvent]:
        from api.graphql.events import ConnectionEvent

        loaders, cursors = info.context.loaders, Cursors(info.context, "events", self.id)
        length, position = checked_first(first), cursors.read(after)

        async def count() -> int:
            return await loaders.history_count.load(self.row.id) or 0

        if position is None:
            found, has_next = await loaders.first_history.load((self.row.id, length)) or ([], False)
        else:
            feed, before = info.context.patchbay.feed, EventPosition(*position)
            found, has_next = await feed.history(info.context.actor, self.row.id, first=length, before=before)
        cursor = cursors.write(tuple(found[-1].position)) if found else None
        nodes = [ConnectionEvent.of(placed, info) for placed in found]
        return page_of(nodes, cursor=cursor, has_next=has_next, count=count)


@strawberry.type(description="How many connections are in a state.")
class StatusCount:
    status: ConnectionStatus = strawberry.field(description="The state.")
    count: int = strawberry.field(description="How many are in it.")


@strawberry.type(description="How the connections of one connector are.")
class ConnectorHealth:
    connector: Connector = strawberry.field(description="The connector.")
    total: int = strawberry.field(description="How many connections it has.")
    by_status: list[StatusCount] = strawberry.field(description="How many are in which state; states that none is in are left out.")


@strawberry.type(description="How all connections are that the viewer can see.")
class Health:
    total: int = strawberry.field(description="How many there are.")
    by_status: list[StatusCount] = strawberry.field(description="How many are in which state.")
    by_connector: list[ConnectorHealth] = strawberry.field(description="The same for each connector, by name.")


@strawberry.type
class ConnectionQueries:
    @strawberry.field(description="Connections in one folder, or in every folder that the viewer can see.", metadata=lists_records("nodes"))
    async def connections(
        self,
        info: Info,
        folder_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only in this folder.")] = None,
        first: First = 50,
        after: After = None,
        filter: Filtered = None,
        order_by: Ordered = None,
    ) -> Page[Connection]:
        return await connection_page(info, ordered_query(within(folder_id), filter, order_by), first=first, after=after)

    @strawberry.field(description="One connection; null where the viewer cannot see it.", metadata=lists_records(""))
    async def connection(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The connection.")]
    ) -> Connection | None:
        key, columns = find_id(id), columns_asked(info)
        if key is not None and columns is not None and (rows := await record(info.context.actor, key, columns)) is not None:
            # In the place of the object: a plan, which asked for these columns, makes none.
            found: Any = Records.of(rows) if rows else None
            return cast("Connection | None", found)
        return await find_connection(id, info)

    @strawberry.field(description="What a workflow gets that names only a folder and a connector; null where there is no default.")
    async def default_connection(
        self,
        info: Info,
        folder_id: Annotated[strawberry.ID, strawberry.argument(description="The folder.")],
        connector_key: Annotated[str, strawberry.argument(description="The connector.")],
    ) -> Connection | None:
        reading, id = info.context.patchbay.reading, find_id(folder_id)
        row = None if id is None else await reading.find_default(info.context.actor, id, key_of(connector_key))
        return None if row is None else Connection.of(row)

    @strawberry.field(description="How many connections are in which status, overall and per connector: the fleet at a glance.")
    async def health(
        self, info: Info, folder_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only in this folder.")] = None
    ) -> Health:
        counts = await info.context.patchbay.reading.health(info.context.actor, within(folder_id))
        return _health(counts.by_connector, info)


async def find_connection(id_text: strawberry.ID, info: Info) -> Connection | None:
    id = find_id(id_text)
    row = None if id is None else await info.context.loaders.connection.load(id)
    return None if row is None else Connection.of(row)


def within(folder_id: strawberry.ID | None) -> ConnectionQuery:
    """All of one folder, or of all folders. What is no id is the name of no folder, and nothing is in it."""
    return ConnectionQuery(folder_id=find_id(folder_id), nowhere=folder_id is not None and find_id(folder_id) is None)


def _health(by_connector: dict[str, dict[ConnectionStatus, int]], info: Info) -> Health:
    overall = {status: sum(counts.get(status, 0) for counts in by_connector.values()) for status in ConnectionStatus}
    connectors = [
        ConnectorHealth(connector=connector_named(key, info), total=sum(counts.values()), by_status=_counts(counts))
        for key, counts in by_connector.items()
    ]
    return Health(
        total=sum(overall.values()),
        by_status=_counts(overall),
        by_connector=sorted(connectors, key=lambda health: (health.connector.name.casefold(), health.connector.key)),
    )


def _counts(counts: dict[ConnectionStatus, int]) -> list[StatusCount]:
    return [StatusCount(status=status, count=counts[status]) for status in ConnectionStatus if counts.get(status)]
