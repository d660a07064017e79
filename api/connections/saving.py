"""New tokens written down: fenced by the credential that they replace, many of them in one transaction.

On PostgreSQL most take one statement. The others of those that are gathered wait for nobody who holds one of the connections: those are
saved by themselves afterwards, each in a transaction of its own, and so is every one of a transaction that fails. So one that cannot be
saved, or must wait, is in no other's way.
"""

import logging
import random
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from uuid import UUID

import models
from api.clock import Clock
from api.connections.attempt import Intent
from api.connections.gathering import Gathering
from api.connections.journal import Journal
from api.connections.replacing import Replacement, replace_unchanged
from api.connections.schedule import plan, planned_of
from api.connections.secrets import Secrets, credential_place
from api.connections.subjects import Subject
from api.events.log import EventLog, Record
from api.oauth.tokens import TokenSet
from api.vault.vault import Vault
from models import ConnectionEventType, ConnectionStatus, Sealed, StatusReason
from models.joined import Joined
from models.leases import Lease
from models.rows import for_each, is_postgresql, read_uuid

logger = logging.getLogger(__name__)

_AT_ONCE = 250

# Both are held: who waited for a connection must see the credential that it has by then, and not the one of before.
_HOLD = """
SELECT {connection}, credential.id AS credential_id, credential.generation, credential.fingerprint
FROM connection JOIN credential ON credential.connection_id = connection.id
WHERE connection.id = ANY($1) ORDER BY connection.id
"""
_ON_SQLITE, _WAITING, _PASSING_OVER = (
    # allowed: made-statement: all of it is written down in here
    Joined(_HOLD + lock, {"connection": models.Connection}, ("credential_id", "generation", "fingerprint"))
    # On SQLite a transaction holds everything.
    for lock in ("", "FOR UPDATE", "FOR UPDATE SKIP LOCKED")
)
_REPLACE = """
UPDATE credential SET secrets = $4, fingerprint = $5, generation = generation + 1, obtained_at = $6, refresh_expires_at = $7
WHERE id = $1 AND generation = $2 AND fingerprint = $3
"""
_RENEW = """
UPDATE connection SET failures = 0, internal_failures = 0, due_at = $2, priority = $3, expires_at = $4, last_refreshed_at = $5,
  app_secret_at = $6, scopes = COALESCE($7, scopes), lease_holder = $8, lease_until = $9
WHERE id = $1
"""
# By itself: to name these columns is to write into the indexes of lists, and few of those that are renewed were not well before.
_DESCRIBE = "UPDATE connection SET status = $2, reason_json = $3, status_changed_at = $4, updated_at = $5 WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Renewed:
    """What came of an exchange, to be saved for the credential that it was made with."""

    subject: Subject
    intent: Intent
    tokens: TokenSet
    app_secret_at: datetime | None = None
    actor_id: UUID | None = None
    enabling: bool = False
    # To be given back with the same transaction.
    lease: Lease | None = None
    # In which it is sealed: with the keys that its attempt holds.
    context: Context = field(default_factory=copy_context)

    @property
    def connection_id(self) -> UUID:
        return self.subject.connection.id

    @property
    def secrets(self) -> Secrets:
        return self.subject.secrets.with_tokens(self.tokens)

    @property
    def refresh_expires_at(self) -> datetime | None:
        return self.tokens.refresh_expires_at or self.subject.credential.refresh_expires_at


class _Outcome(Enum):
    SAVED = "saved"
    # The credential is no longer the connection's, or the connection is gone.
    LATE = "late"
    # To be saved by itself.
    APART = "apart"


