"""Folders, and who may do what in them."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

import models
from api.connections.query import ConnectionQuery
from api.connections.reading import Each
from api.errors import Conflict, InvalidInput, NameTaken, NotFound, PermissionDenied
from api.graphql.context import Info
from api.graphql.errors import (
    ConflictError,
    InvalidInputError,
    NameTakenError,
    NotFoundError,
    PermissionDeniedError,
    answering,
)
from api.graphql.groups import Group, load_group
from api.graphql.ids import find_id, graph_id, id_of
from api.graphql.listing import Filtered, Ordered, connection_page, ordered_query
from api.graphql.page import After, Cursors, First, Page, checked_first, counted, page_of
from api.graphql.plans.records import in_column, lists_records
from api.graphql.users import User, load_user
from api.graphql.words import FolderPermission, permission_of, permissions_of, word_of
from api.organization.folders import Grant, GroupGrant
from models import FolderKind

if TYPE_CHECKING:
    from api.graphql.connections import Connection

LazyConnection = Annotated["Connection", strawberry.lazy("api.graphql.connections")]


@strawberry.type(description="What one user may do in a folder.")
class FolderAccess:
    grant: strawberry.Private[Grant]

    @strawberry.field(description="Who.")
    async def user(self, info: Info) -> User:
        return await load_user(self.grant.user_id, info)

    @strawberry.field(description="What they may do.")
    def permissions(self) -> list[FolderPermission]:
        return permissions_of(self.grant.permissions)

    @strawberry.field(description="The folder above that this comes from; null where it was given here, or where that folder is hidden.")
    async def inherited_from(self, info: Info) -> "Folder | None":
        return await find_folder(self.grant.inherited_from, info)


@strawberry.type(description="What everybody in a group may do in a folder.")
class FolderGroupAccess:
    grant: strawberry.Private[GroupGrant]

    @strawberry.field(description="Which group.")
    async def group(self, info: Info) -> Group:
        return await load_group(self.grant.group_id, info)

    @strawberry.field(description="What its members may do.")
    def permissions(self) -> list[FolderPermission]:
        return permissions_of(self.grant.permissions)

    @strawberry.field(description="The folder above that this comes from; null where it was given here, or where that folder is hidden.")
    async def inherited_from(self, info: Info) -> "Folder | None":
        return await find_folder(self.grant.inherited_from, info)


@strawberry.type(description="A place for connections, and the boundary of who may use them.")
class Folder:
    row: strawberry.Private[models.Folder]
    id: strawberry.ID = strawberry.field(description="Names the folder for good.", metadata=in_column("id"))
    name: str = strawberry.field(description="Its name, unlike those beside it.", metadata=in_column("name"))
    kind: FolderKind = strawberry.field(description="Whose it is.", metadata=in_column("kind", word_of(FolderKind)))

    @classmethod
    def of(cls, row: models.Folder) -> "Folder":
        return cls(row=row, id=graph_id(row.id), name=row.name, kind=row.kind)

    @strawberry.field(description="The names from the uppermost folder that the viewer can see down to this one, with slashes between.")
    async def path(self, info: Info) -> str:
        return await info.context.loaders.path.load(self.row.id) or self.name

    @strawberry.field(description="The folder above; null at the top, or where it is hidden.")
    async def parent(self, info: Info) -> "Folder | None":
        return await find_folder(self.row.parent_id, info)

    @strawberry.field(description="The folders directly below.")
    async def children(self, info: Info) -> "list[Folder]":
        return [Folder.of(row) for row in await info.context.loaders.children.load(self.row.id) or []]

    @strawberry.field(description="What the viewer may do here.")
    async def permissions(self, info: Info) -> list[FolderPermission]:
        return permissions_of(await info.context.loaders.permissions.load(self.row.id))

    @strawberry.field(description="Which users may do what here by name, with what is inherited.")
    async def access(self, info: Info) -> list[FolderAccess]:
        return [FolderAccess(grant=grant) for grant in await info.context.loaders.grants.load(self.row.id) or []]

    @strawberry.field(description="Which groups may do what here, with what is inherited.")
    async def group_access(self, info: Info) -> list[FolderGroupAccess]:
        return [FolderGroupAccess(grant=grant) for grant in await info.context.loaders.group_grants.load(self.row.id) or []]

    @strawberry.field(description="The connections in this folder.", metadata=lists_records("nodes"))
    async def connections(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        filter: Filtered = None,
        order_by: Ordered = None,
    ) -> Page[LazyConnection]:
        query = ordered_query(ConnectionQuery(folder_id=self.row.id), filter, order_by)
        return await connection_page(info, query, first=first, after=after, each=Each.FOLDER)


async def find_folder(folder_id: UUID | None, info: Info) -> Folder | None:
    row = None if folder_id is None else await info.context.loaders.folder.load(folder_id)
    return None if row is None else Folder.of(row)


@strawberry.input(description="A new folder.")
class CreateFolderInput:
    name: str = strawberry.field(description="Its name: 1 to 120 characters, unlike those beside it.")
    parent_id: strawberry.ID | None = strawberry.field(
        default=None, description="The shared folder to make it in; without it, it is made at the top, by administrators only."
    )


@strawberry.input(description="A new name for a folder.")
class RenameFolderInput:
    folder_id: strawberry.ID = strawberry.field(description="The folder.")
    name: str = strawberry.field(description="The name: 1 to 120 characters, unlike those beside it.")


@strawberry.input(description="What a user may do in a folder.")
class FolderAccessInput:
    folder_id: strawberry.ID = strawberry.field(description="The shared folder.")
    user_id: strawberry.ID = strawberry.field(description="The user.")
    permissions: list[FolderPermission] = strawberry.field(
        description="All that they may do; VIEW comes with every other. None takes all away."
    )


@strawberry.input(description="What a group may do in a folder.")
class FolderGroupAccessInput:
    folder_id: strawberry.ID = strawberry.field(description="The shared folder.")
    group_id: strawberry.ID = strawberry.field(description="The group.")
    permissions: list[FolderPermission] = strawberry.field(
        description="All that its members may do; VIEW comes with every other. None takes all away."
    )


@strawberry.type(description="It was done.")
class FolderSuccess:
    folder: Folder = strawberry.field(description="The folder as it is now.")


@strawberry.type(description="The folder is gone.")
class DeleteFolderSuccess:
    folder_id: strawberry.ID = strawberry.field(description="The folder's id.")


FolderResult = Annotated[
    FolderSuccess | NotFoundError | PermissionDeniedError | InvalidInputError | NameTakenError,
    strawberry.union("FolderResult", description="The folder, or why not."),
]
DeleteFolderResult = Annotated[
    DeleteFolderSuccess | NotFoundError | PermissionDeniedError | InvalidInputError | ConflictError,
    strawberry.union("DeleteFolderResult", description="The folder's id, or why not."),
]


@strawberry.type
class FolderQuery:
    @strawberry.field(description="Folders that the viewer can see, the personal workspace first, then by path.")
    async def folders(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
    ) -> Page[Folder]:
        cursors = Cursors(info.context, "folders")
        position = cursors.read(after)
        rows, has_next, total = await info.context.patchbay.folders.page(
            info.context.actor, first=checked_first(first), after=None if position is None else UUID(position)
        )
        cursor = cursors.write(str(rows[-1].id)) if rows else None
        return page_of([Folder.of(row) for row in rows], cursor=cursor, has_next=has_next, count=counted(total))

    @strawberry.field(description="One folder; null where the viewer cannot see it.")
    async def folder(self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The folder.")]) -> Folder | None:
        return await find_folder(find_id(id), info)


@strawberry.type
class FolderMutation:
    @strawberry.mutation(description="Make a shared folder. Whoever makes it gets every permission in it.")
    @answering(NotFound, PermissionDenied, InvalidInput, NameTaken)
    async def create_folder(
        self, info: Info, input: Annotated[CreateFolderInput, strawberry.argument(description="The folder.")]
    ) -> FolderResult:
        parent_id = None if input.parent_id is None else id_of(input.parent_id, "folder")
        folder = await info.context.patchbay.folders.create(info.context.actor, name=input.name, parent_id=parent_id)
        return FolderSuccess(folder=Folder.of(folder))

    @strawberry.mutation(description="Give a folder another name.")
    @answering(NotFound, PermissionDenied, InvalidInput, NameTaken)
    async def rename_folder(
        self, info: Info, input: Annotated[RenameFolderInput, strawberry.argument(description="The name.")]
    ) -> FolderResult:
        folder = await info.context.patchbay.folders.rename(info.context.actor, id_of(input.folder_id, "folder"), input.name)
        return FolderSuccess(folder=Folder.of(folder))

    @strawberry.mutation(description="Delete a shared folder. Refused while connections or folders are in it.")
    @answering(NotFound, PermissionDenied, InvalidInput, Conflict)
    async def delete_folder(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The folder.")]
    ) -> DeleteFolderResult:
        folder_id = await info.context.patchbay.folders.delete(info.context.actor, id_of(id, "folder"))
        return DeleteFolderSuccess(folder_id=graph_id(folder_id))

    @strawberry.mutation(
        description="Set what a user may do in a shared folder and in those below it; an empty list takes all away. Needs MANAGE. One can "
        "give no more than one may do oneself, and only administrators can take the last MANAGE away."
    )
    @answering(NotFound, PermissionDenied, InvalidInput)
    async def set_folder_access(
        self, info: Info, input: Annotated[FolderAccessInput, strawberry.argument(description="Who may do what, where.")]
    ) -> FolderResult:
        folder_id, user_id = id_of(input.folder_id, "folder"), id_of(input.user_id, "user")
        permissions = permission_of(input.permissions)
        folder = await info.context.patchbay.folders.set_access(info.context.actor, folder_id, user_id, permissions)
        return FolderSuccess(folder=Folder.of(folder))

    @strawberry.mutation(description="Set what everybody in a group may do in a shared folder and in those below it; as setFolderAccess.")
    @answering(NotFound, PermissionDenied, InvalidInput)
    async def set_folder_group_access(
        self, info: Info, input: Annotated[FolderGroupAccessInput, strawberry.argument(description="Which group may do what, where.")]
    ) -> FolderResult:
        folder_id, group_id = id_of(input.folder_id, "folder"), id_of(input.group_id, "group")
        permissions = permission_of(input.permissions)
        folder = await info.context.patchbay.folders.set_group_access(info.context.actor, folder_id, group_id, permissions)
        return FolderSuccess(folder=Folder.of(folder))
