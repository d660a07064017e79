"""Who may do what has to do with no folder."""

from typing import Annotated

import strawberry

from api.errors import NotFound, PermissionDenied
from api.graphql.context import Info
from api.graphql.errors import answering
from api.graphql.ids import id_of
from api.graphql.users import User, UserResult, UserSuccess
from api.graphql.words import OrganizationPermission, organization_permission_of


@strawberry.input(description="What a user may do that has to do with no folder.")
class SetOrganizationPermissionsInput:
    user_id: strawberry.ID = strawberry.field(description="The user.")
    permissions: list[OrganizationPermission] = strawberry.field(description="All that they may do; an empty list takes all away.")


@strawberry.type
class OrganizationPermissionMutation:
    @strawberry.mutation(description="Set what a user may do that has to do with no folder, at once. Administrators only.")
    @answering(PermissionDenied, NotFound)
    async def set_organization_permissions(
        self, info: Info, input: Annotated[SetOrganizationPermissionsInput, strawberry.argument(description="The permissions.")]
    ) -> UserResult:
        permissions = organization_permission_of(input.permissions)
        row = await info.context.patchbay.organization_permissions.set(info.context.actor, id_of(input.user_id, "user"), permissions)
        return UserSuccess(user=User.of(row, info))
