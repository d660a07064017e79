"""Who is there: users and groups as lists.

An administrator sees all of them. Everybody else sees, by name, themselves, their groups, and whoever is on the access list of a folder
that they see, with a group or without: what they could read there anyway. Nobody else is there for them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from tortoise.expressions import Q
from tortoise.functions import Count, Lower
from tortoise.queryset import QuerySet

import models
from api.access import Access, Actor
from api.organization.folders import Folders
from models import fold
from models.database import rows

_FIRST_OF_EACH = """
SELECT group_id, user_id FROM (
  SELECT group_member.group_id, group_member.user_id,
         ROW_NUMBER() OVER (PARTITION BY group_member.group_id ORDER BY LOWER(user_account.name), user_account.id) AS place
  FROM group_member JOIN user_account ON user_account.id = group_member.user_id WHERE group_member.group_id IN ({ids})
) AS ranked WHERE place <= {most} ORDER BY place
"""


@dataclass(frozen=True, slots=True)
class UserSelection:
    """Which users; None: all of them."""

    search: str | None = None
    active: bool | None = None
    group_id: UUID | None = None
    # Named by what is no id: then nobody is meant.
    nobody: bool = False


@dataclass(frozen=True, slots=True)
class NamePosition:
    """Where a page ended: the name as it was ordered by, and the id that breaks ties."""

    name: str
    id: UUID


@dataclass(frozen=True, slots=True)
class UserSlice:
    rows: list[models.User]
    has_next: bool
    # Where it ends; None where it is empty.
    end: NamePosition | None


@dataclass(frozen=True, slots=True)
class _Seen:
    users: set[UUID]
    groups: set[UUID]


class Directory:
    def __init__(self, access: Access, folders: Folders) -> None:
        self._access = access
        self._folders = folders

    async def users(self, actor: Actor, selection: UserSelection, *, first: int, after: NamePosition | None) -> UserSlice:
        """One page of the users that the actor sees, by name."""
        found = _named(await self._selected(actor, selection))
        if after is not None:
            found = found.filter(Q(key__gt=after.name) | Q(key=after.name, id__gt=after.id))
        return _slice(await found.order_by("key", "id").limit(first + 1), first)

    async def count_users(self, actor: Actor, selection: UserSelection) -> int:
        return await (await self._selected(actor, selection)).count()

    async def find_users(self, actor: Actor, user_ids: Collection[UUID]) -> dict[UUID, models.User]:
        """Those of these users whom the actor sees."""
        found = (await self._users(actor)).filter(id__in=list(user_ids))
        return {user.id: user for user in await found}

    async def groups(self, actor: Actor, *, first: int, after: NamePosition | None) -> tuple[list[models.Group], bool]:
        """One page of the groups that the actor sees, by name, and whether there are more."""
        found = await self._groups(actor)
        if after is not None:
            found = found.filter(Q(name_key__gt=after.name) | Q(name_key=after.name, id__gt=after.id))
        page = await found.order_by("name_key", "id").limit(first + 1)
        return page[:first], len(page) > first

    async def count_groups(self, actor: Actor) -> int:
        return await (await self._groups(actor)).count()

    async def find_groups(self, actor: Actor, group_ids: Collection[UUID]) -> dict[UUID, models.Group]:
        """Those of these groups that the actor sees."""
        found = (await self._groups(actor)).filter(id__in=list(group_ids))
        return {group.id: group for group in await found}

    async def groups_of(self, actor: Actor, user_ids: Collection[UUID]) -> dict[UUID, list[models.Group]]:
        """The groups that each is in, by name, as far as the actor sees them."""
        memberships = await models.GroupMember.filter(user_id__in=list(user_ids))
        groups = await self.find_groups(actor, {membership.group_id for membership in memberships})
        found: dict[UUID, list[models.Group]] = {user_id: [] for user_id in user_ids}
        for membership in memberships:
            if membership.group_id in groups:
                found[membership.user_id].append(groups[membership.group_id])
        return {user_id: sorted(theirs, key=lambda group: (group.name_key, group.id)) for user_id, theirs in found.items()}

    async def first_members(self, group_ids: Sequence[UUID], *, first: int) -> dict[UUID, UserSlice]:
        """The first page of the members of each group, by name. For groups that the actor sees."""
        ids = ", ".join(f"${number}" for number in range(1, len(group_ids) + 1))
        placed = await rows(_FIRST_OF_EACH.format(ids=ids, most=first + 1), group_ids, group_id=UUID, user_id=UUID)
        users = {user.id: user for user in await _named(models.User.filter(id__in=[row["user_id"] for row in placed]))}
        members: dict[UUID, list[models.User]] = {group_id: [] for group_id in group_ids}
        for row in placed:
            if row["user_id"] in users:
                members[row["group_id"]].append(users[row["user_id"]])
        return {group_id: _slice(found, first) for group_id, found in members.items()}

    async def count_members(self, group_ids: Sequence[UUID]) -> dict[UUID, int]:
        members = models.GroupMember.filter(group_id__in=list(group_ids))
        counted = await members.annotate(count=Count("id")).group_by("group_id").values("group_id", "count")
        return dict.fromkeys(group_ids, 0) | {row["group_id"]: row["count"] for row in counted}

    async def _selected(self, actor: Actor, selection: UserSelection) -> QuerySet[models.User]:
        if selection.nobody:
            return models.User.filter(id__in=[])
        found = await self._users(actor)
        if selection.search is not None:
            found = found.filter(Q(name__icontains=selection.search) | self._by_address(actor, selection.search))
        if selection.active is not None:
            found = found.filter(deactivated_at__isnull=selection.active)
        if selection.group_id is not None:
            seen = await self.find_groups(actor, [selection.group_id])
            members = await models.GroupMember.filter(group_id__in=list(seen))
            found = found.filter(id__in=[member.user_id for member in members])
        return found

    def _by_address(self, actor: Actor, text: str) -> Q:
        """Who may not read addresses does not learn them by searching either."""
        address = Q(email_key__contains=fold(text))
        return address if actor.may_administer else address & Q(id=actor.user_id)

    async def _users(self, actor: Actor) -> QuerySet[models.User]:
        if actor.may_administer:
            return models.User.all()
        return models.User.filter(id__in=list((await self._seen(actor)).users))

    async def _groups(self, actor: Actor) -> QuerySet[models.Group]:
        if actor.may_administer:
            return models.Group.all()
        return models.Group.filter(id__in=list((await self._seen(actor)).groups))

    async def _seen(self, actor: Actor) -> _Seen:
        """Who is on the access list of a folder that the actor sees. What is inherited is on it too, from folders that may be hidden."""
        places = list(await self._folders.with_ancestors(list(await self._access.visible_folders(actor))))
        users = {grant.user_id for grant in await models.FolderGrant.filter(folder_id__in=places)}
        groups = {grant.group_id for grant in await models.FolderGroupGrant.filter(folder_id__in=places)}
        groups |= {member.group_id for member in await models.GroupMember.filter(user_id=actor.user_id)}
        members = {member.user_id for member in await models.GroupMember.filter(group_id__in=list(groups))}
        return _Seen(users | members | {actor.user_id}, groups)


def _named(found: QuerySet[models.User]) -> QuerySet[models.User]:
    return found.annotate(key=Lower("name"))


def _slice(found: list[models.User], first: int) -> UserSlice:
    page = found[:first]
    # `_named` adds the key to each row, which the type of the row does not know.
    end = NamePosition(page[-1].key, page[-1].id) if page else None  # type: ignore[attr-defined]
    return UserSlice(page, len(found) > first, end)
