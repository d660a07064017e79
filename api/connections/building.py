"""Connectors of one's own: made, changed, and taken away with all that hangs upon them. Needs MANAGE_CONNECTORS."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

import models
from api.access import Access, Actor
from api.audit import Audit
from api.catalog.catalog import KEY, Catalog
from api.catalog.connector import Connector
from api.catalog.defining import Defined, define
from api.catalog.definition import ConnectorDefinition
from api.catalog.definition_json import definition_to_json
from api.catalog.document import toml_of
from api.clock import Clock
from api.connections import reasons
from api.connections.refresher import Refresher
from api.errors import Conflict, NotFound, PermissionDenied
from api.events.log import EventLog, Record
from api.organization.own_connectors import OwnConnectors
from api.organization.suspensions import Suspensions
from api.outbound.egress import EgressGuard
from models import AuthorizationStatus, ConnectionEventType, OrganizationPermission, Permission
from models.database import transaction
from models.locks import Lock, hold

_MANAGE = OrganizationPermission.MANAGE_CONNECTORS
_REVOKE_AT_ONCE = 8

Ending = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Removed:
    """A connector that is no more, with how many connections went, and how many of those were ended at the provider too."""

    key: str
    connections: int
    revoked: int


class Building:
    def __init__(
        self,
        *,
        access: Access,
        catalog: Catalog,
        own: OwnConnectors,
        guard: EgressGuard,
        suspensions: Suspensions,
        refresher: Refresher,
        log: EventLog,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._access = access
        self._catalog = catalog
        self._own = own
        self._guard = guard
        self._suspensions = suspensions
        self._refresher = refresher
        self._log = log
        self._audit = audit
        self._clock = clock

    async def create(self, actor: Actor, definition: ConnectorDefinition) -> Connector:
        """A connector that is offered here from now on. Raises PermissionDenied, InvalidInput, Conflict where the key is taken."""
        async with self._audit.act(actor, "connector.create", _key_in(definition.key)) as act:
            await self._access.require(actor, _MANAGE)
            defined = define(definition, self._guard)
            async with transaction():
                await hold(Lock.INSTALLED_CONNECTORS, to_change=True)
                await self._access.require(actor, _MANAGE)
                await self._refuse_taken(definition.key)
                row = await self._add(actor, defined)
                said = {"installed": True, "changed_at": row.created_at}
                await models.ConnectorInstallation.update_or_create(defaults=said, connector_key=definition.key)
                await act.done(subject_name=definition.name, detail=f"version {row.version}")
                await self._own.tell()
        await self._own.read()
        return replace(defined.connector, version=row.version)

    async def update(self, actor: Actor, definition: ConnectorDefinition) -> Connector:
        """A new version, with which connections are made from now on; those that are there keep theirs. No change: no new version.

        Raises PermissionDenied, NotFound, InvalidInput, and Conflict where the connector comes from a file.
        """
        async with self._audit.act(actor, "connector.update", _key_in(definition.key)) as act:
            await self._access.require(actor, _MANAGE)
            await self._newest(definition.key)
            defined = define(definition, self._guard)
            async with transaction():
                await hold(Lock.INSTALLED_CONNECTORS, to_change=True)
                await self._access.require(actor, _MANAGE)
                row = await self._newest(definition.key)
                changed = (row.definition, row.document) != _kept(defined)
                row = await self._add(actor, defined) if changed else row
                detail = f"version {row.version}" if changed else "nothing changed"
                await act.done(subject_name=definition.name, detail=detail)
                await self._own.tell()
        await self._own.read()
        return replace(defined.connector, version=row.version)

    async def delete(self, actor: Actor, key: str, *, with_connections: bool = False) -> Removed:
        """The connector, its OAuth apps and policies. Consents under way end. With its connections, or else only where there are none.

        Connections are deleted as one by one, and ended at the provider where that can be: by who may delete each of them, or an
        administrator. Raises PermissionDenied, NotFound, Conflict.
        """
        async with self._audit.act(actor, "connector.delete", _key_in(key)) as act:
            async with self._log.change(actor.user_id) as record:
                # Nobody makes a connection, a policy or an app of it meanwhile.
                await self._suspensions.keep_others_out()
                await hold(Lock.INSTALLED_CONNECTORS, to_change=True)
                await self._access.require(actor, _MANAGE)
                name = str((await self._newest(key)).definition["name"])
                connections = await models.Connection.filter(connector_key=key).order_by("id").select_for_update()
                if connections and not with_connections:
                    raise _in_use(name, len(connections))
                await self._require_deletion(actor, connections)
                endings = [await self._delete_connection(record, connection) for connection in connections]
                await _forget(key, name, self._clock())
                await act.done(subject_name=name, detail=f"{len(connections)} connections deleted")
                await self._own.tell()
            await self._own.read()
        revoked = await _all_ended([ending for ending in endings if ending is not None])
        return Removed(key, len(connections), revoked)

    async def export(self, actor: Actor, key: str) -> str | None:
        """The connector as a connector file; None where it is none of one's own, or the actor does not manage connectors."""
        if KEY.fullmatch(key) is None or not await self._access.may(actor, _MANAGE):
            return None
        row = await models.ConnectorVersion.alive().filter(connector_key=key).order_by("-version").first()
        return None if row is None else toml_of(row.document)

    async def _refuse_taken(self, key: str) -> None:
        if self._catalog.find_file(key) is not None:
            raise Conflict(f"A connector with the key “{key}” comes with this installation.", "Choose another key.")
        if await models.ConnectorVersion.alive().filter(connector_key=key).exists():
            raise Conflict(f"There is a connector with the key “{key}” already.", "Change it by updateConnector, or choose another key.")
        # They were made for whatever had the key before, and must not become this one's.
        for kind in (models.Connection, models.OAuthApp, models.ConnectorPolicy):
            if await kind.filter(connector_key=key).exists():
                raise Conflict(f"Something of an earlier connector “{key}” is still there.", "Delete it, or choose another key.")

    async def _newest(self, key: str) -> models.ConnectorVersion:
        """The version that is offered. Raises NotFound, and Conflict where the connector comes from a file."""
        # Not every text may be asked a database for.
        found = models.ConnectorVersion.alive().filter(connector_key=key).order_by("-version")
        row = await found.first() if KEY.fullmatch(key) else None
        if row is None and self._catalog.find_file(key) is not None:
            raise Conflict("This connector comes with this installation.", "Make one of your own, by another key.")
        if row is None:
            raise NotFound("connector")
        return row

    async def _add(self, actor: Actor, defined: Defined) -> models.ConnectorVersion:
        key = defined.connector.key
        last = await models.ConnectorVersion.filter(connector_key=key).order_by("-version").first()
        definition, document = _kept(defined)
        return await models.ConnectorVersion.create(
            id=uuid4(),
            connector_key=key,
            version=1 if last is None else last.version + 1,
            definition=definition,
            document=document,
            created_at=self._clock(),
            created_by_id=actor.user_id,
        )

    async def _require_deletion(self, actor: Actor, connections: list[models.Connection]) -> None:
        """Raises PermissionDenied where the actor may not delete one of these."""
        known = await self._access.as_known(actor)
        if not connections or (known is not None and known.may_administer):
            # In a shared folder an administrator may do everything, and in a workspace end what is there.
            return
        allowed = {} if known is None else await self._access.visible_folders(known)
        if any(Permission.DELETE not in allowed.get(connection.folder_id, Permission(0)) for connection in connections):
            told = "Some connections of this connector are not yours to delete.", "Ask an administrator to delete it."
            raise PermissionDenied(None, told=told)

    async def _delete_connection(self, record: Record, connection: models.Connection) -> Ending | None:
        ending = await self._refresher.ending(connection.id)
        await record.append(connection, ConnectionEventType.DELETED)
        await connection.delete()
        return ending


