"""Keeping one connection alive: renewing its credential, or proving it; once at a time, whoever asks.

Every attempt goes the same way: lease, intent, provider, answer, fenced save. It runs in a task of the refresher's own, so that nobody
who waits for it can cut it off between the provider's answer and the save.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import models
from api.catalog.catalog import Catalog
from api.clock import Clock, seconds_since_boot
from api.connections import reasons
from api.connections.admission import Admission
from api.connections.attempt import Attempt, Intent, NotYet
from api.connections.exchange import Exchange, Renewal
from api.connections.incidents import AppFault, Incidents, is_another
from api.connections.journal import Journal, consumed
from api.connections.outcomes import Outcomes, Subject
from api.connections.pacing import Pacing, Visit
from api.connections.proof import Proof, Prover, Rejected
from api.connections.provider import Provider
from api.connections.secrets import Secrets, credential_place
from api.courier.client import CourierAway, NotCarried
from api.courier.wire import Errand
from api.errors import Conflict, NotFound, ProviderFailure
from api.oauth.tokens import ClientCredentials
from api.organization.apps import OAuthApps
from api.vault.vault import KeyUnavailable, Unreadable, Vault
from models import ConnectionStatus, StatusReasonCode
from models.leases import Lease, Term, claim, end_lease, postpone, release, take_over

logger = logging.getLogger(__name__)

# Longer than any attempt may take: 20 seconds at the token endpoint, 15 for the proof, and the waiting for a turn.
LEASE = timedelta(seconds=60)
_ATTEMPT_SECONDS = 50.0
_WAIT_FOR_LEASE_SECONDS = 25.0
_LOOK_AGAIN_SECONDS = 0.1
# The lease, less what a request may take and a margin.
_SEND_WITHIN_SECONDS = 35.0
_WITHOUT_COURIER = timedelta(seconds=5)
# A token with less than this left is renewed before it is proven.
_NEARLY_OVER = timedelta(seconds=10)

Result = TypeVar("Result")


class ConnectorGone(NotFound):
    """The connector of a connection, or the way in which it authenticates, is no longer in the catalogue."""

    def __init__(self, connector_key: str) -> None:
        super().__init__("connector")
        self.connector_key = connector_key


class Refresher:
    def __init__(
        self,
        *,
        catalog: Catalog,
        vault: Vault,
        exchange: Exchange,
        prover: Prover,
        apps: OAuthApps,
        incidents: Incidents,
        journal: Journal,
        outcomes: Outcomes,
        pacing: Pacing,
        admission: Admission,
        clock: Clock,
        holder: str,
    ) -> None:
        self._catalog = catalog
        self._vault = vault
        self._exchange = exchange
        self._prover = prover
        self._apps = apps
        self._incidents = incidents
        self._journal = journal
        self._outcomes = outcomes
        self._pacing = pacing
        self._admission = admission
        self._clock = clock
        self._holder = holder
        self._tasks: asyncio.TaskGroup | None = None
        # By connection: of one there is one at a time, since each has its lease.
        self._attempts: dict[UUID, asyncio.Task[Any]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Own the attempts; at the end wait for those under way, for a token that was asked for must be saved."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            yield
        self._tasks = None

    async def start_due(self, *, limit: int) -> int:
        """Begin to look after what is due and can be sent; how many were due, of at most so many."""
        if not self._vault.can_seal:
            # What was asked for could not be kept. Others may have the key.
            return 0
        claimed = await self._admission.claim(self._term(), limit=limit)
        for lease in claimed.leases:
            self._start(lease.connection_id, self._look_after(lease))
        return claimed.count

    @property
    def has_queue(self) -> bool:
        """Whether connections that were due wait until more may be sent to their providers."""
        return self._pacing.has_queue

    @property
    def under_way(self) -> int:
        return len(self._attempts)

    async def settled(self, *, at_most: int = 0) -> None:
        """Wait until no more than so many attempts are under way."""
        while len(self._attempts) > at_most:
            await asyncio.wait(set(self._attempts.values()), return_when=asyncio.FIRST_COMPLETED)

    async def verify(self, connection_id: UUID, *, actor_id: UUID, enabling: bool = False) -> Proof:
        """Ask the provider now, renewing first what has ended. The status says what came of it, also where this raises.

        Raises ProviderFailure, NotFound, and Conflict where another attempt does not end in time.
        """
        lease = await self._wait_for_lease(connection_id)
        proof: asyncio.Future[Proof] = asyncio.get_running_loop().create_future()
        self._start(connection_id, _deliver(self._verify(lease, actor_id, enabling=enabling), proof))
        return await asyncio.shield(proof)

    async def ending(self, connection_id: UUID) -> Callable[[], Awaitable[bool]] | None:
        """What ends this connection's grant at the provider, to be called once the connection is deleted; None where nothing can.

        Nor where another connection has the same app and account: some providers end every grant of both with one.
        """
        try:
            subject = await self._subject(connection_id)
            if subject is None or subject.provider.option.grant is None:
                return None
            client = self._client(subject, await self._app(subject))
        except (Unreadable, KeyUnavailable, NotFound):
            return None
        return partial(self._end_grant, subject, client, subject.secrets)

    async def recover(self) -> int:
        """Save what providers answered and a process that died did not save; how much that was."""
        before = self._clock() - LEASE
        await self._journal.forget_void(before)
        return sum([await self._recover_if_open(row) for row in await self._journal.answered(before)])

    async def take_up(self) -> None:
        """Begin to go on with what is in nobody's hands: save the answers that the courier keeps, let the rest be tried once more."""
        kept = await self._journal.kept()
        for connection_id, answers in kept.items():
            if connection_id not in self._attempts and (lease := await self._lease_left_by(answers[-1][0])):
                self._start(connection_id, self._save_kept(lease, answers))
        for row in await self._journal.interrupted(kept.keys() | self._attempts.keys()):
            await self._journal.give_up(Intent(row, repeats=False))
            await end_lease(row.connection_id, row.lease_number, due_at=self._clock())
            logger.warning("refresh interrupted", extra={"connection": str(row.connection_id)})

    async def _lease_left_by(self, errand: Errand) -> Lease | None:
        """The lease under which an exchange was made, or a new one; None while another process has one."""
        term = self._term()
        return await take_over(errand.connection_id, errand.lease_number, term) or await claim(errand.connection_id, term)

    def _term(self) -> Term:
        now = self._clock()
        return Term(self._holder, now, now + LEASE, seconds_since_boot() + _SEND_WITHIN_SECONDS)

    def _start(self, connection_id: UUID, attempt: Coroutine[Any, Any, None]) -> None:
        if self._tasks is None:
            attempt.close()
            raise RuntimeError("the refresher is not running")
        task = self._tasks.create_task(attempt)
        self._attempts[connection_id] = task
        task.add_done_callback(lambda _: self._ended(connection_id, task))

    def _ended(self, connection_id: UUID, task: asyncio.Task[Any]) -> None:
        if self._attempts.get(connection_id) is task:
            del self._attempts[connection_id]

    async def _wait_for_lease(self, connection_id: UUID) -> Lease:
        """The lease, once whoever holds it is done. Raises Conflict, and NotFound where the connection was deleted meanwhile."""
        try:
            async with asyncio.timeout(_WAIT_FOR_LEASE_SECONDS):
                while True:
                    lease = await claim(connection_id, self._term())
                    if lease is not None:
                        return lease
                    if not await models.Connection.exists(id=connection_id):
                        raise NotFound("connection")
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        except TimeoutError:
            raise Conflict("This connection is being refreshed right now.", "Try again in a few seconds.") from None

    async def _look_after(self, lease: Lease) -> None:
        """One connection that is due. Raises nothing: one that cannot be looked after must not stop the others."""
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                # The vault counts it. The connection is due again a minute after it was claimed; others may have the key.
                with suppress(KeyUnavailable), self._vault.sealing():
                    await self._look_after_leased(lease)
            await self._give_back(lease)
        except NotYet as early:
            await postpone(lease, early.until)
        except (CourierAway, NotCarried) as away:
            logger.warning("connection postponed", extra={"connection": str(lease.connection_id), "reason": away.message})
            await postpone(lease, self._clock() + _WITHOUT_COURIER)
        except TimeoutError:
            # It waited too long for its turn; the lease runs out, and it is due again then.
            logger.warning("connection not looked after in time", extra={"connection": str(lease.connection_id)})
        # One that breaks inside must not stop the others, nor be forgotten.
        except Exception:
            logger.exception("connection not looked after", extra={"connection": str(lease.connection_id)})
            await self._set_back(lease)
        finally:
            self._admission.done(lease)

    async def _set_back(self, lease: Lease) -> None:
        try:
            await self._outcomes.broke_inside(lease.connection_id)
        # The database is away as well, which may have been the reason: the lease runs out, and the connection is due again then.
        except Exception:
            logger.exception("connection not set back", extra={"connection": str(lease.connection_id)})
        else:
            await self._give_back(lease)

    async def _give_back(self, lease: Lease) -> None:
        try:
            await release(lease)
        # It runs out by itself.
        except Exception:
            logger.exception("lease not given back", extra={"connection": str(lease.connection_id)})

    async def _save_kept(self, lease: Lease, answers: Sequence[tuple[Errand, int]]) -> None:
        """Save what the courier has heard and nobody saved. Raises nothing."""
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                subject = await self._subject(lease.connection_id)
                wanted = None if subject is None else consumed(subject.credential.fingerprint, subject.credential.generation)
                if subject is not None and any(errand.consumed == wanted for errand, _ in answers):
                    await self._hear_kept(subject, lease)
                # What it replaced is not the connection's any more: it was saved, or somebody has connected anew.
                self._journal.settle(sequence for errand, sequence in answers if errand.consumed != wanted)
        # The vault counts it.
        except KeyUnavailable:
            pass
        # It stays with the courier, and is looked at again at the next tick.
        except Exception:
            logger.exception("answer not saved", extra={"connection": str(lease.connection_id)})
        await self._give_back(lease)

    async def _hear_kept(self, subject: Subject, lease: Lease) -> None:
        app = await self._app(subject)
        attempt = self._journal.resume(subject.connection, subject.credential, lease)
        try:
            renewal = await self._ask(subject, app, self._client(subject, app), attempt)
        except NotCarried:
            # What was heard does not end the matter, and what would come next was not sent: the next attempt does.
            return
        except ProviderFailure as failure:
            await self._give_up(attempt, failure)
            await self._note(subject, failure)
            return
        await self._save(subject, attempt, renewal, app)
        logger.info("token recovered from the journal", extra={"connection": str(subject.connection.id)})

    async def _look_after_leased(self, lease: Lease) -> None:
        if await self._recover_left_behind(lease.connection_id):
            return
        try:
            async with self._telling_what_blocks(lease):
                subject = await self._subject(lease.connection_id)
                # It may have been switched off since it was claimed.
                if subject is not None and subject.connection.status is not ConnectionStatus.DISABLED:
                    await self._keep_alive(subject, lease)
        except ProviderFailure as failure:
            logger.warning("connection blocked", extra={"connection": str(lease.connection_id), "reason": failure.reason.code})

    async def _keep_alive(self, subject: Subject, lease: Lease) -> None:
        """What is due: new tokens, or a proof. What comes of it is the status. Raises Unreadable."""
        try:
            if subject.connection.renewable:
                await self._renew(subject, lease)
                if subject.provider.grant.token_url is None:
                    # Nobody was asked for that token, so it says nothing of whether the key is still good.
                    subject = await self._subject(lease.connection_id) or subject
                    await self._outcomes.proven(subject, await self._prove(subject))
            elif self._is_over(subject):
                raise ProviderFailure(reasons.no_refresh_token(subject.provider.name), retryable=False)
            else:
                proof = await self._prove(subject)
                await self._outcomes.proven(subject, proof)
        except ProviderFailure as failure:
            await self._note(subject, failure)

    async def _verify(self, lease: Lease, actor_id: UUID, *, enabling: bool) -> Proof:
        blocked = self._telling_what_blocks(lease, actor_id=actor_id, enabling=enabling)
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS), blocked:
                with self._vault.sealing():
                    await self._recover_left_behind(lease.connection_id)
                    subject = await self._get_subject(lease.connection_id)
                    return await self._verify_subject(subject, lease, actor_id, enabling=enabling)
        except TimeoutError:
            raise Conflict("The provider takes too long to answer.", "Try again in a few minutes.") from None
        except (NotYet, CourierAway, NotCarried) as error:
            raise Conflict("This connection cannot be refreshed right now.", error.remedy) from error
        finally:
            await release(lease)

    async def _verify_subject(self, subject: Subject, lease: Lease, actor_id: UUID, *, enabling: bool) -> Proof:
        try:
            proof = await self._prove_as_it_is(subject)
            if proof is None:
                await self._renew(subject, lease, actor_id=actor_id, enabling=enabling)
                # From here on it is the new credential of which something is said.
                subject = await self._get_subject(subject.connection.id)
                proof = await self._prove(subject)
        except ProviderFailure as failure:
            await self._note(subject, failure, actor_id=actor_id, enabling=enabling)
            raise
        await self._outcomes.proven(subject, proof, actor_id=actor_id, enabling=enabling)
        return proof

    async def _prove_as_it_is(self, subject: Subject) -> Proof | None:
        """A proof of the credential; None where it has ended, or the provider says so, and can be renewed. Raises ProviderFailure."""
        renewable = subject.connection.renewable
        if self._is_over(subject):
            if renewable:
                return None
            raise ProviderFailure(reasons.no_refresh_token(subject.provider.name), retryable=False)
        try:
            return await self._prove(subject)
        except Rejected:
            if not renewable:
                raise
            logger.info("credential rejected before its end", extra={"connection": str(subject.connection.id)})
            await self._outcomes.ended(subject)
            return None

    @asynccontextmanager
    async def _telling_what_blocks(self, lease: Lease, *, actor_id: UUID | None = None, enabling: bool = False) -> AsyncIterator[None]:
        """What stops an attempt on our own side becomes the status, and a ProviderFailure."""
        try:
            yield
            return
        except Unreadable:
            reason = reasons.secret_unreadable()
        except ConnectorGone as gone:
            reason = reasons.connector_gone(gone.connector_key)
        await self._outcomes.blocked(lease, reason, actor_id=actor_id, enabling=enabling)
        raise ProviderFailure(reason, retryable=False)

    async def _renew(self, subject: Subject, lease: Lease, *, actor_id: UUID | None = None, enabling: bool = False) -> None:
        """New tokens from the provider, saved. Raises ProviderFailure, Unreadable, and NotYet, NotCarried, CourierAway."""
        connection = subject.connection
        async with self._pacing.turn(Visit.exchange(connection.id, connection.oauth_app_id, subject.provider)):
            # Not before the turn has come: what others met meanwhile may be the app's fault.
            app = await self._admitted_app(subject, by_person=actor_id is not None)
            client = self._client(subject, app)
            attempt = await self._journal.begin(connection, subject.credential, lease)
            try:
                renewal = await self._ask(subject, app, client, attempt)
            except ProviderFailure as failure:
                await self._give_up(attempt, failure)
                if _is_dead(failure) and await self._recover_left_behind(subject.connection.id):
                    # Whoever was thought dead had spent the token, and what came for it was journalled while this was refused.
                    return
                raise _interrupted(failure, subject) if attempt.intent.repeats else failure from None
            except (NotCarried, CourierAway) as error:
                await self._not_sent(attempt)
                # Nobody has an answer; but one may still come, until the former request is over.
                raise NotYet(attempt.over_at) if attempt.only_listens else error from None
            # The provider may have rotated the token: from here to the save nothing may be lost.
            await self._journal.answer(attempt, renewal.tokens)
        await self._save(subject, attempt, renewal, app, actor_id=actor_id, enabling=enabling)

    async def _save(
        self,
        subject: Subject,
        attempt: Attempt,
        renewal: Renewal,
        app: models.OAuthApp | None,
        *,
        actor_id: UUID | None = None,
        enabling: bool = False,
    ) -> None:
        tokens, connection = renewal.tokens, {"connection": str(subject.connection.id)}
        saved = await self._outcomes.renewed(
            subject, attempt.intent, tokens, app_secret_at=renewal.app_secret_at, actor_id=actor_id, enabling=enabling
        )
        attempt.settle()
        if app is not None:
            await self._incidents.over(app)
        if saved:
            logger.info("token refreshed", extra=connection | {"expires_at": tokens.expires_at and tokens.expires_at.isoformat()})
            return
        logger.info("token of a replaced credential discarded", extra=connection)
        if not await models.Connection.exists(id=subject.connection.id):
            await self._end_grant(subject, self._client(subject, app), subject.secrets.with_tokens(tokens))

    async def _ask(self, subject: Subject, app: models.OAuthApp | None, client: ClientCredentials, attempt: Attempt) -> Renewal:
        """New tokens, as this client. Raises ProviderFailure, AppFault where the app is to blame, Unreadable, NotCarried, CourierAway."""
        provider, secrets, scopes = subject.provider, subject.secrets, subject.connection.scopes
        exchange = self._exchange.through(attempt)
        try:
            return await exchange.renew(provider, client, secrets, scopes)
        except ProviderFailure as failure:
            if app is None or failure.reason.code is not StatusReasonCode.INVALID_CLIENT:
                raise
            now = await models.OAuthApp.get_or_none(id=app.id)
            if now is not None and is_another(now, app):
                # It was given another secret while the answer was on its way. What was refused used nothing up.
                return await exchange.renew(provider, self._apps.client_of(now), secrets, scopes)
            raise await self._incidents.meaning_of(failure, app, provider, client) from None

    async def _end_grant(self, subject: Subject, client: ClientCredentials, secrets: Secrets) -> bool:
        """End the grant of a connection that was deleted, but not where that may end the grant of another one too."""
        connection = subject.connection
        if await models.Connection.signed_in_with(connection.oauth_app_id, connection.account).exclude(id=connection.id).exists():
            return False
        return await self._exchange.revoke(subject.provider, client, secrets, connection.account)

    async def _give_up(self, attempt: Attempt, failure: ProviderFailure) -> None:
        """Keep the intent where the provider may have used the token up without our knowing: the next attempt then tells so."""
        unknown = failure.may_be_spent and attempt.may_have_arrived
        await (self._journal.give_up if unknown else self._journal.forget)(attempt.intent)
        attempt.settle()

    async def _not_sent(self, attempt: Attempt) -> None:
        """Forget the intent, unless the courier went away with it: what became of it is asked there first."""
        if not attempt.may_have_arrived and not attempt.intent.repeats:
            await self._journal.forget(attempt.intent)

    async def _prove(self, subject: Subject) -> Proof:
        connection = subject.connection
        async with self._pacing.turn(Visit.proof(connection.id, connection.oauth_app_id, subject.provider)):
            return await self._prover.prove(subject.provider, subject.secrets)

    async def _note(self, subject: Subject, failure: ProviderFailure, *, actor_id: UUID | None = None, enabling: bool = False) -> None:
        if isinstance(failure, AppFault):
            await self._outcomes.blocked_by_app(subject, failure.reason, actor_id=actor_id, enabling=enabling)
            return
        connection = await self._outcomes.failed(subject, failure, actor_id=actor_id, enabling=enabling)
        logger.warning(
            "connection failed",
            extra={
                "connection": str(subject.connection.id),
                "reason": failure.reason.code,
                "status": None if connection is None else connection.status,
            },
        )

    async def _recover_left_behind(self, connection_id: UUID) -> bool:
        """Save what an earlier exchange brought and its process, whose lease is over, did not save: its token is used up already."""
        return any([await self._recover(row) for row in await self._journal.left_behind(connection_id)])

    async def _recover_if_open(self, row: models.TokenJournal) -> bool:
        try:
            return await self._recover(row)
        except KeyUnavailable:
            return False

    async def _recover(self, row: models.TokenJournal) -> bool:
        intent = Intent(row, repeats=False)
        try:
            await self._vault.look_for_key(row.answer)
            tokens = self._journal.read(row)
            subject = await self._subject(row.connection_id)
        except (Unreadable, NotFound):
            logger.warning("journal entry not readable now", extra={"connection": str(row.connection_id)})
            return False
        current = subject is not None and subject.credential.fingerprint == row.fingerprint
        if subject is None or not current or subject.credential.generation != row.generation:
            await self._journal.forget(intent)
            return False
        saved = await self._outcomes.renewed(subject, intent, tokens)
        if saved:
            logger.info("token recovered from the journal", extra={"connection": str(row.connection_id)})
        return saved

    async def _get_subject(self, connection_id: UUID) -> Subject:
        subject = await self._subject(connection_id)
        if subject is None:
            raise NotFound("connection")
        return subject

    async def _subject(self, connection_id: UUID) -> Subject | None:
        """The connection with its secrets opened; None where it is gone. Raises Unreadable, ConnectorGone."""
        # Both at once: read one after the other, a move in between would leave secrets that do not open in the folder of before.
        credential = await models.Credential.get_or_none(connection_id=connection_id).select_related("connection")
        if credential is None:
            return None
        connection = credential.connection
        await self._vault.look_for_key(credential.secrets)
        secrets = Secrets.open(self._vault, credential.secrets, credential_place(credential.id, connection.folder_id))
        connector = self._catalog.find(connection.connector_key)
        option = None if connector is None else connector.find_option(connection.authentication_type, connection.option_key)
        if connector is None or option is None:
            raise ConnectorGone(connection.connector_key)
        return Subject(connection, credential, secrets, Provider(connector, option, connection.site))

    async def _admitted_app(self, subject: Subject, *, by_person: bool) -> models.OAuthApp | None:
        """The app that the connection signs in with, if any, as it is now. Raises AppFault while it blocks its connections."""
        app = await self._app(subject)
        if app is not None:
            await self._incidents.admit(app, by_person=by_person)
        return app

    async def _app(self, subject: Subject) -> models.OAuthApp | None:
        app_id = subject.connection.oauth_app_id
        app = None if app_id is None else await models.OAuthApp.get(id=app_id)
        await self._vault.look_for_key(None if app is None else app.client_secret)
        return app

    def _client(self, subject: Subject, app: models.OAuthApp | None) -> ClientCredentials:
        return subject.provider.client(subject.secrets) if app is None else self._apps.client_of(app)

    def _is_over(self, subject: Subject) -> bool:
        expires_at = subject.connection.expires_at
        return expires_at is not None and expires_at <= self._clock() + _NEARLY_OVER


async def _deliver(attempt: Coroutine[Any, Any, Result], answer: asyncio.Future[Result]) -> None:
    """Hand the result or the failure of an attempt to whoever still waits for it."""
    try:
        answer.set_result(await attempt)
    # Whatever it is, it is raised where it is waited for, and must not end the other attempts.
    except Exception as error:
        answer.set_exception(error)
        # Whoever asked may be gone: then this was looked at.
        answer.exception()


def _interrupted(failure: ProviderFailure, subject: Subject) -> ProviderFailure:
    """A dead grant after an exchange that was never answered: say that this may be why."""
    if not _is_dead(failure):
        return failure
    reason = reasons.interrupted_refresh(subject.provider.name, failure.reason.provider_error)
    return ProviderFailure(reason, retryable=False)


def _is_dead(failure: ProviderFailure) -> bool:
    """Whether the provider does not know the token any more, or not yet the one that another exchange is just bringing."""
    return failure.reason.code is StatusReasonCode.REAUTHENTICATION_REQUIRED
