"""Groups of users, who are given access together."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

import models
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
from api.graphql.ids import find_id, graph_id, id_of
from api.graphql.page import After, Cursors, First, Page, checked_first, name_position, page_of, written_name
from api.organization.directory import NamePosition, UserSelection

if TYPE_CHECKING:
    from api.graphql.users import User

LazyUser = Annotated["User", strawberry.lazy("api.graphql.users")]


@strawberry.type(description="Users who are given access together.")
class Group:
    row: strawberry.Private[models.Group]
    id: strawberry.ID = strawberry.field(description="Names the group for good.")
    name: str = strawberry.field(description="Its name, unlike those of the other groups.")
    from_identity_provider: bool = strawberry.field(
        description="Whether the identity provider says who is in it. Then it cannot be changed here, only be given access."
    )

    @classmethod
    def of(cls, row: models.Group) -> "Group":
        return cls(row=row, id=graph_id(row.id), name=row.name, from_identity_provider=row.external_name is not None)

    @strawberry.field(description="Who is in it, by name.")
    async def members(self, info: Info, first: First = 50, after: After = None) -> Page[LazyUser]:
        from api.graphql.users import User

        loaders, directory = info.context.loaders, info.context.patchbay.directory
        cursors, length = Cursors(info.context, "members", self.id), checked_first(first)
        position = name_position(cursors.read(after))

        async def count() -> int:
            return await loaders.member_count.load(self.row.id) or 0

        found = await loaders.first_members.load((self.row.id, length)) if position is None else None
        if found is None:
            found = await directory.users(info.context.actor, UserSelection(group_id=self.row.id), first=length, after=position)
        cursor = None if found.end is None else cursors.write(written_name(found.end))
        return page_of([User.of(row, info) for row in found.rows], cursor=cursor, has_next=found.has_next, count=count)


async def find_group(group_id: UUID | None, info: Info) -> Group | None:
    """The group, where the viewer can see it."""
    row = None if group_id is None else await info.context.loaders.group.load(group_id)
    return None if row is None else Group.of(row)


async def load_group(group_id: UUID, info: Info) -> Group:
    """A group that the viewer sees on an access list. Raises NotFound where it is deleted meanwhile."""
    found = await find_group(group_id, info)
    if found is None:
        raise NotFound("group")
    return found


@strawberry.input(description="A new group.")
class CreateGroupInput:
    name: str = strawberry.field(description="Its name: 1 to 120 characters, unlike those of the other groups.")


@strawberry.input(description="A new name for a group.")
class RenameGroupInput:
    group_id: strawberry.ID = strawberry.field(description="The group.")
    name: str = strawberry.field(description="The name: 1 to 120 characters, unlike those of the other groups.")


@strawberry.input(description="Who is in a group.")
class GroupMembersInput:
    group_id: strawberry.ID = strawberry.field(description="The group.")
    user_ids: list[strawberry.ID] = strawberry.field(description="All of its members: who is not named is in it no more.")


@strawberry.type(description="It was done.")
class GroupSuccess:
    group: Group = strawberry.field(description="The group as it is now.")


@strawberry.type(description="The group is gone, with all that was given to it.")
class DeleteGroupSuccess:
    group_id: strawberry.ID = strawberry.field(description="The group's id.")


GroupResult = Annotated[
    GroupSuccess | PermissionDeniedError | NotFoundError | InvalidInputError | NameTakenError | ConflictError,
    strawberry.union("GroupResult", description="The group, or why not."),
]
DeleteGroupResult = Annotated[
    DeleteGroupSuccess | PermissionDeniedError | NotFoundError | ConflictError,
    strawberry.union("DeleteGroupResult", description="The group's id, or why not."),
]


@strawberry.type
class GroupQuery:
    @strawberry.field(
        description="Groups that the viewer can see, by name: administrators all, everybody else their own and those on access lists."
    )
    async def groups(self, info: Info, first: First = 50, after: After = None) -> Page[Group]:
        directory, actor, cursors = info.context.patchbay.directory, info.context.actor, Cursors(info.context, "groups")
        rows, has_next = await directory.groups(actor, first=checked_first(first), after=name_position(cursors.read(after)))
        cursor = cursors.write(written_name(NamePosition(rows[-1].name_key, rows[-1].id))) if rows else None
        nodes = [Group.of(row) for row in rows]
        return page_of(nodes, cursor=cursor, has_next=has_next, count=lambda: directory.count_groups(actor))

    @strawberry.field(description="One group; null where the viewer cannot see it.")
    async def group(self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The group.")]) -> Group | None:
        return await find_group(find_id(id), info)


@strawberry.type
class GroupMutation:
    @strawberry.mutation(description="Make a group, with nobody in it. Administrators only.")
    @answering(PermissionDenied, InvalidInput, NameTaken)
    async def create_group(
        self, info: Info, input: Annotated[CreateGroupInput, strawberry.argument(description="The group.")]
    ) -> GroupResult:
        return GroupSuccess(group=Group.of(await info.context.patchbay.groups.create(info.context.actor, name=input.name)))

    @strawberry.mutation(description="Give a group another name. Administrators only; not one that the identity provider keeps.")
    @answering(PermissionDenied, NotFound, InvalidInput, NameTaken, Conflict)
    async def rename_group(
        self, info: Info, input: Annotated[RenameGroupInput, strawberry.argument(description="The name.")]
    ) -> GroupResult:
        group = await info.context.patchbay.groups.rename(info.context.actor, id_of(input.group_id, "group"), input.name)
        return GroupSuccess(group=Group.of(group))

    @strawberry.mutation(
        description="Say who is in a group. Administrators only; not of one that the identity provider keeps. What was given to the group "
        "holds for its members at once, and for nobody else any more."
    )
    @answering(PermissionDenied, NotFound, InvalidInput, Conflict)
    async def set_group_members(
        self, info: Info, input: Annotated[GroupMembersInput, strawberry.argument(description="Who is in which group.")]
    ) -> GroupResult:
        user_ids = [id_of(user_id, "user") for user_id in input.user_ids]
        group = await info.context.patchbay.groups.set_members(info.context.actor, id_of(input.group_id, "group"), user_ids)
        return GroupSuccess(group=Group.of(group))

    @strawberry.mutation(
        description="Delete a group, with all that was given to it. Administrators only; not one that the identity provider keeps, "
        "nor while a policy is for it."
    )
    @answering(PermissionDenied, NotFound, Conflict)
    async def delete_group(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The group.")]
    ) -> DeleteGroupResult:
        group_id = await info.context.patchbay.groups.delete(info.context.actor, id_of(id, "group"))
        return DeleteGroupSuccess(group_id=graph_id(group_id))
