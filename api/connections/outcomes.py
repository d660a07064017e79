"""What came of an attempt to renew or to prove a credential, written down: fenced, column by column, with its event.

A result counts only for the credential that it was got with: an answer that comes late, after a reconnect or beside another refresh,
changes nothing. A connection that was switched off or deleted meanwhile stays so.
"""

import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

import models
from api.clock import Clock
from api.connections import reasons
from api.connections.attempt import Intent
from api.connections.incidents import AppFault, block, has_incident, is_blocked
from api.connections.journal import Journal
from api.connections.proof import Proof
from api.connections.saving import Renewed, Saving, works
from api.connections.schedule import plan, rank, retry_at
from api.connections.subjects import ConnectorGone, Subject
from api.errors import ProviderFailure
from api.events.log import EventLog
from api.oauth.tokens import TokenSet
from api.vault.vault import Unreadable, Vault
from models import ConnectionEventType, ConnectionStatus, Fixer, StatusReason, StatusReasonCode
from models.leases import Lease

logger = logging.getLogger(__name__)

# A consent that ends within this time, and not for the first time, ends for a reason that a new consent does not mend.
_SHORT_LIFE = timedelta(days=8)
_REMEMBERED = timedelta(days=60)
_SET_ASIDE_AFTER = 3
_ASIDE = timedelta(hours=1)
_DEATHS = {StatusReasonCode.REAUTHENTICATION_REQUIRED, StatusReasonCode.EXPIRES_FREQUENTLY}
# What says nothing of the grant: the token works for as long as it lasts.
_MENDED_ELSEWHERE = {StatusReasonCode.INVALID_CLIENT, StatusReasonCode.PROVIDER_UNREACHABLE}


