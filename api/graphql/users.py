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
from api.graphql.groups import Group
from api.graphql.ids import find_id, graph_id, id_of
from api.graphql.page import After, Cursors, First, Page, checked_first, checked_search, name_position, page_of, written_name
from api.graphql.words import (
    FolderPermission,
    OrganizationPermission,
    organization_permission_of,
    organization_permissions_of,
    permission_of,
    permissions_of,
)
from api.organization.directory import UserSelection
from api.organization.tokens import prefix_of
from models import ApiTokenKind, Permission

if TYPE_CHECKING:
    from api.graphql.folders import Folder

LazyFolder = Annotated["Folder", strawberry.lazy("api.graphql.folders")]


@strawberry.type(description="A person who may sign in.")
class User:
    id: strawberry.ID = strawberry.field(description="Names the user for good.")
    name: str = strawberry.field(description="How others see them.")
    email: str | None = strawberry.field(description="Their email address; only they and administrators see it.")
    administrator: bool = strawberry.field(description="Whether they may do everything but use others' personal workspaces.")
    active: bool = strawberry.field(description="Whether they may sign in; their connections are kept alive either way.")
    organization_permissions: list[OrganizationPermission] | None = strawberry.field(
        description="What they may do that has to do with no folder; only they and administrators see it."
    )
    deactivated_at: datetime | None = strawberry.field(
        description="Since when they may not sign in; null while they may. Only administrators see it."
    )

    @classmethod
    def of(cls, row: models.User, info: Info) -> "User":
        viewer = info.context.viewer
        shows_email = viewer.may_administer or viewer.is_user(row.id)
        return cls(
            id=graph_id(row.id),
            name=row.name,
            email=row.email if shows_email else None,
            administrator=row.administrator,
            active=row.deactivated_at is None,
            organization_permissions=_organization_permissions(row) if shows_email else None,
            deactivated_at=row.deactivated_at if viewer.may_administer else None,
        )

    @strawberry.field(description="The groups that they are in, as far as the viewer sees them.")
    async def groups(self, info: Info) -> list[Group]:
        return [Group.of(row) for row in await info.context.loaders.groups_of.load(UUID(self.id)) or []]

    @strawberry.field(description="Their own folder; null for everybody but themselves.")
    async def personal_workspace(self, info: Info) -> LazyFolder | None:
        from api.graphql.folders import Folder

        row = await info.context.loaders.workspace.load(UUID(self.id))
        return None if row is None else Folder.of(row)


def _organization_permissions(row: models.User) -> list[OrganizationPermission]:
    every = models.OrganizationPermission.every()
    return organization_permissions_of(every if row.administrator else models.OrganizationPermission(row.organization_permissions))


@strawberry.type(description="A token by which a program is known. Its text is shown once, when it is made.")
class ApiToken:
    row: strawberry.Private[models.ApiToken]
    id: strawberry.ID = strawberry.field(description="Names the token for good.")
    name: str = strawberry.field(description="What it is for.")
    kind: ApiTokenKind = strawberry.field(description="Whom it is for.")
    prefix: str = strawberry.field(description="How its text begins, to recognise it by.")
    created_at: datetime = strawberry.field(description="When it was made.")
    expires_at: datetime | None = strawberry.field(description="When it ends; null where it does not.")
    last_used_at: datetime | None = strawberry.field(description="When it was last used, to the minute; null for never.")

    @classmethod
    def of(cls, row: models.ApiToken) -> "ApiToken":
        return cls(
            row=row,
            id=graph_id(row.id),
            name=row.name,
            kind=row.kind or ApiTokenKind.USER,
            prefix=prefix_of(row.kind, row.public_id),
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
        )

    @strawberry.field(description="Whose it is: it never may what they may not.")
    async def user(self, info: Info) -> User:
        return await load_user(self.row.user_id, info)

    @strawberry.field(description="What it may do at the most; null: all that its owner may.")
    def permissions(self) -> list[FolderPermission] | None:
        return None if self.row.permissions is None else permissions_of(Permission(self.row.permissions))

    @strawberry.field(description="Where it is limited: what it may all the same that has to do with no folder, if its owner may.")
    def organization_permissions(self) -> list[OrganizationPermission]:
        return organization_permissions_of(models.OrganizationPermission(self.row.organization_permissions))

    @strawberry.field(
        description="The folders that it is good for, with those below them, as far as the viewer sees them; null: all that its owner sees."
    )
    async def folders(self, info: Info) -> list[LazyFolder] | None:
        from api.graphql.folders import Folder

        if self.row.folder_ids is None:
            return None
        found = await info.context.loaders.folder.load_many([UUID(folder_id) for folder_id in self.row.folder_ids])
        return [Folder.of(row) for row in found if row is not None]


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
    kind: ApiTokenKind | None = strawberry.field(default=ApiTokenKind.USER, description="Whom it is for.")
    permissions: list[FolderPermission] | None = strawberry.field(
        default=None, description="What it may do at the most; VIEW comes with every other. Without it, all that its owner may."
    )
    folder_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="The folders that it is good for, with those below them. Without it, all that its owner sees."
    )
    organization_permissions: list[OrganizationPermission] | None = strawberry.field(
        default=None,
        description="Of a token that is limited: what it may all the same that has to do with no folder, if its owner may. One without "
        "limits may all that its owner may.",
    )


