"""What is done to a connection that is there."""

from dataclasses import dataclass
from uuid import UUID

from tortoise.exceptions import IntegrityError

import models
from api.access import Access, Actor
from api.clock import Clock
from api.connections import reasons
from api.connections.refresher import Refresher
from api.errors import NameTaken, NotFound, ProviderFailure
from api.events.log import EventLog
from api.names import checked_name
from api.organization.apps import OAuthApps
from models import ConnectionEventType, ConnectionStatus, Permission


@dataclass(frozen=True, slots=True)
class Verified:
    connection: models.Connection
    latency_ms: int


@dataclass(frozen=True, slots=True)
class Deleted:
    connection_id: UUID
    revoked_at_provider: bool
    was_default: bool


class Connections:
    def __init__(self, *, access: Access, log: EventLog, refresher: Refresher, apps: OAuthApps, clock: Clock) -> None:
        self._access = access
        self._log = log
        self._refresher = refresher
        self._apps = apps
        self._clock = clock

    async def rename(self, actor: Actor, connection_id: UUID, name: str) -> models.Connection:
        """Needs EDIT. Raises NotFound, PermissionDenied, InvalidInput, NameTaken."""
        name = checked_name(name)
        try:
            async with self._log.change(actor.user_id) as record:
                connection = await self._held(actor, connection_id, Permission.EDIT)
                if connection.name == name:
                    return connection
                connection.rename(name)
                connection.updated_at = self._clock()
                await connection.save(update_fields=["name", "name_key", "updated_at"])
                await record.append(connection, ConnectionEventType.RENAMED)
        except IntegrityError:
            raise NameTaken(name, "this folder for this connector") from None
        return connection

    async def set_default(self, actor: Actor, connection_id: UUID) -> models.Connection:
        """Needs EDIT. The default before is one no more. Raises NotFound, PermissionDenied."""
        async with self._log.change(actor.user_id) as record:
            seen = await self._access.connection(actor, connection_id, Permission.EDIT)
            # All of them, in one order: two who do this at once would else each see the default of before, or wait for each other.
            siblings = models.Connection.filter(folder_id=seen.folder_id, connector_key=seen.connector_key)
            held = {sibling.id: sibling for sibling in await siblings.order_by("id").select_for_update()}
            connection = held.pop(connection_id, None)
            if connection is None:
                raise NotFound("connection")
            if connection.is_default:
                return connection
            now = self._clock()
            for former in held.values():
                if former.is_default:
                    former.is_default, former.updated_at = False, now
                    await former.save(update_fields=["is_default", "updated_at"])
                    await record.append(former, ConnectionEventType.DEFAULT_CHANGED)
            connection.is_default, connection.updated_at = True, now
            await connection.save(update_fields=["is_default", "updated_at"])
            await record.append(connection, ConnectionEventType.DEFAULT_CHANGED)
        return connection

    async def verify(self, actor: Actor, connection_id: UUID) -> Verified:
        """Needs USE. Raises NotFound, PermissionDenied, ProviderFailure, Conflict."""
        connection = await self._access.connection(actor, connection_id, Permission.USE)
        proof = await self._refresher.verify(connection.id, actor_id=actor.user_id)
        return Verified(await self._access.connection(actor, connection.id, Permission.USE), proof.latency_ms)

    async def disable(self, actor: Actor, connection_id: UUID) -> models.Connection:
        """Needs EDIT. Nothing is asked of the provider any more. Raises NotFound, PermissionDenied."""
        async with self._log.change(actor.user_id) as record:
            connection = await self._held(actor, connection_id, Permission.EDIT)
            previous = connection.status
            if connection.enter(ConnectionStatus.DISABLED, reasons.disabled_by_user(), self._clock()):
                connection.due_at = None
                connection.updated_at = self._clock()
                await connection.save(update_fields=["status", "reason_json", "status_changed_at", "due_at", "updated_at"])
                await record.append(connection, ConnectionEventType.STATUS_CHANGED, previous_status=previous)
        return connection

    async def enable(self, actor: Actor, connection_id: UUID) -> models.Connection:
        """Needs EDIT. The provider is asked at once, and the status is what it says. Raises NotFound, PermissionDenied, Conflict."""
        connection = await self._access.connection(actor, connection_id, Permission.EDIT)
        if connection.status is ConnectionStatus.DISABLED:
            try:
                await self._refresher.verify(connection.id, actor_id=actor.user_id, enabling=True)
            except ProviderFailure:
                # It is switched on; that it does not work is what its status says now.
                pass
            connection = await self._access.connection(actor, connection.id, Permission.EDIT)
        return connection

    async def delete(self, actor: Actor, connection_id: UUID) -> Deleted:
        """Needs DELETE. Deleted here first, then revoked at the provider, where it can be. Raises NotFound, PermissionDenied."""
        ending = await self._refresher.ending(connection_id)
        async with self._log.change(actor.user_id) as record:
            connection = await self._held(actor, connection_id, Permission.DELETE)
            await record.append(connection, ConnectionEventType.DELETED)
            await connection.delete()
            await self._apps.forget_unused(connection.oauth_app_id)
        revoked = ending is not None and await ending()
        return Deleted(connection_id, revoked_at_provider=revoked, was_default=connection.is_default)

    async def _held(self, actor: Actor, connection_id: UUID, permission: Permission) -> models.Connection:
        """The connection as it is now, held until the transaction ends. Raises NotFound, PermissionDenied."""
        await self._access.connection(actor, connection_id, permission)
        connection = await models.Connection.select_for_update().get_or_none(id=connection_id)
        if connection is None:
            raise NotFound("connection")
        return connection
