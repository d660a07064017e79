"""Keeping one connection alive: renewing its credential, or proving it; once at a time, whoever asks.

Every attempt goes the same way: lease, intent, provider, answer, fenced save. It runs in a task of the refresher's own, so that nobody
who waits for it can cut it off between the provider's answer and the save.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import models
from api.clock import Clock, seconds_since_boot
from api.connections import reasons
from api.connections.admission import Admission
from api.connections.attempt import Intent, NotYet
from api.connections.journal import Journal, consumed
from api.connections.on_request import ATTEMPT_SECONDS, OnRequest
from api.connections.outcomes import Outcomes
from api.connections.pacing import Pacing
from api.connections.proof import Proof, Prover
from api.connections.renewals import Renewals
from api.connections.subjects import Subject, Subjects
from api.connections.tasks import Tasks
from api.courier.client import CourierAway, NotCarried
from api.courier.wire import Errand
from api.errors import Conflict, NotFound, ProviderFailure
from api.vault.vault import KeyUnavailable, Unreadable, Vault
from models import ConnectionStatus
from models.leases import Lease, Term, claim, end_lease, postpone, release, take_over

logger = logging.getLogger(__name__)

# Longer than any attempt may take.
LEASE = timedelta(seconds=60)
_WAIT_FOR_LEASE_SECONDS = 25.0
_LOOK_AGAIN_SECONDS = 0.1
# The lease, less what a request may take and a margin.
_SEND_WITHIN_SECONDS = 35.0
_WITHOUT_COURIER = timedelta(seconds=5)


class Refresher:
    def __init__(
        self,
        *,
        subjects: Subjects,
        renewals: Renewals,
        vault: Vault,
        prover: Prover,
        journal: Journal,
        outcomes: Outcomes,
        pacing: Pacing,
        admission: Admission,
        clock: Clock,
        holder: str,
    ) -> None:
        self._subjects = subjects
        self._renewals = renewals
        self._vault = vault
        self._journal = journal
        self._outcomes = outcomes
        self._pacing = pacing
        self._admission = admission
        self._clock = clock
        self._holder = holder
        self._on_request = OnRequest(
            subjects=subjects, renewals=renewals, vault=vault, prover=prover, outcomes=outcomes, pacing=pacing, clock=clock
        )
        self._tasks = Tasks()

    def running(self) -> AbstractAsyncContextManager[None]:
        """Own the attempts; at the end wait for those under way, for a token that was asked for must be saved."""
        return self._tasks.running()

    async def start_due(self, *, limit: int) -> int:
        """Begin to look after what is due and can be sent; how many were due, of at most so many."""
        if not self._vault.can_seal:
            # What was asked for could not be kept. Others may have the key.
            return 0
        claimed = await self._admission.claim(self._term(), limit=limit)
        for lease in claimed.leases:
            self._tasks.start(lease.connection_id, self._look_after(lease))
        return claimed.count

    @property
    def has_queue(self) -> bool:
        """Whether connections that were due wait until more may be sent to their providers."""
        return self._pacing.has_queue

    @property
    def under_way(self) -> int:
        return len(self._tasks.connection_ids)

    async def settled(self, *, at_most: int = 0) -> None:
        """Wait until no more than so many attempts are under way."""
        await self._tasks.settled(at_most=at_most)

    async def verify(self, connection_id: UUID, *, actor_id: UUID, enabling: bool = False) -> Proof:
        """Ask the provider now, renewing first what has ended. The status says what came of it, also where this raises.

        Raises ProviderFailure, NotFound, and Conflict where another attempt does not end in time.
        """
        lease = await self._wait_for_lease(connection_id)
        return await self._tasks.deliver(connection_id, self._on_request.verify(lease, actor_id, enabling=enabling))

    async def renew_for_use(self, connection_id: UUID, until: datetime) -> None:
        """Have tokens that last until then, where the provider gives such: by one exchange, however many ask at once, and wherever.

        Raises ProviderFailure, NotFound, and Conflict where another attempt does not end in time.
        """
        await self._tasks.share((connection_id, "use"), partial(self._renew_once, connection_id, until))

    async def look_into_rejection(self, connection_id: UUID, generation: int) -> None:
        """The provider rejected this credential: renew it once and prove it once, at most once a minute; the status says what came of it.

        Whoever reports the same meanwhile waits for that. Raises NotFound, Conflict, and ProviderFailure where nothing could be tried.
        """
        await self._tasks.share((connection_id, "rejection"), partial(self._judge_once, connection_id, generation))

    async def ending(self, connection_id: UUID) -> Callable[[], Awaitable[bool]] | None:
        """What ends this connection's grant at the provider, to be called once the connection is deleted; None where nothing can.

        Nor where another connection has the same app and account: some providers end every grant of both with one.
        """
        try:
            subject = await self._subjects.find(connection_id)
            if subject is None or subject.provider.option.grant is None:
                return None
            client = self._subjects.client_of(subject, await self._subjects.app_of(subject))
        except (Unreadable, KeyUnavailable, NotFound):
            return None
        return partial(self._renewals.end_grant, subject, client, subject.secrets)

    async def recover(self) -> int:
        """Save what providers answered and a process that died did not save; how much that was."""
        return await self._renewals.recover(self._clock() - LEASE)

    async def take_up(self) -> None:
        """Begin to go on with what is in nobody's hands: save the answers that the courier keeps, let the rest be tried once more."""
        # In the hands of their attempts: also those that end meanwhile are left to the next time, for of them nothing is asked here.
        under_way = frozenset(self._tasks.connection_ids)
        kept = await self._journal.kept(under_way)
        for connection_id, errand in kept.items():
            if connection_id not in self._tasks.connection_ids and (lease := await self._lease_left_by(errand)):
                self._tasks.start(connection_id, self._save_kept(lease, errand))
        for row in await self._journal.interrupted(kept.keys() | under_way | self._tasks.connection_ids):
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
            async with asyncio.timeout(ATTEMPT_SECONDS):
                # The vault counts it. The connection is due again a minute after it was claimed; others may have the key.
                is_given_back = False
                with suppress(KeyUnavailable), self._vault.sealing():
                    is_given_back = await self._look_after_leased(lease)
            if not is_given_back:
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

    async def _save_kept(self, lease: Lease, errand: Errand) -> None:
        """Save what the courier has heard and nobody saved. Raises nothing."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                subject = await self._subjects.find(lease.connection_id)
                if subject is not None and errand.consumed == consumed(subject.credential.fingerprint, subject.credential.generation):
                    await self._renewals.hear_kept(subject, lease)
        # The vault counts it.
        except KeyUnavailable:
            pass
        # It stays with the courier, and is looked at again at the next tick.
        except Exception:
            logger.exception("answer not saved", extra={"connection": str(lease.connection_id)})
        await self._give_back(lease)

    async def _look_after_leased(self, lease: Lease) -> bool:
        """Whether the lease is given back already."""
        try:
            async with self._outcomes.telling_what_blocks(lease):
                subject = await self._subjects.find(lease.connection_id)
                if subject is not None and subject.has_answer:
                    if await self._renewals.recover_left_behind(lease.connection_id):
                        return False
                    subject = await self._subjects.find(lease.connection_id)
                # It may have been switched off since it was claimed.
                if subject is not None and subject.connection.status is not ConnectionStatus.DISABLED:
                    return await self._keep_alive(subject, lease)
        except ProviderFailure as failure:
            logger.warning("connection blocked", extra={"connection": str(lease.connection_id), "reason": failure.reason.code})
        return False

    async def _keep_alive(self, subject: Subject, lease: Lease) -> bool:
        """What is due: new tokens, or a proof. What comes of it is the status; whether the lease is given back. Raises Unreadable."""
        try:
            if subject.connection.renewable:
                if subject.provider.grant.token_url is not None:
                    return await self._renewals.renew(subject, lease, ends_lease=True)
                await self._renewals.renew(subject, lease)
                # Nobody was asked for that token, so it says nothing of whether the key is still good.
                subject = await self._subjects.find(lease.connection_id) or subject
                await self._outcomes.proven(subject, await self._on_request.prove(subject))
            elif subject.is_nearly_over(self._clock()):
                raise ProviderFailure(reasons.no_refresh_token(subject.provider.name), retryable=False)
            else:
                proof = await self._on_request.prove(subject)
                await self._outcomes.proven(subject, proof)
        except ProviderFailure as failure:
            await self._outcomes.note(subject, failure)
        return False

    async def _renew_once(self, connection_id: UUID, until: datetime) -> None:
        lease = await self._wait_for_lease(connection_id)
        await self._tasks.deliver(connection_id, self._on_request.renew(lease, until))

    async def _judge_once(self, connection_id: UUID, generation: int) -> None:
        lease = await self._wait_for_lease(connection_id)
        await self._tasks.deliver(connection_id, self._on_request.judge(lease, generation))
