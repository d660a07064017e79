"""Batches what the rows of a list ask for one by one: each kind is read once a level, however long the list.

They keep nothing: all operations of a WebSocket share one context, and an answer must not be older than its question.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

import models
from api.access import Actor
from api.connections.offers import Offer
from api.connections.query import ConnectionQuery
from api.connections.reading import Each, Slice
from api.events.order import PlacedEvent
from api.graphql.viewer import Viewer
from api.organization.directory import UserSlice
from api.organization.folders import Grant, GroupGrant, paths_of
from api.organization.policy_effects import Breach
from api.patchbay import Patchbay
from models import FolderKind, OrganizationPermission, Permission

Key = TypeVar("Key")
Value = TypeVar("Value")
# A list of connections, what those beside it differ in, and how long its page is.
ListKey = tuple[ConnectionQuery, Each]
PageKey = tuple[ConnectionQuery, Each, int]
# A connection's newest events, and whether there are older ones.
History = tuple[list[PlacedEvent], bool]


class Batched(Generic[Key, Value]):
    """Makes of what reads many keys a loader: every key asked for at the same moment is read at once; None for what is not found.

    A loader is made where it is first asked for, because most requests ask for few.
    """

    def __init__(self, read: Callable[[Any, Sequence[Key]], Awaitable[dict[Key, Value]]]) -> None:
        self._read = read

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    def __get__(self, loaders: "Loaders", _: type) -> DataLoader[Key, Value | None]:
        async def load(keys: list[Key]) -> list[Value | None]:
            found = await self._read(loaders, list(dict.fromkeys(keys)))
            return [found.get(key) for key in keys]

        # From now on it is found there, and this is not asked again.
        made = loaders.__dict__[self._name] = DataLoader(load, cache=False)
        return made


class Loaders:
    def __init__(self, patchbay: Patchbay, viewer: Viewer) -> None:
        self._patchbay = patchbay
        self._viewer = viewer

    @property
    def _actor(self) -> Actor:
        return self._viewer.actor

    @Batched
    async def folder(self, ids: Sequence[UUID]) -> dict[UUID, models.Folder]:
        """Only those that the viewer can see."""
        return await self._viewer.folders(ids)

    @Batched
    async def left_behind(self, ids: Sequence[UUID]) -> dict[UUID, models.Folder]:
        """Workspaces in which there is something that an administrator may hand over, without seeing what else is in them."""
        if not self._viewer.may_administer:
            return {}
        return {folder.id: folder for folder in await models.Folder.filter(id__in=list(ids), kind=FolderKind.PERSONAL)}

    @Batched
    async def seen_user(self, ids: Sequence[UUID]) -> dict[UUID, models.User]:
        return await self._patchbay.directory.find_users(self._actor, ids)

    @Batched
    async def group(self, ids: Sequence[UUID]) -> dict[UUID, models.Group]:
        """Only those that the viewer can see."""
        return await self._patchbay.directory.find_groups(self._actor, ids)

    @Batched
    async def groups_of(self, user_ids: Sequence[UUID]) -> dict[UUID, list[models.Group]]:
        return await self._patchbay.directory.groups_of(self._actor, user_ids)

    @Batched
    async def first_members(self, keys: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], UserSlice]:
        found: dict[tuple[UUID, int], UserSlice] = {}
        for first, ids in _alike((first, id) for id, first in keys).items():
            members = await self._patchbay.directory.first_members(ids, first=first)
            found |= {(id, first): several for id, several in members.items()}
        return found

    @Batched
    async def member_count(self, group_ids: Sequence[UUID]) -> dict[UUID, int]:
        return await self._patchbay.directory.count_members(group_ids)

    @Batched
    async def user(self, ids: Sequence[UUID]) -> dict[UUID, models.User]:
        return {user.id: user for user in await models.User.filter(id__in=list(ids))}

    @Batched
    async def workspace(self, user_ids: Sequence[UUID]) -> dict[UUID, models.Folder]:
        """The viewer's own: nobody else's can be seen."""
        if self._actor.user_id not in user_ids:
            return {}
        mine = await models.Folder.get_or_none(owner_id=self._actor.user_id, kind=FolderKind.PERSONAL)
        # An API token may be for other folders only.
        if mine is None or not await self._patchbay.access.permissions(self._actor, [mine.id]):
            return {}
        return {self._actor.user_id: mine}

    @Batched
    async def permissions(self, folder_ids: Sequence[UUID]) -> dict[UUID, Permission]:
        return await self._viewer.permissions(folder_ids)

    @Batched
    async def path(self, folder_ids: Sequence[UUID]) -> dict[UUID, str]:
        """From the uppermost folder that the viewer can see."""
        tree = await self._patchbay.folders.with_ancestors(folder_ids)
        visible = await self._viewer.sees(list(tree))
        return paths_of([folder for folder in tree.values() if folder.id in visible])

    @Batched
    async def children(self, folder_ids: Sequence[UUID]) -> dict[UUID, list[models.Folder]]:
        return await self._patchbay.folders.children(folder_ids)

    @Batched
    async def grants(self, folder_ids: Sequence[UUID]) -> dict[UUID, list[Grant]]:
        return await self._patchbay.folders.grants(folder_ids)

    @Batched
    async def group_grants(self, folder_ids: Sequence[UUID]) -> dict[UUID, list[GroupGrant]]:
        return await self._patchbay.folders.group_grants(folder_ids)

    @Batched
    async def connection(self, ids: Sequence[UUID]) -> dict[UUID, models.Connection]:
        """Only those that the viewer can see."""
        return await self._viewer.connections(ids)

    @Batched
    async def oauth_app(self, ids: Sequence[UUID]) -> dict[UUID, models.OAuthApp]:
        return {app.id: app for app in await models.OAuthApp.filter(id__in=list(ids))}

    @Batched
    async def app_use(self, app_ids: Sequence[UUID]) -> dict[UUID, int]:
        return await self._patchbay.oauth_apps.connection_counts(app_ids)

    @Batched
    async def previous_secret_use(self, app_ids: Sequence[UUID]) -> dict[UUID, int]:
        return await self._patchbay.oauth_apps.previous_secret_counts(app_ids)

    @Batched
    async def offers(self, connector_keys: Sequence[str]) -> dict[str, list[Offer]]:
        return await self._patchbay.offers.of(self._actor.user_id, connector_keys)

    @Batched
    async def installed(self, connector_keys: Sequence[str]) -> dict[str, bool]:
        return dict.fromkeys(await self._patchbay.installed.among(connector_keys), True)

    @Batched
    async def may(self, permissions: Sequence[OrganizationPermission]) -> dict[OrganizationPermission, bool]:
        """What the viewer may do that has to do with no folder."""
        return {permission: await self._patchbay.access.may(self._actor, permission) for permission in permissions}

    @Batched
    async def policy(self, ids: Sequence[UUID]) -> dict[UUID, models.ConnectorPolicy]:
        """Only for administrators."""
        return await self._patchbay.policies.find(self._actor, ids)

    @Batched
    async def breach(self, policy_ids: Sequence[UUID]) -> dict[UUID, Breach]:
        return await self._patchbay.policy_effects.breaches(self._actor, policy_ids)

    @Batched
    async def first_page(self, keys: Sequence[PageKey]) -> dict[PageKey, Slice]:
        found: dict[PageKey, Slice] = {}
        for (shared, each, first), queries in _alike(((_shared(query, each), each, first), query) for query, each, first in keys).items():
            values = {query: getattr(query, each) for query in queries}
            pages = await self._patchbay.reading.first_pages(self._actor, shared, each, list(values.values()), first=first)
            found |= {(query, each, first): pages[value] for query, value in values.items()}
        return found

    @Batched
    async def page_count(self, keys: Sequence[ListKey]) -> dict[ListKey, int]:
        found: dict[ListKey, int] = {}
        for (shared, each), queries in _alike(((_shared(query, each), each), query) for query, each in keys).items():
            values = {query: getattr(query, each) for query in queries}
            counts = await self._patchbay.reading.counts(self._actor, shared, each, list(values.values()))
            found |= {(query, each): counts[value] for query, value in values.items()}
        return found

    @Batched
    async def first_history(self, keys: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], History]:
        found: dict[tuple[UUID, int], History] = {}
        for first, ids in _alike((first, id) for id, first in keys).items():
            histories = await self._patchbay.feed.first_histories(self._actor, ids, first=first)
            found |= {(id, first): history for id, history in histories.items()}
        return found

    @Batched
    async def history_count(self, connection_ids: Sequence[UUID]) -> dict[UUID, int]:
        return await self._patchbay.feed.count_histories(self._actor, connection_ids)


def _shared(query: ConnectionQuery, each: Each) -> ConnectionQuery:
    """What a list has in common with those beside it."""
    return replace(query, folder_id=None) if each is Each.FOLDER else replace(query, connector_key=None)


def _alike(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, list[Value]]:
    groups: dict[Key, list[Value]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups
