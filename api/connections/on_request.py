"""What somebody asks for and waits for: to have a credential proven, renewed because it is needed, or looked into because it was rejected.

Each is an attempt under a lease, as those of the refresh loop are.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import models
from api.clock import Clock
from api.connections import reasons
from api.connections.attempt import NotYet
from api.connections.outcomes import Outcomes
from api.connections.pacing import Pacing, Visit
from api.connections.proof import Proof, Prover, Rejected
from api.connections.renewals import Renewals
from api.connections.subjects import Subject, Subjects
from api.courier.client import CourierAway, NotCarried
from api.errors import Conflict, ProviderFailure
from api.vault.vault import Vault
from models import ConnectionStatus
from models.leases import Lease, release

logger = logging.getLogger(__name__)

# 20 seconds at the token endpoint, 15 for the proof, and the waiting for a turn.
ATTEMPT_SECONDS = 50.0


class OnRequest:
    def __init__(
        self,
        *,
        subjects: Subjects,
        renewals: Renewals,
        vault: Vault,
        prover: Prover,
        outcomes: Outcomes,
        pacing: Pacing,
        clock: Clock,
    ) -> None:
        self._subjects = subjects
        self._renewals = renewals
        self._vault = vault
        self._prover = prover
        self._outcomes = outcomes
        self._pacing = pacing
        self._clock = clock

    async def verify(self, lease: Lease, actor_id: UUID, *, enabling: bool) -> Proof:
        """A proof of the credential, renewed first if it has ended. Raises ProviderFailure, NotFound, Conflict."""
        async with self._waited_for(lease, actor_id=actor_id, enabling=enabling):
            subject = await self._subjects.get(lease.connection_id)
            return await self._verify_subject(subject, lease, actor_id, enabling=enabling)

    async def renew(self, lease: Lease, until: datetime) -> None:
        """New tokens, unless those that are there by now last until then. Raises ProviderFailure, NotFound, Conflict."""
        async with self._waited_for(lease):
            subject = await self._subjects.get(lease.connection_id)
            connection = subject.connection
            # Whoever had the lease before may have renewed it, or somebody has switched it off.
            if not connection.renewable or connection.status is ConnectionStatus.DISABLED or connection.lasts(until, self._clock()):
                return
            try:
                await self._renewals.renew(subject, lease)
            except ProviderFailure as failure:
                await self._outcomes.note(subject, failure)
                raise

    async def judge(self, lease: Lease, generation: int) -> None:
        """Look into a credential that was reported as rejected, if it is still that one. Raises ProviderFailure, NotFound, Conflict."""
        async with self._waited_for(lease):
            subject = await self._subjects.get(lease.connection_id)
            if subject.connection.status is ConnectionStatus.DISABLED:
                return
            if await models.Credential.take_report(lease.connection_id, generation, self._clock()):
                await self._judge(subject, lease)

    async def prove(self, subject: Subject) -> Proof:
        """The provider takes the credential, asked when its turn has come. Raises Rejected, ProviderFailure."""
        connection = subject.connection
        async with self._pacing.turn(Visit.proof(connection.id, connection.oauth_app_id, subject.provider)):
            return await self._prover.prove(subject.provider, subject.secrets)

    async def _judge(self, subject: Subject, lease: Lease) -> None:
        """New tokens and a proof of them; where there are none, a proof of those that are there. What comes of it is the status."""
        failure = None
        if subject.connection.renewable:
            try:
                await self._renewals.renew(subject, lease)
                subject = await self._subjects.get(subject.connection.id)
            except ProviderFailure as refusal:
                failure = refusal
        try:
            proof = await self.prove(subject)
        except ProviderFailure as refusal:
            if failure is not None and isinstance(refusal, Rejected):
                await self._outcomes.ended(subject)
            failure = failure or refusal
        if failure is None:
            await self._outcomes.proven(subject, proof)
        else:
            await self._outcomes.note(subject, failure)

    @asynccontextmanager
    async def _waited_for(self, lease: Lease, *, actor_id: UUID | None = None, enabling: bool = False) -> AsyncIterator[None]:
        """An attempt for which somebody waits: what stops it is told in words for them, and the lease is given back in any case."""
        blocked = self._outcomes.telling_what_blocks(lease, actor_id=actor_id, enabling=enabling)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS), blocked:
                with self._vault.sealing():
                    await self._renewals.recover_left_behind(lease.connection_id)
                    yield
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
                await self._renewals.renew(subject, lease, actor_id=actor_id, enabling=enabling)
                # From here on it is the new credential of which something is said.
                subject = await self._subjects.get(subject.connection.id)
                proof = await self.prove(subject)
        except ProviderFailure as failure:
            await self._outcomes.note(subject, failure, actor_id=actor_id, enabling=enabling)
            raise
        await self._outcomes.proven(subject, proof, actor_id=actor_id, enabling=enabling)
        return proof

    async def _prove_as_it_is(self, subject: Subject) -> Proof | None:
        """A proof of the credential; None where it has ended, or the provider says so, and can be renewed. Raises ProviderFailure."""
        renewable = subject.connection.renewable
        if subject.is_nearly_over(self._clock()):
            if renewable:
                return None
            raise ProviderFailure(reasons.no_refresh_token(subject.provider.name), retryable=False)
        try:
            return await self.prove(subject)
        except Rejected:
            if not renewable:
                raise
            logger.info("credential rejected before its end", extra={"connection": str(subject.connection.id)})
            await self._outcomes.ended(subject)
            return None