@strawberry.input(description="Which users. What is left out does not matter.")
class UserFilter:
    search: str | None = strawberry.field(
        default=None, description="A part of the name or, for who sees it, of the email address, without regard to case."
    )
    active: bool | None = strawberry.field(default=None, description="Only those who may sign in, or only others.")
    group_id: strawberry.ID | None = strawberry.field(default=None, description="In this group.")


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
    UserSuccess | PermissionDeniedError | NotFoundError | InvalidInputError | ConflictError,
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

    @strawberry.field(
        description="Users that the viewer can see, by name: administrators all, everybody else themselves and those who are on the access "
        "list of a folder that they see."
    )
    async def users(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        filter: Annotated[UserFilter | None, strawberry.argument(description="Only those who match all of it.")] = None,
    ) -> Page[User]:
        directory, actor, selection = info.context.patchbay.directory, info.context.actor, _selection(filter or UserFilter())
        cursors = Cursors(info.context, "users", str(selection))
        found = await directory.users(actor, selection, first=checked_first(first), after=name_position(cursors.read(after)))
        cursor = None if found.end is None else cursors.write(written_name(found.end))
        nodes = [User.of(row, info) for row in found.rows]
        return page_of(nodes, cursor=cursor, has_next=found.has_next, count=lambda: directory.count_users(actor, selection))

    @strawberry.field(description="One user; null where the viewer cannot see them.")
    async def user(self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The user.")]) -> User | None:
        known = find_id(id)
        row = None if known is None else await info.context.loaders.seen_user.load(known)
        return None if row is None else User.of(row, info)

    @strawberry.field(
        description="API tokens that are not revoked, the newest first: one's own; for administrators all, or those of one user."
    )
    async def tokens(
        self,
        info: Info,
        user_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only those of this user.")] = None,
        first: First = 50,
        after: After = None,
    ) -> Page[ApiToken]:
        people, actor, cursors = info.context.patchbay.people, info.context.actor, Cursors(info.context, "tokens", user_id)
        # What is no id names nobody, and nobody has tokens.
        owner_id = None if user_id is None else find_id(user_id) or UUID(int=0)
        written = cursors.read(after)
        position = None if written is None else (datetime.fromisoformat(written[0]), UUID(written[1]))
        rows, has_next = await people.tokens_page(actor, user_id=owner_id, first=checked_first(first), after=position)
        cursor = cursors.write([rows[-1].created_at.isoformat(), str(rows[-1].id)]) if rows else None
        nodes = [ApiToken.of(row) for row in rows]
        return page_of(nodes, cursor=cursor, has_next=has_next, count=lambda: people.count_tokens(actor, user_id=owner_id))


@strawberry.type
class UserMutation:
    @strawberry.mutation(description="Make a user, with a personal workspace. Administrators only.")
    @answering(PermissionDenied, InvalidInput, Conflict)
    async def create_user(self, info: Info, input: Annotated[CreateUserInput, strawberry.argument(description="The user.")]) -> UserResult:
        people = info.context.patchbay.people
        user = await people.create_user(info.context.actor, name=input.name, email=input.email, administrator=bool(input.administrator))
        return UserSuccess(user=User.of(user, info))

    @strawberry.mutation(
        description="Let a user sign in no more: all that they are signed in with ends at once, and what they stream. Their connections go "
        "on working, and can be given to others. Administrators only, and not for oneself."
    )
    @answering(PermissionDenied, NotFound, Conflict)
    async def deactivate_user(self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The user.")]) -> UserResult:
        user = await info.context.patchbay.people.deactivate(info.context.actor, id_of(id, "user"))
        return UserSuccess(user=User.of(user, info))

    @strawberry.mutation(description="Let a user sign in again. What they were signed in with stays ended. Administrators only.")
    @answering(PermissionDenied, NotFound)
    async def reactivate_user(self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The user.")]) -> UserResult:
        user = await info.context.patchbay.people.reactivate(info.context.actor, id_of(id, "user"))
        return UserSuccess(user=User.of(user, info))

    @strawberry.mutation(description="Make an API token. It is shown once, here. A token that is limited itself makes none.")
    @answering(NotFound, PermissionDenied, InvalidInput)
    async def create_api_token(
        self, info: Info, input: Annotated[CreateApiTokenInput, strawberry.argument(description="The token.")]
    ) -> CreateApiTokenResult:
        user_id = None if input.user_id is None else id_of(input.user_id, "user")
        folder_ids = None if input.folder_ids is None else tuple(id_of(folder_id, "folder") for folder_id in input.folder_ids)
        new = await info.context.patchbay.people.create_token(
            info.context.actor,
            name=input.name,
            user_id=user_id,
            kind=input.kind or ApiTokenKind.USER,
            expires_at=input.expires_at,
            permissions=None if input.permissions is None else permission_of(input.permissions),
            folder_ids=folder_ids,
            organization=None if input.organization_permissions is None else organization_permission_of(input.organization_permissions),
        )
        return CreateApiTokenSuccess(api_token=ApiToken.of(new.row), token=new.token.reveal())

    @strawberry.mutation(description="End an API token at once: one's own, or anyone's by an administrator.")
    @answering(NotFound)
    async def revoke_api_token(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The token.")]
    ) -> RevokeApiTokenResult:
        token_id = await info.context.patchbay.people.revoke_token(info.context.actor, id_of(id, "API token"))
        return RevokeApiTokenSuccess(api_token_id=graph_id(token_id))


def _selection(wanted: UserFilter) -> UserSelection:
    """Raises InvalidInput."""
    group_id = find_id(wanted.group_id)
    return UserSelection(
        search=checked_search(wanted.search),
        active=wanted.active,
        group_id=group_id,
        nobody=wanted.group_id is not None and group_id is None,
    )
