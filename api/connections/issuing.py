"""A credential to call the provider with: fresh for at least so long, and never what it is renewed with.

Whoever is given one may use it until it ends, whatever happens here meanwhile. So each is in the audit log before it is handed out, in
the transaction that found the right to it and the connection in order.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import models
from api.access import Access, Actor
from api.audit import Act, Audit
from api.catalog.catalog import Catalog
from api.clock import Clock
from api.connections import reasons
from api.connections.issued import Issued, require_issuable
from api.connections.provider import Provider
from api.connections.reading import Reading
from api.connections.refresher import Refresher
from api.connections.subjects import ConnectorGone, Subject, Subjects
from api.errors import Conflict, InvalidInput, NotFound, PatchbayError, ProviderFailure
from api.organization.rulings import Rulings
from api.vault.vault import Unreadable
from models import ConnectionEventType, ConnectionStatus, Permission, StatusReasonCode
from models.appending import Condition
from models.database import transaction

LONGEST_TTL = timedelta(hours=1)
# Once as it is, once with what is new here, once renewed, and once more where another has changed it in between.
_LOOKS = 4
_UNCHANGED = """
SELECT 1 AS unchanged FROM credential JOIN connection ON connection.id = credential.connection_id
WHERE connection.id = $1 AND connection.folder_id = $2 AND connection.status = $3 AND credential.generation = $4
"""


def _generation_of(subject: Subject) -> str:
    return f"generation {subject.credential.generation}"


class Issuing:
    def __init__(
        self,
        *,
        access: Access,
        catalog: Catalog,
        subjects: Subjects,
        refresher: Refresher,
        reading: Reading,
        rulings: Rulings,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._access = access
        self._catalog = catalog
        self._subjects = subjects
        self._refresher = refresher
        self._reading = reading
        self._rulings = rulings
        self._audit = audit
        self._clock = clock

    async def issue(self, actor: Actor, connection_id: UUID, minimum_ttl: timedelta) -> Issued:
        """A credential that lasts for at least so long. Needs USE.

        Raises NotFound, PermissionDenied, InvalidInput, PolicyViolation where a policy suspends it, ProviderFailure, Conflict.
        """
        async with self._audit.act(actor, "credential.issue", connection_id) as act:
            return Issued.of(await self.use(act, actor, connection_id, minimum_ttl, check=require_issuable))

    async def issue_default(self, actor: Actor, folder_id: UUID, connector_key: str, minimum_ttl: timedelta) -> Issued:
        """As `issue`, of the connection that is the default for a connector in a folder."""
        async with self._audit.act(actor, "credential.issue") as act:
            connection = await self._default(actor, folder_id, connector_key)
            act.subject_id, act.subject_name, act.folder_id = str(connection.id), connection.name, connection.folder_id
            return Issued.of(await self.use(act, actor, connection.id, minimum_ttl, check=require_issuable))

    async def use(
        self,
        act: Act,
        actor: Actor,
        connection_id: UUID,
        minimum_ttl: timedelta,
        *,
        check: Callable[[Provider], None] = lambda _: None,
        detail: Callable[[Subject], str] = _generation_of,
    ) -> Subject:
        """A connection whose credential lasts for at least so long, renewed where it must be; the act is done then. Raises as `issue`.

        `check` may refuse, by raising, what a provider's credential is; `detail` is what the audit log tells of it.
        """
        if not timedelta(0) <= minimum_ttl <= LONGEST_TTL:
            raise InvalidInput({"minimumTtl": f"must be 0 to {LONGEST_TTL // timedelta(seconds=1)} seconds"})
        if (subject := await self._at_once(act, actor, connection_id, minimum_ttl, check, detail)) is not None:
            return subject
        has_looked = False
        for _ in range(_LOOKS):
            async with transaction():
                credential = await self._allowed(actor, connection_id)
                # What is not found once is not there.
                if is_there := has_looked or self._subjects.has_rest(credential):
                    subject = await self._usable(credential, minimum_ttl)
                    check(subject.provider)
                    now = self._clock()
                    if subject.connection.lasts(now + minimum_ttl, now):
                        await self._note_use(act, subject, detail(subject))
                        return subject
            if is_there:
                await self._refresher.renew_for_use(connection_id, self._clock() + minimum_ttl)
            else:
                await self._subjects.look_for_rest(credential)
                has_looked = True
        raise Conflict("This connection is changed again and again while it is asked for.", "Try again in a few seconds.")

    async def _at_once(
        self,
        act: Act,
        actor: Actor,
        connection_id: UUID,
        minimum_ttl: timedelta,
        check: Callable[[Provider], None],
        detail: Callable[[Subject], str],
    ) -> Subject | None:
        """As `use`, where nothing is to be renewed or asked first; None where something is, or is wrong, and then nothing is done.

        No transaction is begun for it: the statement that tells the audit log finds whether all is still so as it was read before.
        """
        credential, now = await self._subjects.read(connection_id), self._clock()
        if credential is None or not self._subjects.has_rest(credential) or not _is_good(credential.connection, now, minimum_ttl):
            return None
        allowed = self._access.condition(actor, credential.connection.folder, Permission.USE)
        if allowed is None:
            return None
        try:
            subject = self._subjects.opened(credential)
            check(subject.provider)
        except PatchbayError:
            return None
        connection, told = subject.connection, detail(subject)
        conditions = [allowed, _unchanged(subject)]
        if not await act.done_if(
            *conditions, subject_id=connection.id, subject_name=connection.name, folder_id=connection.folder_id, detail=told
        ):
            return None
        await connection.note_use(now)
        return subject

    async def report_rejected(self, actor: Actor, connection_id: UUID, generation: int) -> models.Connection:
        """The provider rejected an issued credential: it is renewed and proven, once for all who say so. The connection as it is then.

        Needs USE. Nothing is done for a credential that was replaced since. Raises NotFound, PermissionDenied, InvalidInput,
        PolicyViolation where a policy suspends it, Conflict.
        """
        async with self._audit.act(actor, "credential.report_rejected", connection_id) as act:
            connection = await self._access.connection(actor, connection_id, Permission.USE)
            present = (await self._credential_of(connection_id)).generation
            _check_generation(generation, present)
            await self._require_switched_on(connection)
            if generation == present:
                try:
                    await self._refresher.look_into_rejection(connection_id, generation)
                except ProviderFailure:
                    # Nothing could be tried, and the status says why.
                    pass
            connection = await self._access.connection(actor, connection_id, Permission.USE)
            await act.done(subject_name=connection.name, folder_id=connection.folder_id, detail=f"generation {generation}")
        return connection

    async def _default(self, actor: Actor, folder_id: UUID, connector_key: str) -> models.Connection:
        await self._access.folder(actor, folder_id, Permission.USE)
        await self._catalog.look_up(connector_key)
        connection = await self._reading.find_default(actor, folder_id, connector_key)
        if connection is None:
            raise NotFound("default connection")
        return connection

    async def _credential_of(self, connection_id: UUID) -> models.Credential:
        credential = await models.Credential.get_or_none(connection_id=connection_id)
        if credential is None:
            raise NotFound("connection")
        return credential

    async def _allowed(self, actor: Actor, connection_id: UUID) -> models.Credential:
        """The credential, unopened, where the actor may use it. Raises NotFound, PermissionDenied."""
        credential = await self._subjects.read(connection_id)
        await self._access.allowed(actor, None if credential is None else credential.connection, Permission.USE)
        if credential is None:
            raise NotFound("connection")
        return credential

    async def _usable(self, credential: models.Credential, minimum_ttl: timedelta) -> Subject:
        """The connection, whose credential lasts for so long or may be renewed so that it does."""
        subject = self._opened(credential)
        await self._require_switched_on(subject.connection)
        _require_hope(subject, minimum_ttl, self._clock())
        return subject

    def _opened(self, credential: models.Credential) -> Subject:
        try:
            return self._subjects.opened(credential)
        except Unreadable:
            raise ProviderFailure(reasons.secret_unreadable(), retryable=False) from None
        except ConnectorGone as gone:
            raise ProviderFailure(reasons.connector_gone(gone.connector_key), retryable=False) from None

    async def _note_use(self, act: Act, subject: Subject, detail: str) -> None:
        connection = subject.connection
        await connection.note_use(self._clock())
        await act.done(subject_id=connection.id, subject_name=connection.name, folder_id=connection.folder_id, detail=detail)

    async def _require_switched_on(self, connection: models.Connection) -> None:
        """Raises PolicyViolation where a policy has switched it off, and else Conflict."""
        if connection.status is not ConnectionStatus.DISABLED:
            return
        await self._rulings.require_in_force(connection)
        by = await _who_switched_off(connection.id)
        message = "This connection was switched off." if by is None else f"This connection was switched off by {by.name}."
        raise Conflict(message, "Whoever has EDIT in its folder can switch it on again, by enableConnection.")


def _is_good(connection: models.Connection, now: datetime, minimum_ttl: timedelta) -> bool:
    """Whether there is nothing to be said against its credential."""
    has_trouble = connection.status in (ConnectionStatus.DISABLED, ConnectionStatus.ACTION_REQUIRED)
    return not has_trouble and connection.lasts(now + minimum_ttl, now)


def _unchanged(subject: Subject) -> Condition:
    """The connection is where it was when it was read, in the same state, and with the same credential."""
    connection = subject.connection
    return Condition(_UNCHANGED, (connection.id, connection.folder_id, connection.status, subject.credential.generation))


def _require_hope(subject: Subject, minimum_ttl: timedelta, now: datetime) -> None:
    """Raises ProviderFailure where its credential is no good, and InvalidInput where none of it would last for so long."""
    connection, ends_at = subject.connection, subject.connection.expires_at
    is_fresh = connection.lasts(now + minimum_ttl, now)
    if connection.status is ConnectionStatus.ACTION_REQUIRED:
        # What a person must mend may be the renewal alone: then a token that was given before is good until its end.
        if ends_at is None or not is_fresh or _says_rejected(connection):
            raise ProviderFailure(connection.reason or reasons.credential_rejected(subject.provider.name), retryable=False)
    elif ends_at is not None and not is_fresh:
        _require_renewal(subject, ends_at, minimum_ttl, now)


def _require_renewal(subject: Subject, ends_at: datetime, minimum_ttl: timedelta, now: datetime) -> None:
    name = subject.provider.name
    if ends_at > now:
        if not subject.connection.renewable:
            raise _lasts_at_most(ends_at - now, f"this credential of {name} lasts that much longer, and cannot be renewed")
        # Another would not last longer than this one when it was new.
        if ends_at - subject.credential.obtained_at < minimum_ttl:
            raise _lasts_at_most(ends_at - subject.credential.obtained_at, f"a token of {name} lives no longer")
    elif not subject.connection.renewable:
        raise ProviderFailure(reasons.no_refresh_token(name), retryable=False)


def _lasts_at_most(life: timedelta, why: str) -> InvalidInput:
    return InvalidInput({"minimumTtl": f"must be at most {life // timedelta(seconds=1)} seconds: {why}"})


def _says_rejected(connection: models.Connection) -> bool:
    return connection.reason is not None and connection.reason.code is StatusReasonCode.CREDENTIAL_REJECTED


def _check_generation(reported: int, present: int) -> None:
    if not 1 <= reported <= present:
        raise InvalidInput({"generation": f"must be one that was issued: 1 to {present}"})


async def _who_switched_off(connection_id: UUID) -> models.User | None:
    events = models.ConnectionEvent.filter(
        connection_id=connection_id, type=ConnectionEventType.STATUS_CHANGED, status=ConnectionStatus.DISABLED
    )
    last = await events.order_by("-id").first()
    return None if last is None or last.actor_id is None else await models.User.get_or_none(id=last.actor_id)
