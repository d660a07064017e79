"""From a wish to a connection: static credentials at once, consent by way of the person's browser.

A consent has three stations: `connect` keeps the wish, `depart` sends the browser of the person who began to the provider, `complete`
takes the provider's answer. What binds them: a state of 256 random bits (RFC 6749 section 10.12) of which only the hash is kept and
which is consumed once; a cookie with a value of its own in the browser that departed; the person signed in at all three; PKCE with S256
(RFC 7636); a callback URL of the connector's own, and the issuer where the provider names it (RFC 9207), against mix-up. Of a consent
that one person asks of another, `ask` is the first station, and only the one who is asked goes on.
"""

import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.queryset import QuerySet

import models
from api.access import Access, Actor
from api.audit import Act, Audit
from api.clock import Clock
from api.connections import reasons
from api.connections.asking import Asked, asking_mistakes, find_asker, of_another
from api.connections.consent import (
    Addresses,
    CallbackRefused,
    ConsentOver,
    cookie_name,
    single_values,
)
from api.connections.exchange import Exchange
from api.connections.incidents import Incidents
from api.connections.keeping import Idempotency, Keeper, KeyUsed, Place, Proven
from api.connections.repeating import Repeats
from api.connections.requests import ConnectRequest, ReconnectRequest
from api.connections.wishes import Wish, Wishes
from api.errors import Conflict, InvalidInput, NameTaken, NotFound, PatchbayError, PolicyViolation, ProviderFailure
from api.events.log import EventLog
from api.events.wakeup import Wakeup, wait
from api.oauth.tokens import ClientCredentials
from api.organization.installed import InstalledConnectors
from api.organization.own_connectors import require_alive
from api.organization.rulings import Rulings
from api.organization.tokens import hash_of, new_cookie
from api.secret import Secret
from api.vault.vault import Vault
from models import AuditOutcome, AuthorizationStatus, Permission, StatusReason, StatusReasonCode
from models.database import transaction

_CONSENT_WITHIN = timedelta(minutes=10)
_LINK_WITHIN = timedelta(minutes=15)
_LOOK_AGAIN_SECONDS = 1.0
_BEGIN = "authorization.begin"
_ASK = "authorization.ask"
# Whoever looks for people who were sent the link of somebody else finds them by this.
_MISMATCH = "connect.refused_user_mismatch"


@dataclass(frozen=True, slots=True)
class Departure:
    """A browser that leaves for the provider: where to, and the flow cookie that it must bring back."""

    url: str
    cookie_name: str
    cookie_value: str


