"""Folders and who may do what in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from tortoise.exceptions import IntegrityError

import models
from api.access import Access, Actor, require_administrator
from api.clock import Clock
from api.errors import Conflict, InvalidInput, NameTaken, NotFound
from api.names import checked_name
from models import FolderKind, Permission, fold
from models.database import transaction

_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user may do in a folder; `inherited_from` is the folder above that says so, None for the folder itself."""

    user_id: UUID
    permissions: Permission
    inherited_from: UUID | None


class Folders:
    def __init__(self, access: Access, clock: Clock) -> None:
        self._access = access
        self._clock = clock

    async def page(self, actor: Actor, *, first: int, after: UUID | None) -> tuple[list[models.Folder], bool, int]:
        """Folders that the actor can see, the personal workspace first, then by path; whether more follow; how many in all."""
        folders = await self.visible(actor)
        ids = [folder.id for folder in folders]
        start = ids.index(after) + 1 if after in ids else 0
        return folders[start : start + first], start + first < len(folders), len(folders)

    async def visible(self, actor: Actor) -> list[models.Folder]:
        """Every folder that the actor can see, in the order of `page`."""
        folders = await models.Folder.filter(id__in=list(await self._access.visible_folders(actor)))
        paths = paths_of(folders)
        return sorted(folders, key=lambda folder: (folder.kind is not FolderKind.PERSONAL, fold(paths[folder.id]), folder.id))

    async def find(self, actor: Actor, folder_id: UUID) -> models.Folder | None:
        try:
            return await self._access.folder(actor, folder_id)
        except NotFound:
            return None

    async def with_ancestors(self, folder_ids: Sequence[UUID]) -> dict[UUID, models.Folder]:
        """These folders and all above them: as many queries as the tree is deep."""
        found: dict[UUID, models.Folder] = {}
        wanted = set(folder_ids)
        while wanted:
            level = await models.Folder.filter(id__in=list(wanted))
            found |= {folder.id: folder for folder in level}
            wanted = {folder.parent_id for folder in level if folder.parent_id is not None} - found.keys()
        return found

    async def children(self, folder_ids: Sequence[UUID]) -> dict[UUID, list[models.Folder]]:
        children: dict[UUID, list[models.Folder]] = {folder_id: [] for folder_id in folder_ids}
        for folder in await models.Folder.filter(parent_id__in=list(folder_ids)).order_by("name_key"):
            if folder.parent_id is not None:
                children[folder.parent_id].append(folder)
        return children

    async def grants(self, folder_ids: Sequence[UUID]) -> dict[UUID, list[Grant]]:
        """Who may do what in each folder, its own grants before inherited ones."""
        folders = await self.with_ancestors(folder_ids)
        by_folder: dict[UUID, list[models.FolderGrant]] = {}
        for grant in await models.FolderGrant.filter(folder_id__in=list(folders)):
            by_folder.setdefault(grant.folder_id, []).append(grant)
        return {folder_id: _grants_upward(folder_id, folders, by_folder) for folder_id in folder_ids}

    async def create(self, actor: Actor, *, name: str, parent_id: UUID | None) -> models.Folder:
        """Needs MANAGE on the parent; at the top, an administrator. The maker gets every permission.

        Raises NotFound, PermissionDenied, InvalidInput, NameTaken.
        """
        name = checked_name(name)
        parent = None
        if parent_id is None:
            require_administrator(actor)
        else:
            parent = await self._access.folder(actor, parent_id)
            if parent.kind is FolderKind.PERSONAL:
                raise InvalidInput({"parentId": "a personal workspace holds no folders"})
            await self._access.folder(actor, parent_id, Permission.MANAGE)
            if len(await self.with_ancestors([parent_id])) >= _DEEPEST:
                raise InvalidInput({"parentId": f"folders are nested at most {_DEEPEST} deep"})
        try:
            async with transaction():
                folder = await models.Folder.create(
                    name=name, name_key=fold(name), kind=FolderKind.SHARED, parent=parent, created_at=self._clock()
                )
                await models.FolderGrant.create(folder=folder, user_id=actor.user_id, permissions=Permission.every())
        except IntegrityError:
            raise NameTaken(name, "this place") from None
        return folder

    async def rename(self, actor: Actor, folder_id: UUID, name: str) -> models.Folder:
        """Needs MANAGE; in a personal workspace, its owner. Raises NotFound, PermissionDenied, InvalidInput, NameTaken."""
        folder = await self._access.folder(actor, folder_id)
        if folder.kind is FolderKind.SHARED:
            await self._access.folder(actor, folder_id, Permission.MANAGE)
        folder.name = checked_name(name)
        folder.name_key = fold(folder.name)
        try:
            await folder.save(update_fields=["name", "name_key"])
        except IntegrityError:
            raise NameTaken(folder.name, "this place") from None
        return folder

    async def delete(self, actor: Actor, folder_id: UUID) -> UUID:
        """Needs MANAGE. Raises NotFound, PermissionDenied, and Conflict while anything is in it."""
        folder = await self._shared(actor, folder_id)
        async with transaction():
            if await models.Connection.exists(folder_id=folder.id) or await models.Folder.exists(parent_id=folder.id):
                raise Conflict("The folder is not empty.", "Delete the connections and folders in it first.")
            await models.Authorization.filter(folder_id=folder.id).delete()
            await models.OAuthApp.filter(folder_id=folder.id).delete()
            await folder.delete()
        return folder.id

    async def set_access(self, actor: Actor, folder_id: UUID, user_id: UUID, permissions: Permission) -> models.Folder:
        """Needs MANAGE. Whoever may do anything may also see; none at all takes the grant away.

        Raises NotFound, PermissionDenied, InvalidInput.
        """
        folder = await self._shared(actor, folder_id)
        if not await models.User.exists(id=user_id):
            raise NotFound("user")
        if not permissions:
            await models.FolderGrant.filter(folder_id=folder.id, user_id=user_id).delete()
            return folder
        grant = {"permissions": int(permissions | Permission.VIEW)}
        await models.FolderGrant.update_or_create(defaults=grant, folder_id=folder.id, user_id=user_id)
        return folder

    async def _shared(self, actor: Actor, folder_id: UUID) -> models.Folder:
        folder = await self._access.folder(actor, folder_id)
        if folder.kind is FolderKind.PERSONAL:
            raise InvalidInput({"folderId": "a personal workspace is its owner's alone"})
        return await self._access.folder(actor, folder_id, Permission.MANAGE)


def paths_of(folders: Sequence[models.Folder]) -> dict[UUID, str]:
    """`Sales/EMEA` for each; a folder above that is not among these begins the path below it."""
    by_id = {folder.id: folder for folder in folders}

    def path(folder: models.Folder) -> str:
        parent = by_id.get(folder.parent_id) if folder.parent_id else None
        return folder.name if parent is None else f"{path(parent)}/{folder.name}"

    return {folder.id: path(folder) for folder in by_id.values()}


def _grants_upward(folder_id: UUID, folders: dict[UUID, models.Folder], by_folder: dict[UUID, list[models.FolderGrant]]) -> list[Grant]:
    grants: list[Grant] = []
    step: UUID | None = folder_id
    while step is not None:
        source = None if step == folder_id else step
        grants += [Grant(grant.user_id, Permission(grant.permissions), source) for grant in by_folder.get(step, [])]
        step = folders[step].parent_id
    return grants
