"""Faults of an OAuth app: told once, as one incident of the app, and not once for each of its connections.

While an incident lasts, none of the app's connections is sent to the provider: they keep their health for as long as their tokens last,
and say that the app blocks them. At most one at a time is let through, later and later, to find out whether the fault is mended. Once it
is, by a new secret or by itself, all of them go on by themselves; nobody has to consent again.

An incident is in the app's row, so that it survives restarts and holds in every process. The connections are told of it, and of its
end, in small transactions one after the other; one that dies in between leaves nobody behind, since a blocked connection looks again.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import models
from api.audit import Audit
from api.clock import Clock
from api.connections import reasons
from api.connections.app_check import AppCheck, Verdict
from api.connections.provider import Provider
from api.errors import ProviderFailure
from api.events.log import EventLog
from api.oauth.tokens import ClientCredentials
from api.organization.app_secrets import INCIDENT_FIELDS
from models import ConnectionEventType, ConnectionStatus, StatusReason, StatusReasonCode
from models.database import transaction

logger = logging.getLogger(__name__)

_FIRST_PROBE = timedelta(minutes=1)
_LAST_PROBE = timedelta(hours=1)
# People may ask as well, but a script that asks in their name must not make a storm.
_PROBE_BY_PERSON = timedelta(seconds=5)
_LOOK_AGAIN = timedelta(minutes=30)
_AT_ONCE = 200
# How far those that go on are spread: as fast as a provider takes them, but within five minutes.
_APART = timedelta(milliseconds=100)
_SPREAD_AT_MOST = timedelta(minutes=5)

# What being blocked by its app changes of a connection.
BLOCKED_FIELDS = ["status", "reason_json", "status_changed_at", "due_at", "updated_at"]


class AppFault(ProviderFailure):
    """The app is not accepted: nothing was asked for this connection, or it was refused for the app's sake."""

    def __init__(self, reason: StatusReason) -> None:
        super().__init__(reason, retryable=False)


class Incidents:
    def __init__(self, *, log: EventLog, audit: Audit, check: AppCheck, clock: Clock, chance: random.Random) -> None:
        self._log = log
        self._audit = audit
        self._check = check
        self._clock = clock
        self._chance = chance
        # Many connections meet the same fault at the same moment: one of them finds out what it is.
        self._finding_out: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def admit(self, app: models.OAuthApp, *, by_person: bool) -> None:
        """Let a connection of the app through to the provider. Raises AppFault while an incident lasts, but to whoever may probe."""
        if app.incident is None:
            return
        now = self._clock()
        if now < _next_probe_at(app, by_person=by_person):
            raise AppFault(app.incident)
        # Of those who find that it is time, one is first.
        seen = models.OAuthApp.filter(id=app.id, incident_since=app.incident_since, probed_at=app.probed_at)
        if not await seen.update(probed_at=now):
            raise AppFault(app.incident)
        logger.info("OAuth app probed", extra={"oauth_app": str(app.id)})

    async def meaning_of(
        self, failure: ProviderFailure, app: models.OAuthApp, provider: Provider, client: ClientCredentials
    ) -> ProviderFailure:
        """What a refusal means for the connection that met it: a fault of the app, which is an incident from now on, or its own.

        `app` is the row as it was when the provider was asked.
        """
        if failure.reason.code is not StatusReasonCode.INVALID_CLIENT:
            return failure
        async with self._finding_out[app.id]:
            now = await models.OAuthApp.get_or_none(id=app.id)
            if now is None:
                return failure
            if now.incident is None:
                verdict, _ = await self._check.accepts(provider, client)
                # The app is taken: it is this connection that the provider does not take from it.
                if verdict is Verdict.YES:
                    return failure
                now = await self._begin(app, _reason(failure.reason, app, provider, self._clock()))
        return failure if now is None or now.incident is None else AppFault(now.incident)

    async def over(self, app: models.OAuthApp) -> None:
        """The provider took the app, as it was seen: if it had an incident then, that is over."""
        if app.incident is None:
            return
        action = "oauth_app.incident_over"
        async with self._audit.act(None, action, app.id) as act, transaction():
            mended = dict.fromkeys(INCIDENT_FIELDS)
            # By whoever is first, and not where another incident has begun since.
            if not await models.OAuthApp.filter(id=app.id, incident_since=app.incident_since).update(**mended):
                return
            await act.done(subject_name=app.name, folder_id=app.folder_id)
        logger.info("OAuth app mended", extra={"oauth_app": str(app.id)})
        await self.resume(app.id)

    async def block(self, app_id: UUID, reason: StatusReason) -> None:
        """Tell the connections of an app that it blocks them, for as long as it does."""

        def tell(connection: models.Connection, now: datetime) -> bool:
            # What a person must do about the connection itself says more.
            return connection.due_at is not None and block(connection, reason, now, self._chance)

        await self._for_each(app_id, tell, while_it_lasts=True)

    async def resume(self, app_id: UUID) -> None:
        """Let all connections that an app blocked go on: each is due soon, and its status is what the provider says then."""
        count = await models.Connection.filter(oauth_app_id=app_id).count()
        spread = min(_APART * count, _SPREAD_AT_MOST)

        def go_on(connection: models.Connection, now: datetime) -> bool:
            if is_blocked(connection) or _is_unreadable(connection):
                due_at = now + spread * self._chance.random()
                connection.due_at = due_at if connection.due_at is None else min(connection.due_at, due_at)
            return False

        await self._for_each(app_id, go_on)

    async def begin_probes(self) -> None:
        """For every app whose incident is to be looked at again, make one of its connections due."""
        now = self._clock()
        for app in await models.OAuthApp.filter(incident_since__not_isnull=True):
            if now < _next_probe_at(app, by_person=False):
                continue
            waiting = models.Connection.filter(oauth_app_id=app.id, renewable=True, due_at__not_isnull=True)
            probe = await waiting.exclude(status=ConnectionStatus.DISABLED).order_by("due_at").first()
            if probe is not None:
                await models.Connection.filter(id=probe.id, due_at=probe.due_at).update(due_at=min(now, probe.due_at or now))

    async def _begin(self, app: models.OAuthApp, reason: StatusReason) -> models.OAuthApp | None:
        """One incident, unless the app has one, or is another one by now. The row as it is then."""
        now = self._clock()
        async with self._audit.act(None, "oauth_app.incident", app.id) as act, transaction():
            row = await models.OAuthApp.select_for_update(no_key=True).get_or_none(id=app.id)
            if row is None or row.incident is not None or is_another(row, app):
                return row
            row.suffer(reason, now)
            await row.save(update_fields=INCIDENT_FIELDS)
            await act.done(subject_name=row.name, folder_id=row.folder_id, detail=reason.message)
        logger.warning("OAuth app failed", extra={"oauth_app": str(app.id), "reason": reason.code, "error": reason.provider_error})
        await self.block(app.id, reason)
        return row

    async def _for_each(self, app_id: UUID, change: Callable[[models.Connection, datetime], bool], *, while_it_lasts: bool = False) -> None:
        """Change the connections that an app renews, some at a time. `change` says whether a watcher sees it."""
        after: UUID | None = None
        while True:
            async with self._log.change() as record:
                held = await _some_of(app_id, after)
                # Asked while they are held: whoever ends the incident lets them go on after this, or before it and then nothing is told.
                if while_it_lasts and not await has_incident(app_id):
                    return
                now = self._clock()
                for connection in held:
                    previous, due_at = connection.status, connection.due_at
                    changed = change(connection, now)
                    if changed or connection.due_at != due_at:
                        await connection.save(update_fields=BLOCKED_FIELDS)
                    if changed:
                        await record.append(connection, ConnectionEventType.STATUS_CHANGED, previous_status=previous)
            if len(held) < _AT_ONCE:
                return
            after = held[-1].id


