"""Connections that go elsewhere: into another folder, or into other hands. Their ids stay; their secrets are sealed for where they are.

A refresh under way at the same moment goes on: what it brings is sealed for the folder in which the connection is by then. A journal
entry stays sealed for the folder that it names itself.
"""

from uuid import UUID

from tortoise.exceptions import IntegrityError

import models
from api.access import Access, Actor
from api.audit import Audit
from api.clock import Clock
from api.connections.reading import blank
from api.connections.secrets import credential_place
from api.errors import Conflict, NameTaken, NotFound, PermissionDenied
from api.events.log import EventLog, Record
from api.names import free_name
from api.organization.app_secrets import SECRET_FIELDS
from api.organization.apps import OAuthApps
from api.organization.suspensions import Suspensions
from api.vault.vault import Unreadable, Vault
from models import AuthorizationStatus, ConnectionEventType, FolderKind, OAuthAppOrigin, Permission

_ATTEMPTS = 5
_MOVED = ["folder_id", "owner_id", "name", "name_key", "is_default", "updated_at"]


class _Collision(Exception):
    """Something unique is taken in the new folder: the name, or the place of the default."""


class Moving:
    def __init__(
        self,
        *,
        access: Access,
        vault: Vault,
        log: EventLog,
        apps: OAuthApps,
        suspensions: Suspensions,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._access = access
        self._vault = vault
        self._log = log
        self._apps = apps
        self._suspensions = suspensions
        self._audit = audit
        self._clock = clock

    async def move(self, actor: Actor, connection_id: UUID, folder_id: UUID) -> models.Connection:
        """Needs DELETE where it is, and CREATE where it goes. In a workspace it belongs to whose that is.

        It is the default there only where it is the first of its connector; where it was the default, there is none then.
        Raises NotFound, PermissionDenied, NameTaken, and Conflict where its secrets cannot be opened.
        """
        async with self._audit.act(actor, "connection.move", connection_id) as act:
            for _ in range(_ATTEMPTS):
                try:
                    async with self._log.change(actor.user_id) as record:
                        await self._suspensions.keep_others_out()
                        connection = await self._access.held(actor, connection_id, Permission.DELETE)
                        former = connection.folder
                        folder = await self._access.folder(actor, folder_id, Permission.CREATE)
                        if folder.id != former.id:
                            await self._settle(record, connection, folder, actor_id=actor.user_id)
                        await act.done(subject_name=connection.name, folder_id=folder.id, detail=f"from folder {former.id}")
                        return await self._as_seen(actor, connection.id)
                except _Collision:
                    await self._check_name(connection_id, folder_id)
            raise _too_many_at_once()

    async def transfer(self, actor: Actor, connection_id: UUID, user_id: UUID) -> models.Connection:
        """Give a connection another owner. Needs MANAGE in its folder, or that it is one's own; the new owner must see the folder.

        One in a workspace goes into the new owner's, with a number behind its name where that is taken; only administrators do that.
        Raises NotFound, PermissionDenied, Conflict.
        """
        async with self._audit.act(actor, "connection.transfer", connection_id) as act:
            for _ in range(_ATTEMPTS):
                try:
                    async with self._log.change(actor.user_id) as record:
                        await self._suspensions.keep_others_out()
                        await self._access.hold([actor.user_id, user_id])
                        connection = await self._transferable(actor, connection_id)
                        owner = await self._new_owner(actor, connection.folder, user_id)
                        if owner.id != connection.owner_id:
                            await self._hand_over(record, connection, owner, actor_id=actor.user_id)
                        await act.done(subject_name=connection.name, folder_id=connection.folder_id, detail=f"to user {owner.id}")
                        return await self._as_seen(actor, connection.id)
                except _Collision:
                    continue
            raise _too_many_at_once()

    async def _as_seen(self, actor: Actor, connection_id: UUID) -> models.Connection:
        """The connection as it is now; nearly nothing of it where it went into a workspace of another."""
        connection = await models.Connection.get(id=connection_id)
        if not await self._access.permissions(actor, [connection.folder_id]):
            blank(connection)
        return connection

    async def _transferable(self, actor: Actor, connection_id: UUID) -> models.Connection:
        """The connection, held, where the actor may give it another owner."""
        administered = await self._access.find_administered(actor, connection_id)
        if administered is not None:
            return administered
        connection = await self._access.held(actor, connection_id, Permission.VIEW)
        if connection.folder.kind is FolderKind.PERSONAL:
            raise PermissionDenied(None)
        # A token that is limited may do no more with its owner's own than its permissions say.
        if connection.owner_id != actor.user_id or actor.limits is not None:
            await self._access.folder(actor, connection.folder_id, Permission.MANAGE)
        return connection

    async def _new_owner(self, actor: Actor, folder: models.Folder, user_id: UUID) -> models.User:
        """Raises NotFound, and Conflict where they are deactivated, or do not see the folder that it stays in."""
        user = await models.User.get_or_none(id=user_id)
        if user is None:
            raise NotFound("user")
        sees = await self._access.permissions(Actor(user.id, user.name, user.administrator), [folder.id])
        if folder.kind is FolderKind.SHARED and not sees:
            if not actor.may_administer:
                raise NotFound("user")
            raise Conflict(f"{user.name} does not see the folder “{folder.name}”.", "Give them access to it first.")
        if user.deactivated_at is not None:
            raise Conflict(f"{user.name} is deactivated.", "Choose somebody who can sign in.")
        return user

    async def _hand_over(self, record: Record, connection: models.Connection, owner: models.User, *, actor_id: UUID) -> None:
        if connection.folder.kind is FolderKind.PERSONAL:
            workspace = await models.Folder.get(owner_id=owner.id, kind=FolderKind.PERSONAL)
            there = models.Connection.filter(folder_id=workspace.id, connector_key=connection.connector_key)
            connection.rename(free_name(connection.name, {sibling.name_key for sibling in await there.only("name_key")}))
            return await self._settle(record, connection, workspace, actor_id=actor_id)
        await self._set_owner(record, connection, owner.id, actor_id=actor_id)
        return None

    async def _settle(self, record: Record, connection: models.Connection, folder: models.Folder, *, actor_id: UUID) -> None:
        """Bring a connection that is held into another folder, and tell what that changes."""
        former_id = connection.folder_id
        await self._reseal(connection, folder.id)
        if connection.is_default:
            connection.is_default = False
            await record.append(connection, ConnectionEventType.DEFAULT_CHANGED)
        there = models.Connection.filter(folder_id=folder.id, connector_key=connection.connector_key)
        connection.folder = folder
        connection.is_default = not await there.exists()
        connection.updated_at = self._clock()
        await self._save(connection)
        await record.append(connection, ConnectionEventType.MOVED, previous_folder_id=former_id)
        if connection.is_default:
            await record.append(connection, ConnectionEventType.DEFAULT_CHANGED)
        if folder.owner_id not in (None, connection.owner_id):
            assert folder.owner_id is not None
            await self._set_owner(record, connection, folder.owner_id, actor_id=actor_id)

    async def _set_owner(self, record: Record, connection: models.Connection, owner_id: UUID, *, actor_id: UUID) -> None:
        connection.owner_id = owner_id
        connection.updated_at = self._clock()
        await self._save(connection)
        await record.append(connection, ConnectionEventType.OWNER_CHANGED)
        await self._suspensions.reconsider_held(connection, actor_id=actor_id)

    async def _save(self, connection: models.Connection) -> None:
        try:
            await connection.save(update_fields=_MOVED)
        except IntegrityError:
            raise _Collision from None

    async def _reseal(self, connection: models.Connection, folder_id: UUID) -> None:
        """Its secrets, and those of its own app, for another folder. Raises Conflict where they cannot be opened."""
        credential = await models.Credential.get(connection_id=connection.id)
        places = credential_place(credential.id, connection.folder_id), credential_place(credential.id, folder_id)
        await self._vault.look_for_key(credential.secrets)
        try:
            credential.secrets = self._vault.reseal(credential.secrets, *places)
            await self._take_app_along(connection, folder_id)
        except Unreadable:
            raise Conflict(
                "The secrets of this connection cannot be opened, so they cannot be sealed for another folder.",
                "Reconnect it, and move it then.",
            ) from None
        await credential.save(update_fields=["secrets"])

    async def _take_app_along(self, connection: models.Connection, folder_id: UUID) -> None:
        """The app that a person brought goes with the only connection that uses it; else it stays, and is used from there."""
        own = models.OAuthApp.filter(id=connection.oauth_app_id, origin=OAuthAppOrigin.CONNECTION, folder_id=connection.folder_id)
        app = await own.select_for_update(no_key=True).first()
        if app is None or await models.Connection.filter(oauth_app_id=app.id).exclude(id=connection.id).exists():
            return
        if await models.Authorization.exists(oauth_app_id=app.id, status=AuthorizationStatus.PENDING):
            return
        await self._apps.secrets.look_for_keys(app)
        self._apps.secrets.move(app, folder_id)
        await app.save(update_fields=["folder_id", *SECRET_FIELDS])

    async def _check_name(self, connection_id: UUID, folder_id: UUID) -> None:
        """Raises NameTaken where that is what stood in the way."""
        connection = await models.Connection.get_or_none(id=connection_id)
        if connection is None:
            return
        there = models.Connection.filter(folder_id=folder_id, connector_key=connection.connector_key, name_key=connection.name_key)
        if await there.exclude(id=connection_id).exists():
            raise NameTaken(connection.name, "that folder for this connector")


def _too_many_at_once() -> Conflict:
    return Conflict("Too many connections are being made there at once.", "Try again.")