class Saving:
    def __init__(self, *, vault: Vault, log: EventLog, journal: Journal, clock: Clock, chance: random.Random) -> None:
        self._vault = vault
        self._log = log
        self._journal = journal
        self._clock = clock
        self._chance = chance
        self._gathered = Gathering(self._save_gathered, at_most=_AT_ONCE)

    async def save(self, renewed: Renewed) -> bool:
        """Whether it was saved: the credential that it replaces was still the connection's."""
        outcome = _Outcome.APART
        # What a person does is told as theirs.
        if renewed.actor_id is None:
            outcome = await self._gathered.ask(renewed)
        if outcome is _Outcome.APART:
            [outcome] = await self._save([renewed], waits=True)
        return outcome is _Outcome.SAVED

    async def _save_gathered(self, all: Sequence[Renewed]) -> list[_Outcome]:
        # A second one of the same connection is looked at once the first is saved.
        some = list({renewed.connection_id: renewed for renewed in reversed(all)}.values())
        outcomes: dict[int, _Outcome] = {}
        for save in (self._save_unchanged, self._save_others):
            left = [renewed for renewed in some if id(renewed) not in outcomes]
            try:
                outcomes |= await save(left)
            # Whatever it was, it is raised for whom it concerns, once each is alone.
            except Exception:
                logger.warning("renewals not saved together", extra={"count": len(left)})
        return [outcomes.get(id(renewed), _Outcome.APART) for renewed in all]

    async def _save_unchanged(self, some: Sequence[Renewed]) -> dict[int, _Outcome]:
        """Those of whose connections nothing else is to be written than that they were renewed."""
        usual = [renewed for renewed in some if _is_usual(renewed)] if is_postgresql() else []
        if not usual:
            return {}
        now = self._clock()
        replaced = await replace_unchanged([self._replacement(renewed, now) for renewed in usual], now)
        return {id(renewed): _Outcome.SAVED for renewed in usual if renewed.connection_id in replaced}

    async def _save_others(self, some: Sequence[Renewed]) -> dict[int, _Outcome]:
        if len(some) < 2:
            return {}
        return {id(renewed): outcome for renewed, outcome in zip(some, await self._save(some, waits=False), strict=True)}

    async def _save(self, all: Sequence[Renewed], *, waits: bool) -> list[_Outcome]:
        now = self._clock()
        async with self._log.refresh(all[0].actor_id) as record:
            # First, as a reconnect and a deletion do: locks taken in another order would wait for each other.
            held = await _hold([renewed.connection_id for renewed in all], waits=waits)
            outcomes = [_outcome(renewed, held.get(renewed.connection_id), waits=waits) for renewed in all]
            await self._journal.forget_each(
                renewed.intent for renewed, outcome in zip(all, outcomes, strict=True) if outcome is not _Outcome.APART
            )
            saved = [renewed for renewed, outcome in zip(all, outcomes, strict=True) if outcome is _Outcome.SAVED]
            await self._write(record, [(renewed, held[renewed.connection_id].connection) for renewed in saved], now)
        return outcomes

    async def _write(self, record: Record, saved: Sequence[tuple[Renewed, models.Connection]], now: datetime) -> None:
        await for_each(_REPLACE, [self._credential(renewed, connection.folder_id, now) for renewed, connection in saved])
        before = [connection.status for _, connection in saved]
        changed = [self._describe(renewed, connection, now) for renewed, connection in saved]
        await for_each(_RENEW, [_columns(renewed, connection, now) for renewed, connection in saved])
        told = [(connection, status) for (_, connection), status, has_changed in zip(saved, before, changed, strict=True) if has_changed]
        await for_each(_DESCRIBE, [[each.id, each.status, each.reason_json, each.status_changed_at, each.updated_at] for each, _ in told])
        for connection, status in told:
            await record.append(connection, ConnectionEventType.STATUS_CHANGED, previous_status=status)

    def _credential(self, renewed: Renewed, folder_id: UUID, now: datetime) -> list[object]:
        seen = renewed.subject.credential
        # For the folder that it is in now: it may have been moved while the provider was asked.
        sealed, fingerprint = self._seal(renewed, folder_id)
        return [seen.id, seen.generation, seen.fingerprint, sealed, fingerprint, now, renewed.refresh_expires_at]

    def _seal(self, renewed: Renewed, folder_id: UUID) -> tuple[Sealed, str]:
        """The new credential for its row, and the fingerprint of what its next exchange consumes."""
        secrets, place = renewed.secrets, credential_place(renewed.subject.credential.id, folder_id)
        return renewed.context.run(secrets.seal, self._vault, place), self._vault.fingerprint(secrets.consumed())

    def _replacement(self, renewed: Renewed, now: datetime) -> Replacement:
        connection, credential, expires_at = renewed.subject.connection, renewed.subject.credential, renewed.tokens.expires_at
        assert renewed.lease is not None
        planned = planned_of(connection, renewed.subject.provider.option, now, self._chance, expires_at=expires_at)
        return Replacement(
            connection.id,
            connection.folder_id,
            renewed.lease.number,
            connection.last_used_at,
            credential.id,
            credential.generation,
            credential.fingerprint,
            renewed.intent.row.id,
            *self._seal(renewed, connection.folder_id),
            renewed.refresh_expires_at,
            expires_at,
            *planned,
            renewed.app_secret_at,
        )

    def _describe(self, renewed: Renewed, connection: models.Connection, now: datetime) -> bool:
        """Change what it says of the connection; whether a watcher sees that."""
        changed = works(connection, now, enabling=renewed.enabling)
        connection.expires_at = renewed.tokens.expires_at
        plan(connection, renewed.subject.provider.option, now, self._chance)
        return changed


