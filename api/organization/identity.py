"""People whom the organization's identity provider knows: how they come to be users here, sign in, and are in groups.

A user is whoever the issuer calls by the same subject, and nobody else: addresses and names change hands. There is one exception.
An administrator may make a user for an address in advance. Whoever first comes with that address, said by the provider to be verified,
becomes that user, if no other subject did before; where the provider does not say that it is verified, they are refused.

What the provider says of somebody is taken over at each sign-in, and, as far as it names groups, from each newer access token.
"""

import base64
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySetSingle

import models
from api.access import Access, Actor
from api.audit import Act, Audit
from api.clock import Clock
from api.errors import PatchbayError, SignInRefused
from api.events.log import EventLog
from api.oauth.errors import clean_code
from api.oauth.openid import OpenIdClient, Statement, StatementRefused
from api.organization.accounts import create_account, open_session
from api.organization.claims import Description, describe, presentable
from api.organization.memberships import Memberships
from api.organization.suspensions import Suspensions
from api.organization.tokens import hash_of, new_cookie
from api.secret import Secret
from models import fold

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_FLOW = timedelta(minutes=10)
_LONGEST_ONWARD = 255
_ATTEMPTS = 3

_BEGIN_AGAIN = "Begin again at the sign-in page."
_NOT_WAITED_FOR = (
    "This is not an answer that Patchbay is waiting for: it is too old, was used already, or was not asked for in this browser."
)


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """Which claim names the groups of somebody, and which group's members are administrators; None: no group's are."""

    groups_claim: str = "groups"
    administrator_group: str | None = None


@dataclass(frozen=True, slots=True)
class SignInDeparture:
    """Where a browser goes to sign in, and the cookie that it must bring back."""

    url: str
    state: Secret
    cookie: Secret


@dataclass(frozen=True, slots=True)
class SignInArrival:
    session: Secret
    onward: str


