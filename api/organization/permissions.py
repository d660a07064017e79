"""What a user may do that has to do with no folder: administrators give it, and take it away."""

from uuid import UUID

import models
from api.access import Access, Actor
from api.audit import Audit
from api.errors import NotFound
from models import OrganizationPermission
from models.database import transaction


class OrganizationPermissions:
    def __init__(self, *, access: Access, audit: Audit) -> None:
        self._access = access
        self._audit = audit

    async def set(self, actor: Actor, user_id: UUID, permissions: OrganizationPermission) -> models.User:
        """This and nothing else, at once: what they do at this moment ends first. Administrators only.

        Raises PermissionDenied, NotFound.
        """
        async with self._audit.act(actor, "user.set_permissions", user_id) as act, transaction():
            await self._access.hold([actor.user_id, user_id])
            await self._access.require_administrator(actor)
            user = await models.User.get_or_none(id=user_id)
            if user is None:
                raise NotFound("user")
            user.organization_permissions = permissions.value
            await user.save(update_fields=["organization_permissions"])
            named = ", ".join(str(each.name) for each in permissions) or "none"
            await act.done(subject_name=user.name, detail=named)
        return user