class Outcomes:
    def __init__(self, *, vault: Vault, log: EventLog, journal: Journal, clock: Clock, chance: random.Random) -> None:
        self._log = log
        self._saving = Saving(vault=vault, log=log, journal=journal, clock=clock, chance=chance)
        self._clock = clock
        self._chance = chance

    async def renewed(
        self,
        subject: Subject,
        intent: Intent,
        tokens: TokenSet,
        *,
        app_secret_at: datetime | None = None,
        actor_id: UUID | None = None,
        enabling: bool = False,
        lease: Lease | None = None,
    ) -> bool:
        """The provider gave new tokens; `app_secret_at` says which secret of the app it took, as far as that is known.

        With them the lease is given back, if it is named. False where the credential that they replace is no longer the connection's.
        """
        renewed = Renewed(subject, intent, tokens, app_secret_at, actor_id, enabling=enabling, lease=lease)
        return await self._saving.save(renewed)

    async def proven(self, subject: Subject, proof: Proof, *, actor_id: UUID | None = None, enabling: bool = False) -> None:
        """The provider took the credential; if it is no longer the connection's, this says nothing of it."""
        now = self._clock()
        async with self._log.change(actor_id) as record:
            connection = await _find_current(subject)
            if connection is None:
                return
            # That a token is taken says nothing of the app, which will be needed for the next one.
            kept = connection.reason if is_blocked(connection) else None
            previous, changed = connection.status, works(connection, now, reason=kept, enabling=enabling)
            connection.last_verified_at = now
            connection.account = proof.account or connection.account
            plan(connection, subject.provider.option, now, self._chance)
            await connection.save(update_fields=[*_STATE, "last_verified_at", "account"])
            if changed:
                await record.append(connection, ConnectionEventType.STATUS_CHANGED, previous_status=previous)

    async def ended(self, subject: Subject) -> None:
        """The provider rejects a token before the end that it gave it: it has ended now."""
        async with self._log.change():
            connection = await _find_current(subject)
            if connection is not None:
                connection.expires_at = self._clock()
                await connection.save(update_fields=["expires_at"])

    async def note(self, subject: Subject, failure: ProviderFailure, *, actor_id: UUID | None = None, enabling: bool = False) -> None:
        """Write down what a failure means, for the connection or for its app."""
        if isinstance(failure, AppFault):
            await self.blocked_by_app(subject, failure.reason, actor_id=actor_id, enabling=enabling)
            return
        connection = await self.failed(subject, failure, actor_id=actor_id, enabling=enabling)
        logger.warning(
            "connection failed",
            extra={
                "connection": str(subject.connection.id),
                "reason": failure.reason.code,
                "status": None if connection is None else connection.status,
            },
        )

    async def failed(
        self, subject: Subject, failure: ProviderFailure, *, actor_id: UUID | None = None, enabling: bool = False
    ) -> models.Connection | None:
        """The provider refused, or said nothing. None where the credential is no longer the connection's: then this says nothing of it."""
        now = self._clock()
        async with self._log.change(actor_id) as record:
            connection = await _find_current(subject)
            if connection is None:
                return None
            connection.failures, connection.internal_failures = connection.failures + 1, 0
            status, reason = await self._verdict(connection, subject.provider.name, failure, now)
            previous = connection.status
            if connection.status is ConnectionStatus.DISABLED and not enabling:
                changed = False
            else:
                changed = connection.enter(status, reason, now)
                connection.due_at = None if _is_over(connection) else self._again_at(connection, failure, now)
                rank(connection, now)
            connection.updated_at = now if changed else connection.updated_at
            await connection.save(update_fields=_STATE)
            if changed:
                await record.append(connection, ConnectionEventType.STATUS_CHANGED, previous_status=previous)
        return connection

    async def blocked_by_app(self, subject: Subject, reason: StatusReason, *, actor_id: UUID | None = None, enabling: bool = False) -> None:
        """Its app is at fault, and nothing about the connection itself."""
        now = self._clock()
        async with self._log.change(actor_id) as record:
            connection = await _find_current(subject)
            if connection is None or (connection.status is ConnectionStatus.DISABLED and not enabling):
                return
            # What a person must do about the connection itself says more.
            if connection.status is ConnectionStatus.ACTION_REQUIRED and connection.due_at is None:
                return
            if not await has_incident(connection.oauth_app_id):
                # Mended meanwhile: whoever tells the connections so may have been here before.
                connection.due_at = now
                await connection.save(update_fields=["due_at"])
                return
            previous = connection.status
            changed = block(connection, reason, now, self._chance)
            rank(connection, now)
            await connection.save(update_fields=_STATE)
            if changed:
                await record.append(connection, ConnectionEventType.STATUS_CHANGED, previous_status=previous)

    async def blocked(self, lease: Lease, reason: StatusReason, *, actor_id: UUID | None = None, enabling: bool = False) -> None:
        """Nothing can be tried, for a reason on our own side. It is looked at again, later and later."""
        now = self._clock()
        async with self._log.change(actor_id) as record:
            connection = await _find_locked(lease.connection_id)
            # A reconnect takes the lease away: what could not be opened is not the connection's any more.
            if connection is None or connection.lease_number != lease.number:
                return
            if connection.status is ConnectionStatus.DISABLED and not enabling:
                return
            previous = connection.status
            connection.failures += 1
            connection.due_at = retry_at(now, connection.failures, self._chance)
            rank(connection, now)
            changed = connection.enter(ConnectionStatus.ACTION_REQUIRED, reason, now)
            connection.updated_at = now if changed else connection.updated_at
            await connection.save(update_fields=_STATE)
            if changed:
                await record.append(connection, ConnectionEventType.STATUS_CHANGED, previous_status=previous)

    @asynccontextmanager
    async def telling_what_blocks(self, lease: Lease, *, actor_id: UUID | None = None, enabling: bool = False) -> AsyncIterator[None]:
        """What stops an attempt on our own side becomes the status, and a ProviderFailure."""
        try:
            yield
            return
        except Unreadable:
            reason = reasons.secret_unreadable()
        except ConnectorGone as gone:
            reason = reasons.connector_gone(gone.connector_key)
        await self.blocked(lease, reason, actor_id=actor_id, enabling=enabling)
        raise ProviderFailure(reason, retryable=False)

    async def broke_inside(self, connection_id: UUID) -> None:
        """An attempt broke, for no reason that is known. After three in a row the connection is set aside, and tried each hour."""
        now = self._clock()
        async with self._log.change() as record:
            connection = await _find_locked(connection_id)
            if connection is None or connection.due_at is None:
                return
            connection.internal_failures += 1
            connection.due_at = retry_at(now, connection.internal_failures, self._chance)
            changed, previous = False, connection.status
            if connection.internal_failures >= _SET_ASIDE_AFTER:
                connection.due_at = now + _ASIDE
                lasts = connection.expires_at is not None and connection.expires_at > now
                status = ConnectionStatus.CONNECTED if lasts else ConnectionStatus.ACTION_REQUIRED
                changed = connection.enter(status, reasons.internal_error(), now)
            rank(connection, now)
            connection.updated_at = now if changed else connection.updated_at
            await connection.save(update_fields=_STATE)
            if changed:
                await record.append(connection, ConnectionEventType.STATUS_CHANGED, previous_status=previous)
        if connection.internal_failures >= _SET_ASIDE_AFTER:
            logger.error("connection set aside", extra={"connection": str(connection_id), "failures": connection.internal_failures})

    def _again_at(self, connection: models.Connection, failure: ProviderFailure, now: datetime) -> datetime:
        """When to try again: later and later, but not later than the end of the token, for then the status has to tell."""
        after = retry_at(now, connection.failures, self._chance, retry_after=failure.retry_after)
        ends_at = connection.expires_at
        return min(after, ends_at) if ends_at is not None and ends_at > now else after

    async def _verdict(
        self, connection: models.Connection, provider: str, failure: ProviderFailure, now: datetime
    ) -> tuple[ConnectionStatus, StatusReason | None]:
        """What the connection's status is after this failure.

        A provider's trouble shows only once it matters: while a token lasts, the connection works. Nor does it hide what a person must
        mend, which shows at once, as a reason; as a status when the credential has ended.
        """
        reason = failure.reason
        lasts = connection.expires_at is not None and connection.expires_at > now
        if failure.retryable:
            return (connection.status, connection.reason) if _hides(connection, reason, lasts) else (ConnectionStatus.DEGRADED, reason)
        if reason.code in _MENDED_ELSEWHERE and lasts:
            return ConnectionStatus.CONNECTED, reason
        if reason.code is StatusReasonCode.REAUTHENTICATION_REQUIRED:
            return ConnectionStatus.ACTION_REQUIRED, await self._why_dead(connection, provider, reason, now)
        return ConnectionStatus.ACTION_REQUIRED, reason

    async def _why_dead(self, connection: models.Connection, provider: str, reason: StatusReason, now: datetime) -> StatusReason:
        """The reason, or, where consents of this connection keep ending early, that."""
        if connection.reason is not None and connection.reason.code in _DEATHS:
            return connection.reason
        events = await models.ConnectionEvent.filter(connection_id=connection.id, at__gt=now - _REMEMBERED).order_by("-id").limit(200)
        consent = _last_consent(events)
        if consent is None or now - consent.at > _SHORT_LIFE:
            return reason
        died_before = any(event.reason is not None and event.reason.code in _DEATHS for event in events if event.id < consent.id)
        return reasons.expires_frequently(provider, (now - consent.at).days, reason.provider_error) if died_before else reason


