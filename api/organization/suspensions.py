"""What policies do to connections that are there: those that a policy with SUSPEND is against are switched off, and go on by themselves."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tortoise.expressions import Q

import models
from api.catalog.catalog import Catalog
from api.clock import Clock
from api.events.log import EventLog, Record
from api.organization.rulings import read_rulebook
from api.policy import Policy, Rulebook, Ruling
from models import AuthenticationType, ConnectionEventType, ConnectionStatus
from models.locks import Lock, hold

_BATCH = 500
_CHANGED = ["status", "reason_json", "status_changed_at", "due_at", "before_suspension", "updated_at"]


@dataclass(frozen=True, slots=True)
class Standing:
    """As much of a connection as policies look at."""

    id: UUID
    connector_key: str
    owner_id: UUID
    type: AuthenticationType
    folder_id: UUID
    name_key: str
    is_suspended: bool
    is_switched_off: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """How many connections were switched off, and how many go on."""

    suspended: int = 0
    resumed: int = 0


class Suspensions:
    def __init__(self, *, catalog: Catalog, log: EventLog, clock: Clock) -> None:
        self._catalog = catalog
        self._log = log
        self._clock = clock

    async def keep_others_out(self) -> None:
        """Let nobody rely on policies and memberships of groups, or change them, until the running transaction ends.

        First of all that a transaction does which changes one of them, or whose a connection is.
        """
        await hold(Lock.POLICIES, to_change=True)

    async def reconsider(
        self,
        *,
        actor_id: UUID | None,
        connector_keys: Collection[str] | None = None,
        user_ids: Collection[UUID] | None = None,
    ) -> Settled:
        """Switch off what a policy now suspends, and let go on what none does any more: of these connectors and owners; None: of all.

        Call it last in the transaction that changed policies or the members of groups. It holds connections, so that none may be held.
        """
        async with self._log.change(actor_id) as record:
            await self.keep_others_out()
            rulebook = await read_rulebook(connector_keys=connector_keys, user_ids=user_ids)
            standings = await read_standings(rulebook.connector_keys, connector_keys=connector_keys, user_ids=user_ids)
            return await self._settle(record, rulebook, standings)

    async def reconsider_held(self, connection: models.Connection, *, actor_id: UUID | None) -> None:
        """As `reconsider`, for one connection that is held and got another owner: other policies may be for them."""
        key, owner_id = connection.connector_key, connection.owner_id
        async with self._log.change(actor_id) as record:
            rulebook = await read_rulebook(connector_keys=[key], user_ids=[owner_id])
            standings = await read_standings([key], connector_keys=[key], user_ids=[owner_id])
            await self._settle(record, rulebook, [standing for standing in standings if standing.id == connection.id])

    async def _settle(self, record: Record, rulebook: Rulebook, standings: Iterable[Standing]) -> Settled:
        wanted = suspended_by(rulebook, standings)
        ids = sorted(wanted)
        suspended = resumed = 0
        for start in range(0, len(ids), _BATCH):
            # In one order, so that two who hold several do not wait for each other.
            held = models.Connection.filter(id__in=ids[start : start + _BATCH]).order_by("id").select_for_update()
            for connection in await held:
                was_suspended = connection.is_suspended
                await self._apply(record, connection, wanted[connection.id])
                suspended += connection.is_suspended and not was_suspended
                resumed += was_suspended and not connection.is_suspended
        return Settled(suspended, resumed)

    async def _apply(self, record: Record, connection: models.Connection, policy: Policy | None) -> None:
        now, previous = self._clock(), connection.status
        changed = connection.go_on(now) if policy is None else self._suspend(connection, policy, now)
        if not changed:
            return
        connection.updated_at = now
        await connection.save(update_fields=_CHANGED)
        await record.append(connection, ConnectionEventType.STATUS_CHANGED, previous_status=previous)

    def _suspend(self, connection: models.Connection, policy: Policy, now: datetime) -> bool:
        connector = self._catalog.find(connection.connector_key)
        name = connection.connector_key if connector is None else connector.name
        return connection.suspend(policy.suspension(name, connection.authentication_type), now)


async def read_standings(
    ruled_keys: Collection[str],
    *,
    connector_keys: Collection[str] | None = None,
    user_ids: Collection[UUID] | None = None,
) -> list[Standing]:
    """Connections that a policy may be about, or was: of connectors that have policies, or suspended."""
    found = models.Connection.filter(Q(connector_key__in=list(ruled_keys)) | Q(before_suspension__isnull=False))
    if connector_keys is not None:
        found = found.filter(connector_key__in=list(connector_keys))
    if user_ids is not None:
        found = found.filter(owner_id__in=list(user_ids))
    # Without their other columns: there may be many, and most are left alone.
    columns = ("id", "connector_key", "owner_id", "authentication_type", "folder_id", "name_key", "before_suspension", "status")
    return [
        Standing(
            id=row["id"],
            connector_key=row["connector_key"],
            owner_id=row["owner_id"],
            type=AuthenticationType(row["authentication_type"]),
            folder_id=row["folder_id"],
            name_key=row["name_key"],
            is_suspended=row["before_suspension"] is not None,
            is_switched_off=row["status"] == ConnectionStatus.DISABLED and row["before_suspension"] is None,
        )
        for row in await found.values(*columns)
    ]


def suspended_by(rulebook: Rulebook, standings: Iterable[Standing]) -> dict[UUID, Policy | None]:
    """For each connection of which something changes, or may: the policy that suspends it; None: none does any more."""
    standings = list(standings)
    rulings = rulings_on(rulebook, standings)
    wanted: dict[UUID, Policy | None] = {}
    for standing in standings:
        policy = rulings[standing.connector_key, standing.owner_id].suspension_of(standing.type)
        if standing.is_suspended or (policy is not None and not standing.is_switched_off):
            wanted[standing.id] = policy
    return wanted


def rulings_on(rulebook: Rulebook, standings: Iterable[Standing]) -> Mapping[tuple[str, UUID], Ruling]:
    """The ruling for every connector and owner that these connections have."""
    return {
        (key, owner_id): rulebook.ruling(key, owner_id) for key, owner_id in {(each.connector_key, each.owner_id) for each in standings}
    }