def block(connection: models.Connection, reason: StatusReason, now: datetime, chance: random.Random) -> bool:
    """A connection is blocked by its app; True where that changed what a watcher sees. Saves nothing.

    While its token lasts it works, and only says why it will not for long. It looks again when that is over, or else within half an hour.
    """
    ends_at = connection.expires_at
    lasts = ends_at is None or ends_at > now
    changed = connection.enter(ConnectionStatus.CONNECTED if lasts else ConnectionStatus.ACTION_REQUIRED, reason, now)
    connection.updated_at = now if changed else connection.updated_at
    again = now + _LOOK_AGAIN * chance.uniform(0.5, 1)
    connection.due_at = again if ends_at is None or ends_at <= now else min(again, ends_at)
    return changed


def is_blocked(connection: models.Connection) -> bool:
    """Whether a connection says that its app blocks it."""
    reason = connection.reason
    return connection.oauth_app_id is not None and reason is not None and reason.code is StatusReasonCode.INVALID_CLIENT


async def has_incident(app_id: UUID | None) -> bool:
    """Whether an app is at fault, as of now. To be relied on, ask it while the connection that it is asked for is held."""
    return await models.OAuthApp.exists(id=app_id, incident_since__not_isnull=True)


def _is_unreadable(connection: models.Connection) -> bool:
    """Whether a secret does not open: the connection's, or its app's."""
    return connection.reason is not None and connection.reason.code is StatusReasonCode.SECRET_UNREADABLE


def is_another(now: models.OAuthApp, seen: models.OAuthApp) -> bool:
    """Whether an app has another id or secret than when it was seen: what the provider said then is not about it."""
    # Each sealing is different, even of the same secret.
    # allowed: secret-equality: they are sealed, and nobody who asks gave either
    return (now.client_id, now.client_secret) != (seen.client_id, seen.client_secret)


def _next_probe_at(app: models.OAuthApp, *, by_person: bool) -> datetime:
    """When the next connection may be let through: after twice the time that the incident has lasted, within an hour."""
    assert app.incident_since is not None
    assert app.probed_at is not None
    if by_person:
        return app.probed_at + _PROBE_BY_PERSON
    return app.probed_at + max(_FIRST_PROBE, min(app.probed_at - app.incident_since, _LAST_PROBE))


def _reason(reason: StatusReason, app: models.OAuthApp, provider: Provider, now: datetime) -> StatusReason:
    """Why the app is refused: where its secret was known to end, that."""
    if app.secret_expires_at is None or app.secret_expires_at > now:
        return reason
    return reasons.client_secret_expired(provider.name, app.secret_expires_at, reason.provider_error)


async def _some_of(app_id: UUID, after: UUID | None) -> Sequence[models.Connection]:
    """The next of an app's connections, held until the transaction ends, in the one order in which several are ever held."""
    renewed = models.Connection.filter(oauth_app_id=app_id, renewable=True).exclude(status=ConnectionStatus.DISABLED)
    rest = renewed if after is None else renewed.filter(id__gt=after)
    return await rest.order_by("id").limit(_AT_ONCE).select_for_update()