# What an attempt may change besides the columns that it names.
_STATE = ["status", "reason_json", "status_changed_at", "failures", "internal_failures", "due_at", "priority", "updated_at"]


async def _find_locked(connection_id: UUID) -> models.Connection | None:
    """The row as it is now, held until the transaction ends."""
    return await models.Connection.select_for_update().get_or_none(id=connection_id)


async def _find_current(seen: Subject) -> models.Connection | None:
    """The row as it is now, held until the transaction ends; None where it has another credential by now, or is gone."""
    connection = await _find_locked(seen.connection.id)
    current = await models.Credential.exists(id=seen.credential.id, generation=seen.credential.generation)
    return connection if current else None


def _is_over(connection: models.Connection) -> bool:
    """Whether nothing is due until a person has acted. Of an app that is mended at the provider, or an address, nobody here would know."""
    reason = connection.reason
    if connection.status is not ConnectionStatus.ACTION_REQUIRED or is_blocked(connection):
        return False
    return reason is None or reason.code is not StatusReasonCode.PROVIDER_UNREACHABLE


def _hides(connection: models.Connection, trouble: StatusReason, lasts: bool) -> bool:
    """Whether the state that a connection has says more than the trouble that its provider has."""
    match connection.status:
        case ConnectionStatus.DISABLED:
            return False
        case ConnectionStatus.ACTION_REQUIRED:
            return connection.reason is not None and connection.reason.fixable_by is not Fixer.OPERATOR
        case _:
            return lasts or (trouble.code is StatusReasonCode.RATE_LIMITED and connection.expires_at is None)


def _last_consent(events: Sequence[models.ConnectionEvent]) -> models.ConnectionEvent | None:
    consents = (ConnectionEventType.CREATED, ConnectionEventType.RECONNECTED)
    return next((event for event in events if event.type in consents), None)
