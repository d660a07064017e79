"""Connectors of one's own: making, changing, moving connections to a new version, and taking away."""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated
from uuid import UUID

import strawberry

from api.catalog.comparing import Change
from api.connections.migrating import Fates, Preview
from api.connections.versions import Effect, Fate
from api.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from api.graphql.connections import Connection
from api.graphql.connectors import Connector, ConnectorResult, ConnectorSuccess
from api.graphql.context import Info
from api.graphql.definitions import ConnectorDefinitionArgument
from api.graphql.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError, answering
from api.graphql.ids import id_of, key_of
from api.graphql.page import After, Cursors, First, Page, checked_first, counted, page_of

_MOST_NAMED = 1000
_SHOWN = 100


@strawberry.enum(description="What becomes of the connections of a connector that is deleted.")
class ConnectionsPlan(Enum):
    DELETE = strawberry.enum_value("DELETE", description="They are deleted with it, and ended at the provider where that can be.")


@strawberry.input(description="What becomes of what uses a connector that is deleted.")
class DeleteConnectorPlan:
    connections: ConnectionsPlan = strawberry.field(description="Of its connections.")


@strawberry.type(description="The connector is no more.")
class DeleteConnectorSuccess:
    connector_key: str = strawberry.field(description="Its key.")
    deleted_connection_count: int = strawberry.field(description="How many connections were deleted with it.")
    revoked_connection_count: int = strawberry.field(description="How many of these were ended at the provider too.")


@strawberry.type(description="A field of a definition that would change.")
class DefinitionChange:
    field: str = strawberry.field(description="Its path in the input, such as `oauth2.tokenUrl`.")
    before: str | None = strawberry.field(description="What it says now; null where it is not there.")
    after: str | None = strawberry.field(description="What it would say; null where it would not be there.")

    @classmethod
    def of(cls, change: Change) -> "DefinitionChange":
        return cls(field=change.field, before=change.before, after=change.after)


@strawberry.type(description="What a new version of its connector means for a connection.")
class ConnectionUpdate:
    connection: Connection = strawberry.field(description="The connection.")
    effect: Effect = strawberry.field(description="What becomes of it.")
    reason: str | None = strawberry.field(description="Why it cannot be moved as it is; null where it can.")

    @classmethod
    def of(cls, fate: Fate) -> "ConnectionUpdate":
        return cls(connection=Connection.of(fate.connection), effect=fate.effect, reason=fate.reason)


@strawberry.type(description="What an update would do. Nothing was written.")
class PreviewConnectorUpdateSuccess:
    fates: strawberry.Private[Fates]
    key: strawberry.Private[str]
    version: int = strawberry.field(description="The version that is offered now.")
    changes: list[DefinitionChange] = strawberry.field(description="What would change; nothing: there would be no new version.")
    migrating_count: int = strawberry.field(description="How many connections could be moved as they are (`migrateConnections`).")
    reconnecting_count: int = strawberry.field(description="How many their owners would have to reconnect to move them.")
    staying_count: int = strawberry.field(description="How many could only stay with the version that they have.")
    oauth_apps_to_give_again_count: int = strawberry.field(
        name="oauthAppsToGiveAgainCount",
        description="How many OAuth apps would have to be given their secret again (`rotateOAuthAppSecret`).",
    )

    @classmethod
    def of(cls, key: str, preview: Preview) -> "PreviewConnectorUpdateSuccess":
        counts = preview.fates.counts
        return cls(
            fates=preview.fates,
            key=key,
            version=preview.version,
            changes=[DefinitionChange.of(change) for change in preview.changes],
            migrating_count=counts[Effect.MIGRATES],
            reconnecting_count=counts[Effect.MUST_RECONNECT],
            staying_count=counts[Effect.STAYS],
            oauth_apps_to_give_again_count=preview.apps_to_give_again,
        )

    @strawberry.field(description="Its connections by name, as far as the viewer can see them, with what it would mean for each.")
    async def connections(self, info: Info, first: First = 50, after: After = None) -> Page[ConnectionUpdate]:
        cursors, length = Cursors(info.context, "connector update", self.key), checked_first(first)
        position = cursors.read(after)
        rest = [fate for fate in self.fates.seen if position is None or _place(fate) > position]
        page = rest[:length]
        cursor = cursors.write(_place(page[-1])) if page else None
        nodes = [ConnectionUpdate.of(fate) for fate in page]
        return page_of(nodes, cursor=cursor, has_next=len(rest) > length, count=counted(len(self.fates.seen)))


@strawberry.input(description="Which connections to move to the version of their connector that is offered now.")
class MigrateConnectionsInput:
    connector_key: str = strawberry.field(description="The connector.")
    connection_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description=f"These, at most {_MOST_NAMED}; without it, all that are not there yet."
    )


@strawberry.type(description="What became of the connections that had another version.")
class MigrateConnectionsSuccess:
    migrated_count: int = strawberry.field(description="How many were moved.")
    reconnecting_count: int = strawberry.field(description="How many their owners must reconnect to move them: they are as they were.")
    staying_count: int = strawberry.field(description="How many can only stay with the version that they have.")
    connections: list[ConnectionUpdate] = strawberry.field(
        description=f"Those that the viewer can see, the ones that were not moved first; at most {_SHOWN}."
    )

    @classmethod
    def of(cls, fates: Fates) -> "MigrateConnectionsSuccess":
        unmoved_first = sorted(fates.seen, key=lambda fate: fate.effect is Effect.MIGRATES)
        return cls(
            migrated_count=fates.counts[Effect.MIGRATES],
            reconnecting_count=fates.counts[Effect.MUST_RECONNECT],
            staying_count=fates.counts[Effect.STAYS],
            connections=[ConnectionUpdate.of(fate) for fate in unmoved_first[:_SHOWN]],
        )


@strawberry.type(description="A connector of one's own as a connector file, which can be given to another installation.")
class ConnectorFile:
    file_name: str = strawberry.field(description="What the file must be called: its key, and `.toml`.")
    toml: str = strawberry.field(description="What is in it.")


DeleteConnectorResult = Annotated[
    DeleteConnectorSuccess | NotFoundError | PermissionDeniedError | ConflictError,
    strawberry.union("DeleteConnectorResult", description="The connector's key, or why not."),
]
PreviewConnectorUpdateResult = Annotated[
    PreviewConnectorUpdateSuccess | NotFoundError | PermissionDeniedError | InvalidInputError,
    strawberry.union("PreviewConnectorUpdateResult", description="What an update would do, or why that cannot be told."),
]
MigrateConnectionsResult = Annotated[
    MigrateConnectionsSuccess | NotFoundError | PermissionDeniedError | InvalidInputError,
    strawberry.union("MigrateConnectionsResult", description="What became of the connections, or why nothing did."),
]


@strawberry.type
class BuildingQuery:
    @strawberry.field(description="What it would do to give a connector of one's own this definition. Needs MANAGE_CONNECTORS.")
    @answering(NotFound, PermissionDenied, InvalidInput)
    async def preview_connector_update(self, info: Info, input: ConnectorDefinitionArgument) -> PreviewConnectorUpdateResult:
        preview = await info.context.patchbay.migrating.preview(info.context.actor, input.read())
        return PreviewConnectorUpdateSuccess.of(input.key, preview)

    @strawberry.field(
        description="A connector of one's own as a connector file; null where there is none with this key, and without MANAGE_CONNECTORS."
    )
    async def export_connector(self, info: Info, key: Annotated[str, strawberry.argument(description="Its key.")]) -> ConnectorFile | None:
        toml = await info.context.patchbay.building.export(info.context.actor, key)
        return None if toml is None else ConnectorFile(file_name=f"{key}.toml", toml=toml)


@strawberry.type
class BuildingMutation:
    @strawberry.mutation(description="Make a connector of one's own, which is offered here from now on. Needs MANAGE_CONNECTORS.")
    @answering(PermissionDenied, InvalidInput, Conflict)
    async def create_connector(self, info: Info, input: ConnectorDefinitionArgument) -> ConnectorResult:
        connector = await info.context.patchbay.building.create(info.context.actor, input.read())
        return ConnectorSuccess(connector=Connector.of(connector))

    @strawberry.mutation(
        description="Give a connector of one's own another definition: new connections are made with it, those that are there keep the one "
        "that they were made with (`migrateConnections`). Needs MANAGE_CONNECTORS."
    )
    @answering(PermissionDenied, NotFound, InvalidInput, Conflict)
    async def update_connector(self, info: Info, input: ConnectorDefinitionArgument) -> ConnectorResult:
        connector = await info.context.patchbay.building.update(info.context.actor, input.read())
        return ConnectorSuccess(connector=Connector.of(connector))

    @strawberry.mutation(
        description="Take away a connector of one's own, its OAuth apps and its policies. Refused while connections use it, unless the "
        "plan says what becomes of them. Needs MANAGE_CONNECTORS, and DELETE for its connections."
    )
    @answering(PermissionDenied, NotFound, Conflict)
    async def delete_connector(
        self,
        info: Info,
        key: Annotated[str, strawberry.argument(description="Its key.")],
        plan: Annotated[DeleteConnectorPlan | None, strawberry.argument(description="What becomes of what uses it.")] = None,
    ) -> DeleteConnectorResult:
        removed = await info.context.patchbay.building.delete(info.context.actor, key, with_connections=plan is not None)
        return DeleteConnectorSuccess(
            connector_key=removed.key, deleted_connection_count=removed.connections, revoked_connection_count=removed.revoked
        )

    @strawberry.mutation(
        description="Move connections to the version of their connector that is offered now, where their credentials go nowhere else with "
        "it. Needs MANAGE_CONNECTORS."
    )
    @answering(PermissionDenied, NotFound, InvalidInput)
    async def migrate_connections(
        self, info: Info, input: Annotated[MigrateConnectionsInput, strawberry.argument(description="The connections.")]
    ) -> MigrateConnectionsResult:
        ids = None if input.connection_ids is None else _ids(input.connection_ids)
        fates = await info.context.patchbay.migrating.migrate(info.context.actor, key_of(input.connector_key), ids)
        return MigrateConnectionsSuccess.of(fates)


def _ids(texts: Sequence[strawberry.ID]) -> list[UUID]:
    """Raises NotFound, and InvalidInput for too many."""
    if len(texts) > _MOST_NAMED:
        raise InvalidInput({"connectionIds": f"must not be more than {_MOST_NAMED}"})
    return [id_of(text, "connection") for text in texts]


def _place(fate: Fate) -> list[str]:
    return [fate.connection.name_key, str(fate.connection.id)]
