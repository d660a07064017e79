"""Whose webhooks are whose: of whoever manages the folder, of a workspace's owner, and of administrators where there is no folder."""

from uuid import UUID

import models
from api.access import Access, Actor
from api.errors import NotFound, PermissionDenied
from models import FolderKind, Permission


class WebhookAccess:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def require(self, actor: Actor, folder_id: UUID | None) -> None:
        """Raises NotFound and PermissionDenied for who may not have webhooks there."""
        if folder_id is None:
            await self._access.require_administrator(actor)
            return
        folder = await self._access.folder(actor, folder_id)
        # Nobody manages a workspace, it is its owner's.
        await self._access.folder(actor, folder_id, Permission.EDIT if folder.kind is FolderKind.PERSONAL else Permission.MANAGE)

    async def get(self, actor: Actor, webhook_id: UUID) -> models.Webhook:
        """The webhook. Raises NotFound where the actor cannot see its folder, then PermissionDenied."""
        return await self._allowed(actor, await models.Webhook.get_or_none(id=webhook_id))

    async def held(self, actor: Actor, webhook_id: UUID) -> models.Webhook:
        """As `get`, and nobody else changes it until the transaction ends."""
        # People before webhooks.
        await self._access.is_known(actor)
        return await self._allowed(actor, await models.Webhook.select_for_update(no_key=True).get_or_none(id=webhook_id))

    async def folders(self, actor: Actor) -> list[UUID]:
        """Where the actor may have webhooks."""
        visible = await self._access.visible_folders(actor)
        mine = await models.Folder.filter(owner_id=actor.user_id, kind=FolderKind.PERSONAL).only("id")
        workspaces = {folder.id for folder in mine}
        needed = {folder_id: Permission.EDIT if folder_id in workspaces else Permission.MANAGE for folder_id in visible}
        return [folder_id for folder_id, permissions in visible.items() if needed[folder_id] in permissions]

    async def _allowed(self, actor: Actor, webhook: models.Webhook | None) -> models.Webhook:
        if webhook is None:
            raise NotFound("webhook")
        try:
            await self.require(actor, webhook.folder_id)
        except NotFound:
            raise NotFound("webhook") from None
        except PermissionDenied:
            if webhook.folder_id is None:
                raise NotFound("webhook") from None
            raise
        return webhook