def _is_usual(renewed: Renewed) -> bool:
    """Whether its connection was well when it was read, and has no other scopes now, and the lease ends with the renewal."""
    connection, scopes = renewed.subject.connection, renewed.tokens.scopes
    was_well = connection.status is ConnectionStatus.CONNECTED and connection.reason_json is None
    return was_well and renewed.lease is not None and (scopes is None or list(scopes) == connection.scopes)


def works(connection: models.Connection, now: datetime, *, reason: StatusReason | None = None, enabling: bool) -> bool:
    """The credential works; a connection that is switched off stays off. Whether a watcher sees a change. Saves nothing."""
    connection.failures = connection.internal_failures = 0
    if connection.status is ConnectionStatus.DISABLED and not enabling:
        return False
    changed = connection.enter(ConnectionStatus.CONNECTED, reason, now)
    connection.updated_at = now if changed else connection.updated_at
    return changed


@dataclass(frozen=True, slots=True)
class _Held:
    """A connection as it is now, held until the transaction ends, and which credential it has."""

    connection: models.Connection
    credential: tuple[UUID, int, str]


async def _hold(connection_ids: Sequence[UUID], *, waits: bool) -> dict[UUID, _Held]:
    """Those that are there, by their ids; without waiting, those that nobody else holds."""
    on_postgresql = _WAITING if waits else _PASSING_OVER
    found = {}
    for row in await (on_postgresql if is_postgresql() else _ON_SQLITE).read([tuple(connection_ids)]):
        connection: models.Connection = row["connection"]
        found[connection.id] = _Held(connection, (read_uuid(row["credential_id"]), row["generation"], row["fingerprint"]))
    return found


def _outcome(renewed: Renewed, held: _Held | None, *, waits: bool) -> _Outcome:
    seen = renewed.subject.credential
    if held is None and not waits:
        return _Outcome.APART
    is_current = held is not None and held.credential == (seen.id, seen.generation, seen.fingerprint)
    return _Outcome.SAVED if is_current else _Outcome.LATE


def _columns(renewed: Renewed, connection: models.Connection, now: datetime) -> list[object]:
    """What is written of a connection, in the order of the statement."""
    ends_lease = renewed.lease is not None and renewed.lease.number == connection.lease_number
    scopes = None if renewed.tokens.scopes is None else list(renewed.tokens.scopes)
    return [
        connection.id,
        connection.due_at,
        connection.priority,
        connection.expires_at,
        now,
        renewed.app_secret_at,
        # Most are the same again.
        None if scopes == connection.scopes else scopes,
        None if ends_lease else connection.lease_holder,
        None if ends_lease else connection.lease_until,
    ]