class Identity:
    def __init__(
        self,
        *,
        openid: OpenIdClient,
        rules: IdentityRules,
        access: Access,
        suspensions: Suspensions,
        log: EventLog,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._openid = openid
        self._rules = rules
        self._access = access
        self._suspensions = suspensions
        self._memberships = Memberships(audit, clock)
        self._log = log
        self._audit = audit
        self._clock = clock

    async def depart(self, onward: str) -> SignInDeparture:
        """Send a browser to the provider; it comes back within ten minutes, and then goes on to this path of ours.

        Raises IssuerUnusable.
        """
        now = self._clock()
        state, cookie = new_cookie(), new_cookie()
        url = await self._openid.authorization_url(
            state=state,
            nonce=_derived(cookie, "nonce"),
            code_verifier=_derived(cookie, "code verifier"),
            groups_scope=self._rules.groups_claim,
        )
        await models.SignInFlow.filter(expires_at__lte=now).delete()
        await models.SignInFlow.create(
            state_hash=hash_of(state),
            cookie_hash=hash_of(cookie),
            onward=onward if len(onward) <= _LONGEST_ONWARD else "/",
            expires_at=now + _FLOW,
        )
        return SignInDeparture(url, state, cookie)

    async def arrive(self, answer: Sequence[tuple[str, str]], cookie: Secret | None, *, source: str | None) -> SignInArrival:
        """The browser is back with the provider's answer, and with the cookie of this flow, if it has one: a new session.

        Raises SignInRefused, and IssuerUnusable, TokenError or OutboundError where the provider could not be asked.
        """
        async with self._audit.act(None, "session.sign_in", source=source) as act:
            values = dict(answer)
            flow, secret = await self._claim(Secret(values.get("state", "")), cookie)
            statement = await self._statement(values, secret)
            session = await self._sign_in(statement, act)
        return SignInArrival(session, flow.onward)

    async def actor_of_bearer(self, token: Secret, *, source: str | None = None) -> Actor | None:
        """Whom a program acts for that shows an access token of the provider's; a user is made at first sight."""
        try:
            statement = await self._openid.read_access_token(token)
            user = await models.User.get_or_none(subject=self._subject(statement))
            if user is None or (statement.claim(self._rules.groups_claim) is not None and _is_newer(statement, user)):
                user = await self._recognise(statement, source)
        except PatchbayError as error:
            logger.info("bearer token refused", extra={"reason": error.message})
            return None
        if user.deactivated_at is not None:
            return None
        return Actor(user.id, user.name, user.administrator, source=source, until=statement.expires_at)

    async def find_sign_out_url(self) -> str | None:
        """Where a person may sign out at the provider too; None where there is no such place, or nobody can tell now."""
        try:
            return await self._openid.end_session_url()
        except PatchbayError as error:
            logger.warning("sign-out at the identity provider not offered", extra={"reason": error.message})
            return None

    async def _claim(self, state: Secret, cookie: Secret | None) -> tuple[models.SignInFlow, Secret]:
        """The flow that this answer belongs to, which nobody can claim after this, and the secret of its browser. Raises SignInRefused."""
        flow = await models.SignInFlow.get_or_none(state_hash=hash_of(state), expires_at__gt=self._clock())
        # In another browser than the one that began it would sign somebody in as who sent them here.
        if flow is None or cookie is None or not hmac.compare_digest(flow.cookie_hash, hash_of(cookie)):
            raise SignInRefused(_NOT_WAITED_FOR, _BEGIN_AGAIN)
        # Of two who come at once, one deletes it.
        if not await models.SignInFlow.filter(state_hash=flow.state_hash).delete():
            raise SignInRefused(_NOT_WAITED_FOR, _BEGIN_AGAIN)
        return flow, cookie

    async def _statement(self, values: Mapping[str, str], secret: Secret) -> Statement:
        """What the provider says of who signed in. Raises SignInRefused."""
        if not await self._openid.accepts_issuer(values.get("iss")):
            raise SignInRefused("This answer is not from the identity provider.", _BEGIN_AGAIN)
        code = values.get("code")
        if "error" in values or not code:
            reason = clean_code(values.get("error"), [secret]) or "no reason given"
            raise SignInRefused(f"The identity provider signed nobody in: {reason}.", _BEGIN_AGAIN)
        try:
            return await self._openid.identify(
                Secret(code),
                code_verifier=_derived(secret, "code verifier"),
                nonce=_derived(secret, "nonce"),
                wanted=("name", "email", self._rules.groups_claim),
            )
        except StatementRefused as error:
            raise SignInRefused(error.message, _BEGIN_AGAIN) from error

    async def _sign_in(self, statement: Statement, act: Act) -> Secret:
        said = describe(statement, self._rules.groups_claim)

        async def sign_in() -> Secret:
            async with self._log.change():
                user = await self._take_over(statement, said, act.source, is_sign_in=True)
                session = await open_session(user, self._clock())
                act.actor = Actor(user.id, user.name, user.administrator, source=act.source)
                await act.done(subject_id=user.id, subject_name=user.name, detail="at the identity provider")
            return session

        return await _again_where_taken(sign_in)

    async def _recognise(self, statement: Statement, source: str | None) -> models.User:
        said = describe(statement, self._rules.groups_claim)

        async def recognise() -> models.User:
            async with self._log.change():
                return await self._take_over(statement, said, source, is_sign_in=False)

        return await _again_where_taken(recognise)

    async def _take_over(self, statement: Statement, said: Description, source: str | None, *, is_sign_in: bool) -> models.User:
        """The user, held, with what the provider says of them. Raises SignInRefused where they may not sign in."""
        await self._suspensions.keep_others_out()
        user = await self._find_held(models.User.get_or_none(subject=self._subject(statement))) or await self._first_seen(
            statement, said, source
        )
        if user.deactivated_at is not None:
            raise SignInRefused("You were deactivated here.", "Ask your administrator.")
        if is_sign_in:
            await _rename(user, said)
        groups = () if said.groups is None and is_sign_in else said.groups
        if groups is not None and not _is_older(statement, user):
            user.described_at = statement.issued_at
            await self._set_administrator(user, groups, source)
            await user.save(update_fields=["described_at", "administrator"])
            if await self._memberships.put(user, groups, source=source):
                await self._suspensions.reconsider(actor_id=user.id, user_ids=[user.id])
        return user

    async def _first_seen(self, statement: Statement, said: Description, source: str | None) -> models.User:
        """A user for a new subject: the one who was made for their address, or a new one. Raises SignInRefused."""
        email = said.email
        holder = None if email is None else await self._find_held(models.User.get_or_none(email_key=fold(email)))
        if holder is not None and holder.subject is None:
            if not said.is_email_verified:
                raise SignInRefused(
                    "There is a user with your email address, and the identity provider does not say that the address is yours.",
                    "Let the identity provider verify it, or ask your administrator.",
                )
            if holder.deactivated_at is None:
                holder.subject = self._subject(statement)
                await holder.save(update_fields=["subject"])
                await self._tell("user.link", holder, source, "by the verified email address")
            return holder
        user = await create_account(
            name=said.name or presentable(statement.subject) or "Somebody",
            # An address that is another subject's stays theirs.
            email=None if holder is not None else email,
            now=self._clock(),
            subject=self._subject(statement),
        )
        await self._tell("user.create", user, source, "at the identity provider")
        return user

    async def _find_held(self, found: QuerySetSingle[models.User | None]) -> models.User | None:
        """The user, held until the transaction ends: whatever they do at this moment ends first."""
        user = await found
        if user is None:
            return None
        await self._access.hold([user.id])
        return await models.User.get_or_none(id=user.id)

    async def _set_administrator(self, user: models.User, groups: Sequence[str], source: str | None) -> None:
        group = self._rules.administrator_group
        if group is None or user.administrator == (group in groups):
            return
        user.administrator = group in groups
        told = "an administrator" if user.administrator else "no administrator any more"
        await self._tell("user.set_administrator", user, source, f"{told}, by the group “{group}”")

    async def _tell(self, action: str, user: models.User, source: str | None, detail: str) -> None:
        async with self._audit.act(None, action, user.id, subject_name=user.name, source=source) as act:
            await act.done(detail=detail)

    def _subject(self, statement: Statement) -> str:
        # An issuer holds no space.
        return f"{self._openid.provider.issuer} {statement.subject}"


async def _again_where_taken(work: Callable[[], Awaitable[Result]]) -> Result:
    """Somebody else may make the same user, address or group at this moment. Then it is there the next time."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await work()
        except IntegrityError:
            continue
    return await work()


async def _rename(user: models.User, said: Description) -> None:
    """Name and address as they are now at the provider; an address that is another user's stays theirs."""
    user.name = said.name or user.name
    if said.email is not None and not await models.User.filter(email_key=fold(said.email)).exclude(id=user.id).exists():
        user.email, user.email_key = said.email, fold(said.email)
    await user.save(update_fields=["name", "email", "email_key"])


def _is_newer(statement: Statement, user: models.User) -> bool:
    return user.described_at is None or statement.issued_at > user.described_at


def _is_older(statement: Statement, user: models.User) -> bool:
    """Else whoever left a group could be put into it again by a token from before that."""
    return user.described_at is not None and statement.issued_at < user.described_at


def _derived(cookie: Secret, purpose: str) -> Secret:
    """A value that only this browser's cookie leads to: so that of a flow nothing secret is kept here."""
    digest = hmac.digest(cookie.reveal().encode(), purpose.encode(), "sha256")
    return Secret(base64.urlsafe_b64encode(digest).rstrip(b"=").decode())
