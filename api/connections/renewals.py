"""New tokens for a credential: from its intent to the fenced save, or from an answer that was kept over a crash."""

import logging
from datetime import datetime
from uuid import UUID

import models
from api.connections import reasons
from api.connections.attempt import Attempt, Intent, NotYet
from api.connections.exchange import Exchange, Renewal
from api.connections.incidents import Incidents, is_another
from api.connections.journal import Journal
from api.connections.outcomes import Outcomes
from api.connections.pacing import Pacing, Visit
from api.connections.secrets import Secrets
from api.connections.subjects import Subject, Subjects
from api.courier.client import CourierAway, NotCarried
from api.errors import NotFound, ProviderFailure
from api.oauth.tokens import ClientCredentials
from api.organization.apps import OAuthApps
from api.vault.vault import KeyUnavailable, Unreadable, Vault
from models import StatusReasonCode
from models.leases import Lease

logger = logging.getLogger(__name__)


class Renewals:
    def __init__(
        self,
        *,
        subjects: Subjects,
        vault: Vault,
        exchange: Exchange,
        apps: OAuthApps,
        incidents: Incidents,
        journal: Journal,
        outcomes: Outcomes,
        pacing: Pacing,
    ) -> None:
        self._subjects = subjects
        self._vault = vault
        self._exchange = exchange
        self._apps = apps
        self._incidents = incidents
        self._journal = journal
        self._outcomes = outcomes
        self._pacing = pacing

    async def renew(
        self, subject: Subject, lease: Lease, *, actor_id: UUID | None = None, enabling: bool = False, ends_lease: bool = False
    ) -> bool:
        """New tokens from the provider, saved, and with them the lease given back where it `ends`; whether that was done.

        Raises ProviderFailure, Unreadable, and NotYet, NotCarried, CourierAway.
        """
        connection = subject.connection
        async with self._pacing.turn(Visit.exchange(connection.id, connection.oauth_app_id, subject.provider)):
            # Not before the turn has come: what others met meanwhile may be the app's fault.
            app = await self._admitted_app(subject, by_person=actor_id is not None)
            client = self._subjects.client_of(subject, app)
            attempt = await self._journal.begin(connection, subject.credential, lease)
            try:
                renewal = await self._ask(subject, app, client, attempt)
            except ProviderFailure as failure:
                await self._give_up(attempt, failure)
                if _is_dead(failure) and await self.recover_left_behind(subject.connection.id):
                    # Whoever was thought dead had spent the token, and what came for it was journalled while this was refused.
                    return False
                raise _interrupted(failure, subject) if attempt.intent.repeats else failure from None
            except (NotCarried, CourierAway) as error:
                await self._not_sent(attempt)
                # Nobody has an answer; but one may still come, until the former request is over.
                raise NotYet(attempt.over_at) if attempt.only_listens else error from None
            # The provider may have rotated the token: from here to the save nothing may be lost.
            await self._journal.answer(attempt, renewal.tokens)
        given_back = lease if ends_lease else None
        return await self._save(subject, attempt, renewal, app, actor_id=actor_id, enabling=enabling, lease=given_back) and ends_lease

    async def hear_kept(self, subject: Subject, lease: Lease) -> None:
        """Save the answer that the courier has kept for what the connection has now; nothing is sent."""
        app = await self._subjects.app_of(subject)
        attempt = self._journal.resume(subject.connection, subject.credential, lease)
        try:
            renewal = await self._ask(subject, app, self._subjects.client_of(subject, app), attempt)
        except NotCarried:
            # What was heard does not end the matter, and what would come next was not sent: the next attempt does.
            return
        except ProviderFailure as failure:
            await self._give_up(attempt, failure)
            await self._outcomes.note(subject, failure)
            return
        await self._save(subject, attempt, renewal, app)
        logger.info("token recovered from the journal", extra={"connection": str(subject.connection.id)})

    async def recover(self, before: datetime) -> int:
        """Save what providers answered before then and a process that died did not save; how much that was."""
        await self._journal.forget_void(before)
        return sum([await self._recover_if_open(row) for row in await self._journal.answered(before)])

    async def recover_left_behind(self, connection_id: UUID) -> bool:
        """Save what an earlier exchange brought and its process, whose lease is over, did not save: its token is used up already."""
        return any([await self._recover(row) for row in await self._journal.left_behind(connection_id)])

    async def end_grant(self, subject: Subject, client: ClientCredentials, secrets: Secrets) -> bool:
        """End the grant of a connection that was deleted, but not where that may end the grant of another one too."""
        connection = subject.connection
        if await models.Connection.signed_in_with(connection.oauth_app_id, connection.account).exclude(id=connection.id).exists():
            return False
        return await self._exchange.revoke(subject.provider, client, secrets, connection.account)

    async def _save(
        self,
        subject: Subject,
        attempt: Attempt,
        renewal: Renewal,
        app: models.OAuthApp | None,
        *,
        actor_id: UUID | None = None,
        enabling: bool = False,
        lease: Lease | None = None,
    ) -> bool:
        tokens, connection = renewal.tokens, {"connection": str(subject.connection.id)}
        saved = await self._outcomes.renewed(
            subject, attempt.intent, tokens, app_secret_at=renewal.app_secret_at, actor_id=actor_id, enabling=enabling, lease=lease
        )
        attempt.settle()
        if app is not None:
            await self._incidents.over(app)
        if saved:
            logger.info("token refreshed", extra=connection | {"expires_at": tokens.expires_at and tokens.expires_at.isoformat()})
            return True
        logger.info("token of a replaced credential discarded", extra=connection)
        if not await models.Connection.exists(id=subject.connection.id):
            await self.end_grant(subject, self._subjects.client_of(subject, app), subject.secrets.with_tokens(tokens))
        return False

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
                return await exchange.renew(provider, self._apps.client_of(now, provider.connector), secrets, scopes)
            raise await self._incidents.meaning_of(failure, app, provider, client) from None

    async def _give_up(self, attempt: Attempt, failure: ProviderFailure) -> None:
        """Keep the intent where the provider may have used the token up without our knowing: the next attempt then tells so."""
        unknown = failure.may_be_spent and attempt.may_have_arrived
        await (self._journal.give_up if unknown else self._journal.forget)(attempt.intent)
        attempt.settle()

    async def _not_sent(self, attempt: Attempt) -> None:
        """Forget the intent, unless the courier went away with it: what became of it is asked there first."""
        if not attempt.may_have_arrived and not attempt.intent.repeats:
            await self._journal.forget(attempt.intent)

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
            subject = await self._subjects.find(row.connection_id)
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

    async def _admitted_app(self, subject: Subject, *, by_person: bool) -> models.OAuthApp | None:
        """The app that the connection signs in with, if any, as it is now. Raises AppFault while it blocks its connections."""
        app = await self._subjects.app_of(subject)
        if app is not None:
            await self._incidents.admit(app, by_person=by_person)
        return app


def _interrupted(failure: ProviderFailure, subject: Subject) -> ProviderFailure:
    """A dead grant after an exchange that was never answered: say that this may be why."""
    if not _is_dead(failure):
        return failure
    reason = reasons.interrupted_refresh(subject.provider.name, failure.reason.provider_error)
    return ProviderFailure(reason, retryable=False)


def _is_dead(failure: ProviderFailure) -> bool:
    """Whether the provider does not know the token any more, or not yet the one that another exchange is just bringing."""
    return failure.reason.code is StatusReasonCode.REAUTHENTICATION_REQUIRED
