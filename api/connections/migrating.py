"""What a new version of a connector would change, for whom, and moving connections to it. Needs MANAGE_CONNECTORS."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from uuid import UUID

import models
from api.access import Access, Actor
from api.audit import Audit
from api.catalog.catalog import KEY, Catalog
from api.catalog.comparing import Change, changes_between
from api.catalog.connector import Connector
from api.catalog.defining import define
from api.catalog.definition import ConnectorDefinition
from api.clock import Clock
from api.connections.versions import Effect, Fate, fates_of
from api.errors import NotFound
from api.organization.apps import serves
from api.organization.own_connectors import OwnConnectors, require_alive
from api.outbound.egress import EgressGuard
from models import OrganizationPermission
from models.database import transaction
from models.locks import Lock, hold

_MANAGE = OrganizationPermission.MANAGE_CONNECTORS
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Fates:
    """What becomes of connections: of all how many, and, by name, of those that the actor sees."""

    counts: Counter[Effect]
    seen: tuple[Fate, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What an update would do. `version`: the one that is offered now."""

    version: int
    changes: tuple[Change, ...]
    fates: Fates
    # OAuth apps whose secret would have to be given again before anybody signs in with them at the new addresses.
    apps_to_give_again: int


class Migrating:
    def __init__(self, *, access: Access, catalog: Catalog, own: OwnConnectors, guard: EgressGuard, audit: Audit, clock: Clock) -> None:
        self._access = access
        self._catalog = catalog
        self._own = own
        self._guard = guard
        self._audit = audit
        self._clock = clock

    async def preview(self, actor: Actor, definition: ConnectorDefinition) -> Preview:
        """What it would do to give a connector this definition. Nothing is written. Raises PermissionDenied, NotFound, InvalidInput."""
        await self._access.require(actor, _MANAGE)
        now = await self._offered(definition.key)
        before = self._own.find_definition(now.key, now.version)
        assert before is not None, "the catalogue has it from there"
        defined = define(definition, self._guard)
        new = replace(defined.connector, version=(now.version or 0) + 1)
        apps = await models.OAuthApp.filter(connector_key=now.key)
        return Preview(
            version=now.version or 0,
            changes=changes_between(before, definition),
            fates=await self._fates(actor, await models.Connection.filter(connector_key=now.key).order_by("name_key", "id"), new),
            apps_to_give_again=sum(not serves(app, new) for app in apps),
        )

    async def migrate(self, actor: Actor, key: str, connection_ids: Collection[UUID] | None) -> Fates:
        """Move connections to the version that is offered, as far as each can be; None: all. What became of each.

        Those that must be reconnected, or stay, are left as they are. Raises PermissionDenied, and NotFound also where a connection that is
        named cannot be seen.
        """
        async with self._audit.act(actor, "connector.migrate", key if KEY.fullmatch(key) else None) as act:
            await self._access.require(actor, _MANAGE)
            new = await self._offered(key)
            ids = await self._behind(actor, new, connection_ids)
            fates: list[Fate] = []
            async with transaction():
                # The version is not deleted meanwhile.
                await hold(Lock.POLICIES, to_change=False)
                await self._access.require(actor, _MANAGE)
                await require_alive(new)
                for start in range(0, len(ids), _AT_ONCE):
                    fates += await self._move(ids[start : start + _AT_ONCE], new)
                moved = sum(fate.effect is Effect.MIGRATES for fate in fates)
                await act.done(subject_name=new.name, detail=f"{moved} of {len(fates)} connections moved to version {new.version}")
        return await self._seen(actor, fates)

    async def _offered(self, key: str) -> Connector:
        """The connector of one's own, as it is offered at this moment. Raises NotFound."""
        await self._own.read()
        connector = self._catalog.find(key)
        if connector is None or connector.version is None:
            raise NotFound("connector")
        return connector

    async def _behind(self, actor: Actor, new: Connector, connection_ids: Collection[UUID] | None) -> list[UUID]:
        """Connections that have a former version, in the one order in which several are ever held."""
        found = models.Connection.filter(connector_key=new.key)
        if connection_ids is not None:
            found = found.filter(id__in=list(connection_ids))
            visible = await self._access.permissions(actor, {each.folder_id for each in await found.only("folder_id")})
            if await found.filter(folder_id__in=list(visible)).count() < len(set(connection_ids)):
                raise NotFound("connection")
        behind = await found.filter(connector_version__lt=new.version).order_by("id").only("id")
        return [connection.id for connection in behind]

    async def _move(self, ids: list[UUID], new: Connector) -> list[Fate]:
        # One that its owner has reconnected meanwhile may have this version, or a later one.
        behind = models.Connection.filter(id__in=ids, connector_version__lt=new.version)
        fates = await fates_of(await behind.order_by("id").select_for_update(), new, self._catalog)
        moved = {"connector_version": new.version, "updated_at": self._clock()}
        moving = [fate.connection for fate in fates if fate.effect is Effect.MIGRATES]
        await models.Connection.filter(id__in=[connection.id for connection in moving]).update(**moved)
        for connection in moving:
            connection.update_from_dict(moved)
        return fates

    async def _fates(self, actor: Actor, connections: list[models.Connection], new: Connector) -> Fates:
        return await self._seen(actor, await fates_of(connections, new, self._catalog))

    async def _seen(self, actor: Actor, fates: list[Fate]) -> Fates:
        visible = await self._access.visible_folders(actor)
        seen = [fate for fate in fates if fate.connection.folder_id in visible]
        ordered = sorted(seen, key=lambda fate: (fate.connection.name_key, fate.connection.id))
        return Fates(Counter(fate.effect for fate in fates), tuple(ordered))