class Connecting:
    def __init__(
        self,
        *,
        access: Access,
        vault: Vault,
        wishes: Wishes,
        exchange: Exchange,
        keeper: Keeper,
        installed: InstalledConnectors,
        rulings: Rulings,
        incidents: Incidents,
        log: EventLog,
        wakeup: Wakeup,
        addresses: Addresses,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._access = access
        self._vault = vault
        self._repeats = Repeats(access, vault)
        self._wishes = wishes
        self._exchange = exchange
        self._keeper = keeper
        self._installed = installed
        self._rulings = rulings
        self._incidents = incidents
        self._log = log
        self._wakeup = wakeup
        self._addresses = addresses
        self._audit = audit
        self._clock = clock

    async def connect(self, actor: Actor, request: ConnectRequest) -> models.Connection | models.Authorization:
        """A verified connection, or, where a person must consent first, the authorization under way.

        Raises NotFound, PermissionDenied, InvalidInput, NameTaken, AuthenticationTypeUnavailable, PolicyViolation, ProviderFailure,
        Conflict.
        """
        async with self._audit.act(actor, _BEGIN if request.authentication_type.needs_consent else "connection.connect") as act:
            act.folder_id = request.folder_id
            return await self._connect(actor, request, act)

    async def _connect(self, actor: Actor, request: ConnectRequest, act: Act) -> models.Connection | models.Authorization:
        idempotency = self._repeats.key_of(actor, request)
        if idempotency is not None and (earlier := await self._repeats.find_earlier(actor, idempotency)):
            return earlier
        wish = await self._wishes.to_connect(actor, request)
        place = Place(request.folder_id, actor.user_id, wish.name)
        try:
            await self._keeper.check_name(place, wish.provider)
            if wish.type.needs_consent:
                return await self._begin(actor, wish, act, idempotency=idempotency)
            proven = await self._exchange.prove_static(wish)
            async with transaction():
                permit = partial(self._allow, actor, wish)
                connection = await self._keeper.create(place, proven, permit=permit, idempotency=idempotency)
                await act.done(subject_id=connection.id, subject_name=connection.name)
            return connection
        except KeyUsed:
            return await self._connect(actor, request, act)
        except NameTaken:
            # By the same request, it may be, a moment ago.
            if idempotency is not None and (earlier := await self._repeats.find_earlier(actor, idempotency)):
                return earlier
            raise

    async def reconnect(self, actor: Actor, request: ReconnectRequest) -> models.Connection | models.Authorization:
        """As `connect`, for a connection that keeps its id, name and default. The old credential lives until the new one is proven.

        Raises NotFound, PermissionDenied, InvalidInput, AuthenticationTypeUnavailable, PolicyViolation, ProviderFailure, Conflict.
        """
        async with self._audit.act(actor, "connection.reconnect", request.connection_id) as act:
            connection = await self._access.connection(actor, request.connection_id, Permission.EDIT)
            act.subject_name, act.folder_id = connection.name, connection.folder_id
            wish = await self._wishes.to_reconnect(connection, request)
            await self._check_policies(actor, wish, connection)
            if wish.type.needs_consent:
                return await self._begin(actor, wish, act, reconnects=connection, allow_account_change=request.allow_account_change)
            proven = await self._exchange.prove_static(wish)
            if not request.allow_account_change:
                _require_same_account(connection, proven)
            async with transaction():
                permit = partial(self._allow, actor, wish, connection.id)
                connection = await self._keeper.replace(connection, proven, permit=permit, actor_id=actor.user_id)
                await act.done(subject_name=connection.name, folder_id=connection.folder_id)
            return connection

    async def ask(self, actor: Actor, request: ConnectRequest, user_id: UUID) -> models.Authorization:
        """A consent for somebody else to give: the connection will be theirs, in a shared folder where the actor may make some.

        Raises NotFound, PermissionDenied, InvalidInput, NameTaken, AuthenticationTypeUnavailable, PolicyViolation, Conflict.
        """
        async with self._audit.act(actor, _ASK) as act:
            act.folder_id = request.folder_id
            folder = await self._access.folder(actor, request.folder_id, Permission.CREATE)
            person = await models.User.get_or_none(id=user_id, deactivated_at=None)
            if person is None:
                raise NotFound("user")
            if mistakes := asking_mistakes(actor, request, folder, person):
                raise InvalidInput(mistakes)
            wish = await self._wishes.to_connect(actor, request)
            await self._keeper.check_name(Place(request.folder_id, person.id, wish.name), wish.provider)
            return await self._begin(actor, wish, act, of=person)

    async def find_asked(self, actor: Actor, authorization_id: UUID) -> Asked | None:
        """What the actor is asked for; None where they began this consent themselves.

        Raises NotFound, AskedOfAnother, ConsentOver.
        """
        async with self._audit.act(actor, "authorization.depart", authorization_id) as act:
            authorization = await self._of_person(actor, authorization_id, act)
            asker = await find_asker(authorization)
            if asker is None:
                return None
            if self.status_of(authorization) is not AuthorizationStatus.PENDING or authorization.cookie_hash is not None:
                raise ConsentOver
            connector = (await self._wishes.of(authorization)).provider.name
            return Asked(asker.name, connector, authorization.folder.name, authorization.expires_at)

    def form_token(self, session: Secret, authorization_id: UUID) -> str:
        """What a form of ours must bring that starts this consent in this session: no other page can know it."""
        return self._vault.fingerprint(Secret(f"start {authorization_id} {session.reveal()}"))

    async def depart(self, actor: Actor, authorization_id: UUID) -> Departure:
        """Send the person's browser on to the provider.

        Who began it themselves may depart again, and voids the earlier departure with that; who was asked departs once.

        Raises NotFound, BegunByAnother, ConsentOver, PolicyViolation, Unreadable.
        """
        # What is refused is written down; a departure is no act yet.
        async with self._audit.act(actor, "authorization.depart", authorization_id) as act:
            return await self._depart(actor, authorization_id, act)

    async def _depart(self, actor: Actor, authorization_id: UUID, act: Act) -> Departure:
        authorization = await self._of_person(actor, authorization_id, act)
        if self.status_of(authorization) is not AuthorizationStatus.PENDING:
            raise ConsentOver
        wish = await self._wishes.of(authorization)
        await self._rulings.check(actor.user_id, wish.provider.connector, wish.type)
        state, cookie, verifier = new_cookie(), new_cookie(), self._exchange.new_code_verifier()
        client = await self._wishes.client_of(wish)
        url = self._exchange.authorization_url(wish, client, state=state, code_verifier=verifier)
        secrets = wish.kept_secrets(verifier).seal(self._vault, authorization.id, authorization.folder_id)
        departing, ends_at = self._pending(authorization), authorization.expires_at
        if authorization.asked_by_id is not None:
            departing, ends_at = departing.filter(cookie_hash=None), self._clock() + _CONSENT_WITHIN
        if not await departing.update(state_hash=hash_of(state), cookie_hash=hash_of(cookie), secrets=secrets, expires_at=ends_at):
            raise ConsentOver
        return Departure(url, self._cookie_name(authorization), cookie.reveal())

    async def complete(
        self, actor: Actor | None, connector_key: str, parameters: Sequence[tuple[str, str]], cookies: Mapping[str, str]
    ) -> models.Authorization:
        """The browser is back with the provider's answer: the consent, over, with its connection or with the reason why not.

        Raises CallbackRefused where no consent waits for this answer, and BegunByAnother: then nothing was asked of the provider.
        """
        values = single_values(parameters)
        authorization = await self._find_departed(values)
        async with self._audit.act(actor, "authorization.complete", authorization.id) as act:
            act.folder_id = authorization.folder_id
            self._check_return(authorization, connector_key, cookies)
            await self._claim(actor, authorization, act)
            return await self._complete(authorization, values, act)

    async def _complete(self, authorization: models.Authorization, values: Mapping[str, str], act: Act) -> models.Authorization:
        """A consent that is claimed, over: with its connection, or with the reason why not."""
        try:
            wish = await self._wishes.of(authorization)
            # Before anything is asked of the provider; and again when it is written down.
            await self._rulings.check(authorization.user_id, wish.provider.connector, wish.type)
            client = await self._wishes.client_of(wish)
            proven = await self._prove_answer(wish, client, values)
            try:
                await self._keep(authorization, wish, proven, act)
            except PatchbayError:
                await self._exchange.abandon(replace(wish, provider=proven.provider), client, proven.secrets)
                raise
        except ProviderFailure as failure:
            denied = failure.reason.code is StatusReasonCode.ACCESS_DENIED
            status = AuthorizationStatus.DENIED if denied else AuthorizationStatus.FAILED
            return await self._end(authorization, status, failure.reason, act)
        except PolicyViolation as violation:
            return await self._end(authorization, AuthorizationStatus.FAILED, reasons.disallowed(violation), act)
        except PatchbayError as error:
            return await self._end(authorization, AuthorizationStatus.FAILED, reasons.ours(error.message, error.remedy), act)
        return authorization

    async def cancel(self, actor: Actor, authorization_id: UUID) -> models.Authorization:
        """Raises NotFound, and ConsentOver where it is already over."""
        async with self._audit.act(actor, "authorization.cancel", authorization_id) as act, self._log.change(actor.user_id):
            authorization = await self.find(actor, authorization_id)
            if authorization is None or not await self._access.is_known(actor):
                raise NotFound("consent")
            if not await self._pending(authorization).update(status=AuthorizationStatus.CANCELLED, state_hash=None, secrets=None):
                raise ConsentOver
            await act.done(folder_id=authorization.folder_id)
        await authorization.refresh_from_db()
        return authorization

    async def find(self, actor: Actor, authorization_id: UUID) -> models.Authorization | None:
        """The authorization, for the person whose consent it is, and for who asked them for it; None for everybody else.

        None also for a token that is not good for its folder.
        """
        mine = Q(user_id=actor.user_id) | Q(asked_by_id=actor.user_id)
        authorization = await models.Authorization.filter(mine, id=authorization_id).first()
        if authorization is None or actor.limits is None:
            return authorization
        return authorization if await self._access.permissions(actor, [authorization.folder_id]) else None

    async def watch(self, actor: Actor, authorization_id: UUID) -> AsyncIterator[models.Authorization]:
        """The authorization as it is, then at each change, until it is over, the actor may not ask any more, or Patchbay closes.

        Raises NotFound.
        """
        seen: AuthorizationStatus | None = None
        while True:
            ticket = self._wakeup.ticket()
            authorization = await self.find(actor, authorization_id)
            if authorization is None:
                raise NotFound("consent")
            # Before it is shown: what changed after a sign-out is not for who signed out.
            if not await self._access.known_among({actor}, self._clock()):
                return
            status = authorization.status_at(self._clock())
            if status is not seen:
                seen = status
                yield authorization
            if status is not AuthorizationStatus.PENDING or self._wakeup.closed:
                return
            await wait(ticket, seconds=_LOOK_AGAIN_SECONDS)

    def status_of(self, authorization: models.Authorization) -> AuthorizationStatus:
        return authorization.status_at(self._clock())

    def url_of(self, authorization: models.Authorization) -> str:
        """The page of ours that sends the person's browser on to the provider."""
        return self._addresses.authorization_url(authorization.id)

    def redirect_uri(self, connector_key: str) -> str:
        """The callback URL to register with the vendor."""
        return self._addresses.redirect_uri(connector_key)

    async def _begin(
        self,
        actor: Actor,
        wish: Wish,
        act: Act,
        *,
        of: models.User | None = None,
        reconnects: models.Connection | None = None,
        allow_account_change: bool = False,
        idempotency: Idempotency | None = None,
    ) -> models.Authorization:
        """A consent of the actor, or `of` a person whom the actor asks for it."""
        act.action, now = _BEGIN if of is None else _ASK, self._clock()
        consenting = actor if of is None else Actor(of.id, of.name, of.administrator)
        authorization = models.Authorization(
            id=uuid4(),
            user_id=consenting.user_id,
            asked_by_id=None if of is None else actor.user_id,
            folder_id=wish.folder_id,
            connector_key=wish.provider.connector.key,
            connector_version=wish.provider.connector.version,
            authentication_type=wish.type,
            option_key=wish.provider.option.key,
            oauth_app_id=wish.oauth_app_id,
            name=wish.name,
            site=wish.kept_site(),
            scopes=list(wish.scopes),
            return_url=wish.return_url,
            allow_account_change=allow_account_change,
            connection_id=None if reconnects is None else reconnects.id,
            reconnects=reconnects is not None,
            created_at=now,
            expires_at=now + (_CONSENT_WITHIN if of is None else _LINK_WITHIN),
        )
        authorization.secrets = wish.kept_secrets().seal(self._vault, authorization.id, authorization.folder_id)
        try:
            async with self._log.change(actor.user_id):
                await self._allow(actor, wish, None if reconnects is None else reconnects.id, consenting=consenting)
                await authorization.save(force_create=True)
                if idempotency is not None:
                    await models.IdempotencyKey.create(
                        user_id=actor.user_id,
                        key=idempotency.key,
                        request=idempotency.request,
                        authorization_id=authorization.id,
                        created_at=now,
                    )
                whose = None if of is None else f"of user {of.id}"
                await act.done(subject_id=authorization.id, detail=whose if reconnects is None else f"to reconnect {reconnects.id}")
        except IntegrityError:
            if idempotency is None:
                raise Conflict("What this consent is for was deleted meanwhile.", "Look at what is there now, and begin again.") from None
            raise KeyUsed from None
        return authorization

    async def _of_person(self, actor: Actor, authorization_id: UUID, act: Act) -> models.Authorization:
        """The consent, for the person whose it is. Raises NotFound, BegunByAnother."""
        authorization = await models.Authorization.get_or_none(id=authorization_id).select_related("user", "folder")
        if authorization is None:
            raise NotFound("consent")
        act.folder_id = authorization.folder_id
        if authorization.user_id != actor.user_id:
            act.action = _MISMATCH
            raise of_another(authorization)
        return authorization

    async def _find_departed(self, values: Mapping[str, str]) -> models.Authorization:
        """The consent whose browser left with this state. Raises CallbackRefused."""
        state = Secret(values.get("state", ""))
        authorization = await models.Authorization.filter(state_hash=hash_of(state)).select_related("user").first()
        if authorization is None:
            raise CallbackRefused
        return authorization

    def _check_return(self, authorization: models.Authorization, connector_key: str, cookies: Mapping[str, str]) -> None:
        """Whether its answer came to the callback of its connector, in the browser that departed. Raises CallbackRefused."""
        # The key is compared here: it came in a path, and not every text may be asked a database for.
        if authorization.connector_key != connector_key:
            raise CallbackRefused
        brought = Secret(cookies.get(self._cookie_name(authorization), ""))
        if not hmac.compare_digest(hash_of(brought), authorization.cookie_hash or ""):
            raise CallbackRefused

    def _cookie_name(self, authorization: models.Authorization) -> str:
        return cookie_name(authorization.id, secure=self._addresses.public_url.startswith("https://"))

    async def _claim(self, actor: Actor | None, authorization: models.Authorization, act: Act) -> None:
        """Nobody else can claim it after this. Raises CallbackRefused, BegunByAnother."""
        if actor is None or actor.user_id != authorization.user_id:
            act.action = _MISMATCH
            raise of_another(authorization)
        if not await self._pending(authorization).filter(state_hash=authorization.state_hash).update(state_hash=None):
            raise CallbackRefused

    async def _prove_answer(self, wish: Wish, client: ClientCredentials, values: Mapping[str, str]) -> Proven:
        """The credential that an answer brings. What its provider says of an app meanwhile holds for all that sign in with the app."""
        app = await self._wishes.app_of(wish)
        try:
            proven = await self._exchange.prove_answer(wish, client, values)
        except ProviderFailure as failure:
            # An error in the answer came through the browser: whoever sits there must not stop everybody's connections with it.
            if app is None or "error" in values:
                raise
            raise await self._incidents.meaning_of(failure, app, wish.provider, client) from None
        if app is not None:
            await self._incidents.over(app)
        return proven

    async def _keep(self, authorization: models.Authorization, wish: Wish, proven: Proven, act: Act) -> None:
        """Write the credential down, unless what allowed it has gone meanwhile."""
        actor = Actor(authorization.user_id, authorization.user.name, authorization.user.administrator)
        if not authorization.reconnects:
            place = Place(wish.folder_id, actor.user_id, wish.name, name_is_a_wish=True)
            async with transaction():
                permit = partial(self._allow, await find_asker(authorization) or actor, wish, consenting=actor)
                made = await self._keeper.create(place, proven, permit=permit, authorization=authorization)
                await act.done(subject_id=made.id, subject_name=made.name, folder_id=made.folder_id)
            return
        if authorization.connection_id is None:
            raise NotFound("connection")
        connection = await self._access.connection(actor, authorization.connection_id, Permission.EDIT)
        if not authorization.allow_account_change:
            _require_same_account(connection, proven)
        permit = partial(self._allow, actor, wish, connection.id)
        async with transaction():
            held = await self._keeper.replace(connection, proven, permit=permit, actor_id=actor.user_id, authorization=authorization)
            await act.done(subject_id=held.id, subject_name=held.name, folder_id=held.folder_id)

    async def _allow(self, actor: Actor, wish: Wish, reconnects: UUID | None = None, *, consenting: Actor | None = None) -> None:
        """Whether what is wished is still allowed, as it will be until the transaction ends. `consenting`: the person whom the actor asked.

        Raises NotFound, PermissionDenied, AuthenticationTypeUnavailable, PolicyViolation.
        """
        await self._rulings.keep_still()
        await require_alive(wish.provider.connector)
        if reconnects is None:
            if consenting is not None and consenting.user_id != actor.user_id:
                await self._hold_known(actor, consenting)
                await self._rulings.check(consenting.user_id, wish.provider.connector, wish.type)
            await self._access.folder(actor, wish.folder_id, Permission.CREATE)
            await self._installed.require(wish.provider.connector)
            await self._check_policies(actor, wish)
        else:
            await self._check_policies(actor, wish, await self._access.held(actor, reconnects, Permission.EDIT))

    async def _hold_known(self, *people: Actor) -> None:
        """Let none of these be deactivated until the transaction ends. Raises NotFound where one is already."""
        # By their ids, as everywhere: who holds one and waits for the other must not meet who does it the other way round.
        for person in sorted(people, key=lambda each: each.user_id):
            if not await self._access.is_known(person):
                raise NotFound("user")

    async def _check_policies(self, actor: Actor, wish: Wish, reconnects: models.Connection | None = None) -> None:
        """Those for whoever authenticates, and those for the owner, whose connection it stays. Raises PolicyViolation."""
        owner_id = actor.user_id if reconnects is None else reconnects.owner_id
        for user_id in {actor.user_id, owner_id}:
            await self._rulings.check(user_id, wish.provider.connector, wish.type)

    async def _end(
        self, authorization: models.Authorization, status: AuthorizationStatus, reason: StatusReason, act: Act
    ) -> models.Authorization:
        """The consent, over for this reason; or as it is, where it was over already."""
        authorization.status, authorization.reason_json = status, reason.to_json()
        # It was claimed in time: that its time is over now does not hide the reason.
        claimed = models.Authorization.filter(id=authorization.id, status=AuthorizationStatus.PENDING)
        async with self._log.change(authorization.user_id):
            ended = await claimed.update(status=status, reason_json=authorization.reason_json, secrets=None, state_hash=None)
            await act.write(AuditOutcome.FAILED, reason.message)
        return authorization if ended else await models.Authorization.get_or_none(id=authorization.id) or authorization

    def _pending(self, authorization: models.Authorization) -> QuerySet[models.Authorization]:
        return models.Authorization.filter(id=authorization.id, status=AuthorizationStatus.PENDING, expires_at__gt=self._clock())


def _require_same_account(connection: models.Connection, proven: Proven) -> None:
    """Raises ProviderFailure where another account is signed in than before."""
    if None not in (connection.account, proven.account) and connection.account != proven.account:
        raise ProviderFailure(reasons.account_mismatch(proven.provider.name), retryable=False)
