"""Folders and who may do what in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from tortoise.exceptions import IntegrityError

import models
from api.access import Access, Actor
from api.audit import Audit
from api.clock import Clock
from api.errors import Conflict, InvalidInput, NameTaken, NotFound, PermissionDenied
from api.names import checked_name
from models import FolderKind, Permission, fold
from models.database import rows, transaction

_DEEPEST = 20
# Who can still sign in, and manages one of these folders: MANAGE is the greatest permission, so only a grant with it is at least that.
_MANAGERS = """
SELECT 1 AS one FROM folder_grant AS given JOIN user_account ON user_account.id = given.user_id
WHERE given.folder_id IN ({marks}) AND given.permissions >= {manage} AND user_account.deactivated_at IS NULL
UNION ALL
SELECT 1 AS one FROM folder_group_grant AS given
JOIN group_member ON group_member.group_id = given.group_id
JOIN user_account ON user_account.id = group_member.user_id
WHERE given.folder_id IN ({marks}) AND given.permissions >= {manage} AND user_account.deactivated_at IS NULL
LIMIT 1
"""

GrantRow = TypeVar("GrantRow", models.FolderGrant, models.FolderGroupGrant)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user may do in a folder; `inherited_from` is the folder above that says so, None for the folder itself."""

    user_id: UUID
    permissions: Permission
    inherited_from: UUID | None


@dataclass(frozen=True, slots=True)
class GroupGrant:
    """As `Grant`, for everybody in a group."""

    group_id: UUID
    permissions: Permission
    inherited_from: UUID | None


class LastManager(PermissionDenied):
    """Without this grant nobody would manage the folder any more."""

    def __init__(self, folder_name: str) -> None:
        message = f"This would leave nobody who manages “{folder_name}”."
        super().__init__(None, told=(message, "Let somebody else manage it first, or ask an administrator."))


