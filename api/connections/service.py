"""What is done to a connection that is there."""

from dataclasses import dataclass
from uuid import UUID

from tortoise.exceptions import IntegrityError

import models
from api.access import Access, Actor
from api.audit import Act, Audit
from api.clock import Clock
from api.connections import reasons
from api.connections.refresher import Refresher
from api.errors import NameTaken, ProviderFailure
from api.events.log import EventLog, Record
from api.names import checked_name
from api.organization.apps import OAuthApps
from api.organization.rulings import Rulings
from api.organization.suspensions import Suspensions
from models import ConnectionEventType, ConnectionStatus, Permission
from models.holding import find_connection


@dataclass(frozen=True, slots=True)
class Verified:
    connection: models.Connection
    latency_ms: int


@dataclass(frozen=True, slots=True)
class Deleted:
    connection_id: UUID
    revoked_at_provider: bool
    was_default: bool


class _Gone(Exception):
    """A connection is not any more where it was seen."""


class Connections:
    def __init__(
        self,
        *,
        access: Access,
        log: EventLog,
        refresher: Refresher,
        apps: OAuthApps,
        rulings: Rulings,
        suspensions: Suspensions,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._access = access
        self._log = log
        self._refresher = refresher
        self._apps = apps
        self._rulings = rulings
        self._suspensions = suspensions
        self._audit = audit
        self._clock = clock

    async def rename(self, actor: Actor, connection_id: UUID, name: str) -> models.Connection:
        """Needs EDIT. Raises NotFound, PermissionDenied, InvalidInput, NameTaken."""
        async with self._audit.act(actor, "connection.rename", connection_id) as act:
            name = checked_name(name)
            try:
                renamed = await self._rename_at_once(act, actor, connection_id, name)
                return await self._rename_held(act, actor, connection_id, name) if renamed is None else renamed
            except IntegrityError:
                raise NameTaken(name, "this folder for this connector") from None

    async def _rename_at_once(self, act: Act, actor: Actor, connection_id: UUID, name: str) -> models.Connection | None:
        """As `rename`, without a transaction around it; None where that takes one, or something is wrong, and then nothing is done."""
        connection = await find_connection(connection_id)
        allowed = None if connection is None else self._access.condition(actor, connection.folder, Permission.EDIT)
        if connection is None or allowed is None or connection.name == name:
            return None
        told = act.told(subject_name=name, folder_id=connection.folder_id, detail=f"was {connection.name}")
        change = connection.renamed(name, self._clock())
        act.is_written = await self._log.change_if(
            change, allowed, connection=connection, type=ConnectionEventType.RENAMED, told=told, actor_id=actor.user_id
        )
        return connection if act.is_written else None

    async def _rename_held(self, act: Act, actor: Actor, connection_id: UUID, name: str) -> models.Connection:
        async with self._log.change(actor.user_id) as record:
            connection = await self._access.held(actor, connection_id, Permission.EDIT)
            detail = f"was {connection.name}"
            if connection.name == name:
                await act.done(subject_name=name, folder_id=connection.folder_id, detail=detail)
            else:
                told = act.told(subject_name=name, folder_id=connection.folder_id, detail=detail)
                change = connection.renamed(name, self._clock())
                await record.change(change, connection=connection, type=ConnectionEventType.RENAMED, told=told)
                act.is_written = True
        return connection

    async def set_default(self, actor: Actor, connection_id: UUID) -> models.Connection:
        """Needs EDIT. The default before is one no more. Raises NotFound, PermissionDenied."""
        async with self._audit.act(actor, "connection.set_default", connection_id) as act:
            while True:
                try:
                    async with self._log.change(actor.user_id) as record:
                        connection = await self._prefer(record, actor, connection_id)
                        await act.done(subject_name=connection.name, folder_id=connection.folder_id)
                    return connection
                except _Gone:
                    # It was moved or deleted in between: then look again where it is.
                    continue

    async def _prefer(self, record: Record, actor: Actor, connection_id: UUID) -> models.Connection:
        seen = await self._access.connection(actor, connection_id, Permission.EDIT)
        # All of them, in one order: two who do this at once would else each see the default of before, or wait for each other.
        siblings = models.Connection.filter(folder_id=seen.folder_id, connector_key=seen.connector_key)
        held = {sibling.id: sibling for sibling in await siblings.order_by("id").select_for_update()}
        connection = held.pop(connection_id, None)
        if connection is None:
            raise _Gone
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
        """Needs USE. Raises NotFound, PermissionDenied, PolicyViolation where a policy suspends it, ProviderFailure, Conflict."""
        async with self._audit.act(actor, "connection.verify", connection_id) as act:
            connection = await self._access.connection(actor, connection_id, Permission.USE)
            await self._rulings.require_in_force(connection)
            proof = await self._refresher.verify(connection.id, actor_id=actor.user_id)
            await act.done(subject_name=connection.name, folder_id=connection.folder_id)
            return Verified(await self._access.connection(actor, connection.id, Permission.USE), proof.latency_ms)

    async def disable(self, actor: Actor, connection_id: UUID) -> models.Connection:
        """Needs EDIT. Nothing is asked of the provider any more. Raises NotFound, PermissionDenied."""
        async with self._audit.act(actor, "connection.disable", connection_id) as act, self._log.change(actor.user_id) as record:
            connection = await self._access.held(actor, connection_id, Permission.EDIT)
            previous = connection.status
            if connection.enter(ConnectionStatus.DISABLED, reasons.disabled_by_user(), self._clock()):
                connection.due_at = None
                # From now on it is a person who switched it off: it does not go on by itself.
                connection.before_suspension = None
                connection.updated_at = self._clock()
                await connection.save(
                    update_fields=["status", "reason_json", "status_changed_at", "due_at", "before_suspension", "updated_at"]
                )
                await record.append(connection, ConnectionEventType.STATUS_CHANGED, previous_status=previous)
            await act.done(subject_name=connection.name, folder_id=connection.folder_id)
        return connection

    async def enable(self, actor: Actor, connection_id: UUID) -> models.Connection:
        """Needs EDIT. The provider is asked at once, and the status is what it says.

        Raises NotFound, PermissionDenied, PolicyViolation where a policy suspends it, Conflict.
        """
        async with self._audit.act(actor, "connection.enable", connection_id) as act:
            connection = await self._access.connection(actor, connection_id, Permission.EDIT)
            if connection.status is ConnectionStatus.DISABLED:
                await self._rulings.require_in_force(connection)
                try:
                    await self._refresher.verify(connection.id, actor_id=actor.user_id, enabling=True)
                except ProviderFailure:
                    # It is switched on; that it does not work is what its status says now.
                    pass
                # A policy may have come into force while the provider was asked.
                await self._suspensions.reconsider(actor_id=None, connector_keys=[connection.connector_key], user_ids=[connection.owner_id])
                connection = await self._access.connection(actor, connection.id, Permission.EDIT)
            await act.done(subject_name=connection.name, folder_id=connection.folder_id)
        return connection

    async def delete(self, actor: Actor, connection_id: UUID) -> Deleted:
        """Needs DELETE; of what is in a workspace its owner or an administrator. Deleted here first, then revoked at the provider.

        Raises NotFound, PermissionDenied.
        """
        async with self._audit.act(actor, "connection.delete", connection_id) as act, self._log.change(actor.user_id) as record:
            connection = await self._access.find_administered(actor, connection_id)
            connection = connection or await self._access.held(actor, connection_id, Permission.DELETE)
            ending = await self._refresher.ending(connection_id)
            await record.append(connection, ConnectionEventType.DELETED)
            await connection.delete()
            await self._apps.forget_unused(connection.oauth_app_id)
            await act.done(subject_name=connection.name, folder_id=connection.folder_id)
        revoked = ending is not None and await ending()
        return Deleted(connection_id, revoked_at_provider=revoked, was_default=connection.is_default)