def _kept(defined: Defined) -> tuple[dict[str, object], dict[str, object]]:
    """Definition and document, as a database gives them back."""
    return definition_to_json(defined.definition), defined.document


def _key_in(key: str) -> str | None:
    """What the audit log is told: any other text is not for it."""
    return key if KEY.fullmatch(key) else None


def _in_use(name: str, count: int) -> Conflict:
    users = "1 connection uses" if count == 1 else f"{count} connections use"
    return Conflict(f"{users} {name}.", "Delete them first, or say that they are to be deleted with it (plan: { connections: DELETE }).")


async def _forget(key: str, name: str, now: datetime) -> None:
    """All that hangs upon a connector without connections. No secret stays behind."""
    await models.ConnectorPolicy.filter(connector_key=key).delete()
    consents = models.Authorization.filter(connector_key=key)
    failed = {"status": AuthorizationStatus.FAILED, "reason_json": reasons.connector_deleted(name).to_json()}
    await consents.filter(status=AuthorizationStatus.PENDING).update(**failed)
    await consents.update(secrets=None, state_hash=None, oauth_app_id=None)
    await models.OAuthApp.filter(connector_key=key).delete()
    await models.ConnectorInstallation.filter(connector_key=key).delete()
    await models.ConnectorVersion.alive().filter(connector_key=key).update(deleted_at=now)


async def _all_ended(endings: list[Ending]) -> int:
    """End these grants at their providers, some at a time; how many were."""
    places = asyncio.Semaphore(_REVOKE_AT_ONCE)

    async def end(ending: Ending) -> bool:
        async with places:
            return await ending()

    async with asyncio.TaskGroup() as tasks:
        ended = [tasks.create_task(end(ending)) for ending in endings]
    return sum(task.result() for task in ended)