class Folders:
    def __init__(self, access: Access, clock: Clock, *, audit: Audit) -> None:
        self._access = access
        self._clock = clock
        self._audit = audit

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
        """Which users may do what in each folder, its own grants before inherited ones."""
        folders = await self.with_ancestors(folder_ids)
        found = await models.FolderGrant.filter(folder_id__in=list(folders)).order_by("id")
        return {
            folder_id: [Grant(row.user_id, Permission(row.permissions), source) for row, source in _upward(folder_id, folders, found)]
            for folder_id in folder_ids
        }

    async def group_grants(self, folder_ids: Sequence[UUID]) -> dict[UUID, list[GroupGrant]]:
        """Which groups may do what in each folder, its own grants before inherited ones."""
        folders = await self.with_ancestors(folder_ids)
        found = await models.FolderGroupGrant.filter(folder_id__in=list(folders)).order_by("id")
        return {
            folder_id: [GroupGrant(row.group_id, Permission(row.permissions), source) for row, source in _upward(folder_id, folders, found)]
            for folder_id in folder_ids
        }

    async def create(self, actor: Actor, *, name: str, parent_id: UUID | None) -> models.Folder:
        """Needs MANAGE on the parent; at the top, an administrator. The maker gets every permission.

        Raises NotFound, PermissionDenied, InvalidInput, NameTaken.
        """
        async with self._audit.act(actor, "folder.create") as act, transaction():
            # Before who asks is looked at, so that a wrong name is told alike to everybody.
            name = checked_name(name)
            parent = None
            if parent_id is None:
                await self._access.require_administrator(actor)
            else:
                parent = await self._parent(actor, parent_id)
            try:
                async with transaction():
                    folder = await models.Folder.create(
                        name=name, name_key=fold(name), kind=FolderKind.SHARED, parent=parent, created_at=self._clock()
                    )
            except IntegrityError:
                if parent_id is not None and not await models.Folder.exists(id=parent_id):
                    raise NotFound("folder") from None
                raise NameTaken(name, "this place") from None
            await models.FolderGrant.create(folder=folder, user_id=actor.user_id, permissions=Permission.every())
            await act.done(subject_id=folder.id, subject_name=folder.name, folder_id=folder.id)
        return folder

    async def rename(self, actor: Actor, folder_id: UUID, name: str) -> models.Folder:
        """Needs MANAGE; in a personal workspace, its owner. Raises NotFound, PermissionDenied, InvalidInput, NameTaken."""
        async with self._audit.act(actor, "folder.rename", folder_id) as act, transaction():
            folder = await self._access.folder(actor, folder_id)
            if folder.kind is FolderKind.SHARED:
                await self._access.folder(actor, folder_id, Permission.MANAGE)
            folder.name = checked_name(name)
            folder.name_key = fold(folder.name)
            try:
                async with transaction():
                    await folder.save(update_fields=["name", "name_key"])
            except IntegrityError:
                raise NameTaken(folder.name, "this place") from None
            await act.done(subject_name=folder.name, folder_id=folder.id)
        return folder

    async def delete(self, actor: Actor, folder_id: UUID) -> UUID:
        """Needs MANAGE. Raises NotFound, PermissionDenied, and Conflict while anything is in it."""
        async with self._audit.act(actor, "folder.delete", folder_id) as act, transaction():
            folder = await self._shared(actor, folder_id)
            if await models.Connection.exists(folder_id=folder.id) or await models.Folder.exists(parent_id=folder.id):
                raise _not_empty()
            await models.Authorization.filter(folder_id=folder.id).delete()
            webhooks = await models.Webhook.filter(folder_id=folder.id).delete()
            try:
                async with transaction():
                    await models.OAuthApp.filter(folder_id=folder.id).delete()
            except IntegrityError:
                raise Conflict(
                    "An OAuth app that was brought here is used in another folder.",
                    "Delete or reconnect the connections that use it first.",
                ) from None
            try:
                async with transaction():
                    # Webhooks above are still to be told of what happened here.
                    await folder.delete()
                    await models.FormerFolder.create(id=folder.id, parent_id=folder.parent_id)
            except IntegrityError:
                # Somebody was faster, and put something in.
                raise _not_empty() from None
            detail = f"webhooks deleted with it: {webhooks}" if webhooks else None
            await act.done(subject_name=folder.name, folder_id=folder.id, detail=detail)
        return folder.id

    async def set_access(self, actor: Actor, folder_id: UUID, user_id: UUID, permissions: Permission) -> models.Folder:
        """What a user may do here and below. Needs MANAGE. Whoever may do anything may also see; none at all takes the grant away.

        Nobody gives what they do not have themselves, and only an administrator takes the last MANAGE away.
        Raises NotFound, PermissionDenied, InvalidInput.
        """
        async with self._audit.act(actor, "folder.set_access", folder_id) as act, transaction():
            await self._access.hold([actor.user_id, user_id])
            actor = await self._as_of_now(actor)
            folder = await self._shared(actor, folder_id)
            if not await models.User.exists(id=user_id):
                raise NotFound("user")
            former = await models.FolderGrant.get_or_none(folder_id=folder.id, user_id=user_id)
            wanted = await self._checked(actor, folder, former, permissions)
            if not wanted:
                await models.FolderGrant.filter(folder_id=folder.id, user_id=user_id).delete()
            else:
                grant = {"permissions": int(wanted)}
                await models.FolderGrant.update_or_create(defaults=grant, folder_id=folder.id, user_id=user_id)
            await self._require_manager(actor, folder, former, wanted)
            await act.done(subject_name=folder.name, folder_id=folder.id, detail=f"user {user_id}: {_words(wanted)}")
        return folder

    async def set_group_access(self, actor: Actor, folder_id: UUID, group_id: UUID, permissions: Permission) -> models.Folder:
        """As `set_access`, for everybody in a group."""
        async with self._audit.act(actor, "folder.set_access", folder_id) as act, transaction():
            members = await models.GroupMember.filter(group_id=group_id)
            await self._access.hold({actor.user_id, *(member.user_id for member in members)})
            actor = await self._as_of_now(actor)
            folder = await self._shared(actor, folder_id)
            if not await models.Group.exists(id=group_id):
                raise NotFound("group")
            former = await models.FolderGroupGrant.get_or_none(folder_id=folder.id, group_id=group_id)
            wanted = await self._checked(actor, folder, former, permissions)
            if not wanted:
                await models.FolderGroupGrant.filter(folder_id=folder.id, group_id=group_id).delete()
            else:
                grant = {"permissions": int(wanted)}
                await models.FolderGroupGrant.update_or_create(defaults=grant, folder_id=folder.id, group_id=group_id)
            await self._require_manager(actor, folder, former, wanted)
            await act.done(subject_name=folder.name, folder_id=folder.id, detail=f"group {group_id}: {_words(wanted)}")
        return folder

    async def _parent(self, actor: Actor, parent_id: UUID) -> models.Folder:
        parent = await self._access.folder(actor, parent_id)
        if parent.kind is FolderKind.PERSONAL:
            raise InvalidInput({"parentId": "a personal workspace holds no folders"})
        await self._access.folder(actor, parent_id, Permission.MANAGE)
        if len(await self.with_ancestors([parent_id])) >= _DEEPEST:
            raise InvalidInput({"parentId": f"folders are nested at most {_DEEPEST} deep"})
        return parent

    async def _shared(self, actor: Actor, folder_id: UUID) -> models.Folder:
        folder = await self._access.folder(actor, folder_id)
        if folder.kind is FolderKind.PERSONAL:
            raise InvalidInput({"folderId": "a personal workspace is its owner's alone"})
        return await self._access.folder(actor, folder_id, Permission.MANAGE)

    async def _as_of_now(self, actor: Actor) -> Actor:
        """The actor with what they may do now; that of a moment ago could be more. Raises NotFound."""
        known = await self._access.as_known(actor)
        if known is None:
            raise NotFound("folder")
        return known

    async def _checked(
        self, actor: Actor, folder: models.Folder, former: models.FolderGrant | models.FolderGroupGrant | None, permissions: Permission
    ) -> Permission:
        """What is to be granted. Raises PermissionDenied where that is more than the actor may do, and than was granted before."""
        wanted = permissions | Permission.VIEW if permissions else permissions
        given = Permission(0) if former is None else Permission(former.permissions)
        own = (await self._access.permissions(actor, [folder.id])).get(folder.id, Permission(0))
        for permission in Permission:
            if permission in wanted & ~given & ~own:
                raise PermissionDenied(permission, folder_id=folder.id, folder_name=folder.name)
        return wanted

    async def _require_manager(
        self, actor: Actor, folder: models.Folder, former: models.FolderGrant | models.FolderGroupGrant | None, wanted: Permission
    ) -> None:
        """Raises LastManager where this took MANAGE away, and nobody else has it. An administrator can always give it again."""
        if former is None or Permission.MANAGE not in Permission(former.permissions) or Permission.MANAGE in wanted or actor.may_administer:
            return
        above = list(await self.with_ancestors([folder.id]))
        # Two who give their own up at once would else each rely on the other.
        await models.Folder.filter(id__in=above).order_by("id").select_for_update(no_key=True).only("id")
        marks = ", ".join(f"${number}" for number in range(1, len(above) + 1))
        if not await rows(_MANAGERS.format(marks=marks, manage=int(Permission.MANAGE)), above):
            raise LastManager(folder.name)


def paths_of(folders: Sequence[models.Folder]) -> dict[UUID, str]:
    """`Sales/EMEA` for each; a folder above that is not among these begins the path below it."""
    by_id = {folder.id: folder for folder in folders}

    def path(folder: models.Folder) -> str:
        parent = by_id.get(folder.parent_id) if folder.parent_id else None
        return folder.name if parent is None else f"{path(parent)}/{folder.name}"

    return {folder.id: path(folder) for folder in by_id.values()}


def _upward(folder_id: UUID, folders: dict[UUID, models.Folder], grants: Sequence[GrantRow]) -> list[tuple[GrantRow, UUID | None]]:
    """The grants that hold in a folder, from itself upward; each with the folder above that it comes from, None for the folder itself."""
    found: list[tuple[GrantRow, UUID | None]] = []
    step: UUID | None = folder_id
    while step is not None:
        source = None if step == folder_id else step
        found += [(grant, source) for grant in grants if grant.folder_id == step]
        step = folders[step].parent_id
    return found


def _words(permissions: Permission) -> str:
    return " ".join(str(permission.name) for permission in Permission if permission in permissions) or "nothing"


def _not_empty() -> Conflict:
    return Conflict("The folder is not empty.", "Delete or move the connections and folders in it first.")
