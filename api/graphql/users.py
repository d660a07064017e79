"""People and their API tokens."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

import models
from api.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from api.graphql.context import Info
from api.graphql.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    answering,
)
from api.graphql.ids import graph_id, id_of

if TYPE_CHECKING:
    from api.graphql.folders import Folder

LazyFolder = Annotated["Folder", strawberry.lazy("api.graphql.folders")]


@strawberry.type(description="A person who may sign in.")
class User:
    id: strawberry.ID = strawberry.field(description="Names the user for good.")
    name: str = strawberry.field(description="How others see them.")
    email: str | None = strawberry.field(description="Their email address; only they and administrators see it.")
    administrator: bool = strawberry.field(description="Whether they may do everything but use others' personal workspaces.")

    @classmethod
    def of(cls, row: models.User, info: Info) -> "User":
        actor = info.context.actor
        shows_email = actor.administrator or actor.user_id == row.id
        return cls(id=graph_id(row.id), name=row.name, email=row.email if shows_email else None, administrator=row.administrator)

    @strawberry.field(description="Their own folder; null for everybody but themselves.")
    async def personal_workspace(self, info: Info) -> LazyFolder | None:
        from api.graphql.folders import Folder

        row = await info.context.loaders.workspace.load(UUID(self.id))
        return None if row is None else Folder.of(row)


@strawberry.type(description="A token by which a program is known. Its text is shown once, when it is made.")
class ApiToken:
    id: strawberry.ID = strawberry.field(description="Names the token for good.")
    name: str = strawberry.field(description="What it is for.")
    prefix: str = strawberry.field(description="How its text begins, to recognise it by.")
    created_at: datetime = strawberry.field(description="When it was made.")
    expires_at: datetime | None = strawberry.field(description="When it ends; null where it does not.")
    last_used_at: datetime | None = strawberry.field(description="When it was last used, to the minute; null for never.")

    @classmethod
    def of(cls, row: models.ApiToken) -> "ApiToken":
        return cls(
            id=graph_id(row.id),
            name=row.name,
            prefix=f"pb_user_{row.public_id}",
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
        )


async def load_user(user_id: UUID, info: Info) -> User:
    """The user with this id. Raises NotFound."""
    row = await info.context.loaders.user.load(user_id)
    if row is None:
        raise NotFound("user")
    return User.of(row, info)


@strawberry.input(description="A new user.")
class CreateUserInput:
    name: str = strawberry.field(description="How others see them: 1 to 120 characters.")
    email: str | None = strawberry.field(default=None, description="Their email address; no two users have the same.")
    administrator: bool | None = strawberry.field(
        default=False, description="Whether they may do everything but use others' personal workspaces."
    )


@strawberry.input(description="A new API token.")
class CreateApiTokenInput:
    name: str = strawberry.field(description="What it is for: 1 to 120 characters.")
    user_id: strawberry.ID | None = strawberry.field(default=None, description="Whose it is; for others by administrators only.")
    expires_at: datetime | None = strawberry.field(default=None, description="When it ends; without it, it does not.")


@strawberry.type(description="The user was made.")
class UserSuccess:
    user: User = strawberry.field(description="The user.")


@strawberry.type(description="The token was made.")
class CreateApiTokenSuccess:
    api_token: ApiToken = strawberry.field(description="What can be known of it later.")
    token: str = strawberry.field(description="The token itself: it is shown here, and never again.")


@strawberry.type(description="The token is no longer good.")
class RevokeApiTokenSuccess:
    api_token_id: strawberry.ID = strawberry.field(description="The token's id.")


UserResult = Annotated[
    UserSuccess | PermissionDeniedError | InvalidInputError | ConflictError,
    strawberry.union("UserResult", description="The user, or why not."),
]
CreateApiTokenResult = Annotated[
    CreateApiTokenSuccess | NotFoundError | PermissionDeniedError | InvalidInputError,
    strawberry.union("CreateApiTokenResult", description="The token, or why not."),
]
RevokeApiTokenResult = Annotated[
    RevokeApiTokenSuccess | NotFoundError, strawberry.union("RevokeApiTokenResult", description="The token's id, or why not.")
]


@strawberry.type
class UserQuery:
    @strawberry.field(description="Who is asking.")
    async def viewer(self, info: Info) -> User:
        return await load_user(info.context.actor.user_id, info)


@strawberry.type
class UserMutation:
    @strawberry.mutation(description="Make a user, with a personal workspace. Administrators only.")
    @answering(PermissionDenied, InvalidInput, Conflict)
    async def create_user(self, info: Info, input: Annotated[CreateUserInput, strawberry.argument(description="The user.")]) -> UserResult:
        people = info.context.patchbay.people
        user = await people.create_user(info.context.actor, name=input.name, email=input.email, administrator=bool(input.administrator))
        return UserSuccess(user=User.of(user, info))

    @strawberry.mutation(description="Make an API token. It is shown once, here.")
    @answering(NotFound, PermissionDenied, InvalidInput)
    async def create_api_token(
        self, info: Info, input: Annotated[CreateApiTokenInput, strawberry.argument(description="The token.")]
    ) -> CreateApiTokenResult:
        user_id = None if input.user_id is None else id_of(input.user_id, "user")
        new = await info.context.patchbay.people.create_token(
            info.context.actor, name=input.name, user_id=user_id, expires_at=input.expires_at
        )
        return CreateApiTokenSuccess(api_token=ApiToken.of(new.row), token=new.token.reveal())

    @strawberry.mutation(description="End an API token at once: one's own, or anyone's by an administrator.")
    @answering(NotFound)
    async def revoke_api_token(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The token.")]
    ) -> RevokeApiTokenResult:
        token_id = await info.context.patchbay.people.revoke_token(info.context.actor, id_of(id, "API token"))
        return RevokeApiTokenSuccess(api_token_id=graph_id(token_id))
