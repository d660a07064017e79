"""Who may do what. One vocabulary of permissions; a denial never tells that something exists which the actor may not see.

A grant in a folder holds for every folder below it. A personal workspace is its owner's alone, administrators included; in every
shared folder an administrator may do everything.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import models
from api.errors import NotFound, PermissionDenied
from models import FolderKind, Permission
from models.database import rows

_IN_A_WORKSPACE = Permission.every() & ~Permission.MANAGE

_GRANTS_DOWNWARD = """
WITH RECURSIVE reach(folder_id, permissions) AS (
  SELECT folder_id, permissions FROM folder_grant WHERE user_id = $1
  UNION ALL
  SELECT folder.id, reach.permissions FROM folder JOIN reach ON folder.parent_id = reach.folder_id
)
SELECT folder_id, permissions FROM reach
"""

_GRANTS_UPWARD = """
WITH RECURSIVE above(origin, id, parent_id) AS (
  SELECT id, id, parent_id FROM folder WHERE id IN ({marks})
  UNION ALL
  SELECT above.origin, folder.id, folder.parent_id FROM folder JOIN above ON folder.id = above.parent_id
)
SELECT above.origin AS folder_id, folder_grant.permissions
FROM above JOIN folder_grant ON folder_grant.folder_id = above.id AND folder_grant.user_id = $1
"""


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever asks, once they are known."""

    user_id: UUID
    name: str
    administrator: bool = False


class Access:
    """Answers what an actor may do, from the grants as they are now. Keeps nothing."""

    async def folder(self, actor: Actor, folder_id: UUID, permission: Permission = Permission.VIEW) -> models.Folder:
        """The folder. Raises NotFound where the actor cannot see it, then PermissionDenied."""
        folder = await models.Folder.get_or_none(id=folder_id)
        if folder is None or not await self._allows(actor, folder, permission):
            raise NotFound("folder")
        return folder

    async def connection(self, actor: Actor, connection_id: UUID, permission: Permission = Permission.VIEW) -> models.Connection:
        """The connection with its folder. Raises NotFound where the actor cannot see its folder, then PermissionDenied."""
        connection = await models.Connection.get_or_none(id=connection_id).select_related("folder")
        if connection is None or not await self._allows(actor, connection.folder, permission):
            raise NotFound("connection")
        return connection

    async def permissions(self, actor: Actor, folder_ids: Collection[UUID]) -> dict[UUID, Permission]:
        """What the actor may do in each of these folders; a folder that they cannot see is not in the answer."""
        if not folder_ids:
            return {}
        folders = await models.Folder.filter(id__in=list(folder_ids))
        allowed = {folder.id: _by_kind(actor, folder) for folder in folders}
        shared = [folder.id for folder in folders if folder.kind is FolderKind.SHARED and not actor.administrator]
        if shared:
            marks = ", ".join(f"${number}" for number in range(2, len(shared) + 2))
            for row in await rows(_GRANTS_UPWARD.format(marks=marks), [actor.user_id, *shared], folder_id=UUID):
                allowed[row["folder_id"]] |= Permission(row["permissions"])
        return {folder_id: permissions for folder_id, permissions in allowed.items() if permissions & Permission.VIEW}

    async def visible_folders(self, actor: Actor) -> dict[UUID, Permission]:
        """Every folder that the actor can see, with what they may do there."""
        mine = await models.Folder.filter(owner_id=actor.user_id, kind=FolderKind.PERSONAL)
        allowed = {folder.id: _IN_A_WORKSPACE for folder in mine}
        if actor.administrator:
            shared = await models.Folder.filter(kind=FolderKind.SHARED).only("id")
            return allowed | {folder.id: Permission.every() for folder in shared}
        for row in await rows(_GRANTS_DOWNWARD, [actor.user_id], folder_id=UUID):
            folder_id = row["folder_id"]
            allowed[folder_id] = allowed.get(folder_id, Permission(0)) | Permission(row["permissions"])
        return allowed

    async def _allows(self, actor: Actor, folder: models.Folder, permission: Permission) -> bool:
        """False where the folder is hidden. Raises PermissionDenied where it is seen and the permission is missing."""
        permissions = (await self.permissions(actor, [folder.id])).get(folder.id)
        if permissions is None:
            return False
        if permission not in permissions:
            raise PermissionDenied(permission, folder_id=folder.id, folder_name=folder.name)
        return True


def require_administrator(actor: Actor) -> None:
    if not actor.administrator:
        raise PermissionDenied(None)


def _by_kind(actor: Actor, folder: models.Folder) -> Permission:
    """What follows without any grant."""
    if folder.kind is FolderKind.PERSONAL:
        return _IN_A_WORKSPACE if folder.owner_id == actor.user_id else Permission(0)
    return Permission.every() if actor.administrator else Permission(0)
