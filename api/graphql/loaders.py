"""Batches what the rows of a list ask for one by one: each kind is read once a level, however long the list.

They keep nothing: all operations of a WebSocket share one context, and an answer must not be older than its question.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

import models
from api.access import Actor
from api.connections.offers import Offer
from api.organization.folders import Grant, paths_of
from api.patchbay import Patchbay
from models import FolderKind, Permission

Key = TypeVar("Key")
Value = TypeVar("Value")


class Loaders:
    def __init__(self, patchbay: Patchbay, actor: Actor) -> None:
        self._patchbay = patchbay
        self._actor = actor
        self.folder = _loader(self._folders)
        self.user = _loader(self._users)
        self.workspace = _loader(self._workspaces)
        self.permissions = _loader(self._permissions)
        self.path = _loader(self._paths)
        self.children = _loader(self._children)
        self.grants = _loader(self._grants)
        self.connection = _loader(self._connections)
        self.oauth_app = _loader(self._oauth_apps)
        self.app_use = _loader(self._app_uses)
        self.offers = _loader(self._offers)

    async def _folders(self, ids: Sequence[UUID]) -> dict[UUID, models.Folder]:
        """Only those that the viewer can see."""
        visible = await self._patchbay.access.permissions(self._actor, ids)
        return {folder.id: folder for folder in await models.Folder.filter(id__in=list(visible))}

    async def _users(self, ids: Sequence[UUID]) -> dict[UUID, models.User]:
        return {user.id: user for user in await models.User.filter(id__in=list(ids))}

    async def _workspaces(self, user_ids: Sequence[UUID]) -> dict[UUID, models.Folder]:
        """The viewer's own: nobody else's can be seen."""
        if self._actor.user_id not in user_ids:
            return {}
        mine = await models.Folder.get_or_none(owner_id=self._actor.user_id, kind=FolderKind.PERSONAL)
        return {} if mine is None else {self._actor.user_id: mine}

    async def _permissions(self, folder_ids: Sequence[UUID]) -> dict[UUID, Permission]:
        return await self._patchbay.access.permissions(self._actor, folder_ids)

    async def _paths(self, folder_ids: Sequence[UUID]) -> dict[UUID, str]:
        """From the uppermost folder that the viewer can see."""
        tree = await self._patchbay.folders.with_ancestors(folder_ids)
        visible = await self._patchbay.access.permissions(self._actor, list(tree))
        return paths_of([folder for folder in tree.values() if folder.id in visible])

    async def _children(self, folder_ids: Sequence[UUID]) -> dict[UUID, list[models.Folder]]:
        return await self._patchbay.folders.children(folder_ids)

    async def _grants(self, folder_ids: Sequence[UUID]) -> dict[UUID, list[Grant]]:
        return await self._patchbay.folders.grants(folder_ids)

    async def _connections(self, ids: Sequence[UUID]) -> dict[UUID, models.Connection]:
        """Only those that the viewer can see."""
        found = await models.Connection.filter(id__in=list(ids))
        visible = await self._patchbay.access.permissions(self._actor, {connection.folder_id for connection in found})
        return {connection.id: connection for connection in found if connection.folder_id in visible}

    async def _oauth_apps(self, ids: Sequence[UUID]) -> dict[UUID, models.OAuthApp]:
        return {app.id: app for app in await models.OAuthApp.filter(id__in=list(ids))}

    async def _app_uses(self, app_ids: Sequence[UUID]) -> dict[UUID, int]:
        return await self._patchbay.oauth_apps.connection_counts(app_ids)

    async def _offers(self, connector_keys: Sequence[str]) -> dict[str, list[Offer]]:
        return await self._patchbay.offers.of(connector_keys)


def _loader(read: Callable[[Sequence[Key]], Awaitable[dict[Key, Value]]]) -> DataLoader[Key, Value | None]:
    """Every key asked for at the same moment, read at once; None for what is not found."""

    async def load(keys: list[Key]) -> list[Value | None]:
        found = await read(list(dict.fromkeys(keys)))
        return [found.get(key) for key in keys]

    return DataLoader(load, cache=False)
