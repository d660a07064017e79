"""What is done to a connection that is there."""

from typing import Annotated

import strawberry

from api.errors import Conflict, InvalidInput, NameTaken, NotFound, PermissionDenied, PolicyViolation, ProviderFailure
from api.graphql.connections import Connection
from api.graphql.context import Info
from api.graphql.errors import (
    ConflictError,
    InvalidInputError,
    NameTakenError,
    NotFoundError,
    PermissionDeniedError,
    PolicyViolationError,
    ProviderError,
    answering,
)
from api.graphql.ids import graph_id, id_of


@strawberry.input(description="One connection.")
class ConnectionIdInput:
    connection_id: strawberry.ID = strawberry.field(description="The connection.")


@strawberry.input(description="A new name for a connection.")
class RenameConnectionInput:
    connection_id: strawberry.ID = strawberry.field(description="The connection. Needs EDIT in its folder.")
    name: str = strawberry.field(description="The name: 1 to 120 characters, unlike those of its folder and connector.")


@strawberry.input(description="Another place for a connection.")
class MoveConnectionInput:
    connection_id: strawberry.ID = strawberry.field(description="The connection. Needs DELETE in its folder.")
    folder_id: strawberry.ID = strawberry.field(description="The folder to bring it to. Needs CREATE there.")


@strawberry.input(description="Another owner for a connection.")
class TransferConnectionInput:
    connection_id: strawberry.ID = strawberry.field(description="The connection. Needs MANAGE in its folder, or that it is one's own.")
    user_id: strawberry.ID = strawberry.field(description="The new owner: somebody who can sign in, and sees the folder.")


@strawberry.type(description="It was done.")
class ConnectionSuccess:
    connection: Connection = strawberry.field(description="The connection as it is now.")


@strawberry.type(description="The provider took the credential.")
class VerifyConnectionSuccess:
    connection: Connection = strawberry.field(description="The connection as it is now.")
    latency_ms: int = strawberry.field(description="How long the provider took to answer, in milliseconds.")


@strawberry.type(description="The connection is gone.")
class DeleteConnectionSuccess:
    connection_id: strawberry.ID = strawberry.field(description="The connection's id.")
    revoked_at_provider: bool = strawberry.field(
        description="Whether the provider ended the grant too; false where it cannot, or did not answer."
    )
    was_default: bool = strawberry.field(description="Whether it was the default. Nothing was promoted in its place.")


ConnectionResult = Annotated[
    ConnectionSuccess | NotFoundError | PermissionDeniedError | InvalidInputError | NameTakenError | PolicyViolationError | ConflictError,
    strawberry.union("ConnectionResult", description="The connection, or why not."),
]
VerifyConnectionResult = Annotated[
    VerifyConnectionSuccess | NotFoundError | PermissionDeniedError | PolicyViolationError | ProviderError | ConflictError,
    strawberry.union("VerifyConnectionResult", description="What the provider said."),
]
DeleteConnectionResult = Annotated[
    DeleteConnectionSuccess | NotFoundError | PermissionDeniedError,
    strawberry.union("DeleteConnectionResult", description="What is gone, or why not."),
]

_OneConnection = Annotated[ConnectionIdInput, strawberry.argument(description="The connection.")]


@strawberry.type
class ManagingMutation:
    @strawberry.mutation(description="Give a connection another name.")
    @answering(NotFound, PermissionDenied, InvalidInput, NameTaken)
    async def rename_connection(
        self, info: Info, input: Annotated[RenameConnectionInput, strawberry.argument(description="The name.")]
    ) -> ConnectionResult:
        id = id_of(input.connection_id, "connection")
        connection = await info.context.patchbay.connections.rename(info.context.actor, id, input.name)
        return ConnectionSuccess(connection=Connection.of(connection))

    @strawberry.mutation(description="Make a connection the default of its folder and connector. Needs EDIT.")
    @answering(NotFound, PermissionDenied)
    async def set_default_connection(self, info: Info, input: _OneConnection) -> ConnectionResult:
        id = id_of(input.connection_id, "connection")
        return ConnectionSuccess(connection=Connection.of(await info.context.patchbay.connections.set_default(info.context.actor, id)))

    @strawberry.mutation(description="Ask the provider, now, whether the credential works. Needs USE.")
    @answering(NotFound, PermissionDenied, PolicyViolation, ProviderFailure, Conflict)
    async def verify_connection(self, info: Info, input: _OneConnection) -> VerifyConnectionResult:
        id = id_of(input.connection_id, "connection")
        verified = await info.context.patchbay.connections.verify(info.context.actor, id)
        return VerifyConnectionSuccess(connection=Connection.of(verified.connection), latency_ms=verified.latency_ms)

    @strawberry.mutation(description="Switch a connection off: nothing is asked of its provider any more. Needs EDIT.")
    @answering(NotFound, PermissionDenied)
    async def disable_connection(self, info: Info, input: _OneConnection) -> ConnectionResult:
        id = id_of(input.connection_id, "connection")
        return ConnectionSuccess(connection=Connection.of(await info.context.patchbay.connections.disable(info.context.actor, id)))

    @strawberry.mutation(
        description="Switch a connection on again: the provider is asked at once, and the status is what it says. Needs EDIT."
    )
    @answering(NotFound, PermissionDenied, PolicyViolation, Conflict)
    async def enable_connection(self, info: Info, input: _OneConnection) -> ConnectionResult:
        id = id_of(input.connection_id, "connection")
        return ConnectionSuccess(connection=Connection.of(await info.context.patchbay.connections.enable(info.context.actor, id)))

    @strawberry.mutation(
        description="Bring a connection to another folder. Its id stays, and its name, which must be free there. It is the default there "
        "only where it is the first of its connector; where it was the default, nothing takes its place. In a workspace it belongs to "
        "whose that is."
    )
    @answering(NotFound, PermissionDenied, NameTaken, Conflict)
    async def move_connection(
        self, info: Info, input: Annotated[MoveConnectionInput, strawberry.argument(description="What goes where.")]
    ) -> ConnectionResult:
        id, folder_id = id_of(input.connection_id, "connection"), id_of(input.folder_id, "folder")
        return ConnectionSuccess(connection=Connection.of(await info.context.patchbay.moving.move(info.context.actor, id, folder_id)))

    @strawberry.mutation(
        description="Give a connection another owner; its id stays. One in somebody's workspace goes into that of the new owner, and only "
        "administrators do that: they see nothing else of it."
    )
    @answering(NotFound, PermissionDenied, Conflict)
    async def transfer_connection(
        self, info: Info, input: Annotated[TransferConnectionInput, strawberry.argument(description="What goes to whom.")]
    ) -> ConnectionResult:
        id, user_id = id_of(input.connection_id, "connection"), id_of(input.user_id, "user")
        return ConnectionSuccess(connection=Connection.of(await info.context.patchbay.moving.transfer(info.context.actor, id, user_id)))

    @strawberry.mutation(
        description="Delete a connection. Revokes at the provider too, where it can. Deleting the default promotes nobody. Administrators "
        "may delete what is in others' workspaces, without seeing it."
    )
    @answering(NotFound, PermissionDenied)
    async def delete_connection(self, info: Info, input: _OneConnection) -> DeleteConnectionResult:
        id = id_of(input.connection_id, "connection")
        deleted = await info.context.patchbay.connections.delete(info.context.actor, id)
        return DeleteConnectionSuccess(
            connection_id=graph_id(deleted.connection_id),
            revoked_at_provider=deleted.revoked_at_provider,
            was_default=deleted.was_default,
        )
