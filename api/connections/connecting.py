"""From a wish to a connection: static credentials at once, consent by way of the person's browser.

A consent has three stations: `connect` keeps the wish, `depart` sends the browser of the person who began to the provider, `complete`
takes the provider's answer. What binds them: a state of 256 random bits (RFC 6749 section 10.12) of which only the hash is kept and
which is consumed once; a cookie with a value of its own in the browser that departed; the person signed in at all three; PKCE with S256
(RFC 7636); a callback URL of the connector's own, and the issuer where the provider names it (RFC 9207), against mix-up.
"""

import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet

import models
from api.access import Access, Actor
from api.clock import Clock
from api.connections import reasons
from api.connections.consent import (
    Addresses,
    BegunByAnother,
    CallbackRefused,
    ConsentOver,
    cookie_name,
    single_values,
)
from api.connections.exchange import Exchange
from api.connections.keeping import Idempotency, Keeper, KeyUsed, Place, Proven
from api.connections.requests import ConnectRequest, ReconnectRequest
from api.connections.wishes import Wish, Wishes, idempotency_key_problem
from api.errors import Conflict, NameTaken, NotFound, PatchbayError, ProviderFailure
from api.events.log import EventLog
from api.events.wakeup import Wakeup, wait
from api.organization.tokens import hash_of, new_cookie
from api.secret import Secret
from api.vault.vault import Vault
from models import AuthorizationStatus, Permission, StatusReason, StatusReasonCode

_CONSENT_WITHIN = timedelta(minutes=10)
_LOOK_AGAIN_SECONDS = 1.0


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
        log: EventLog,
        wakeup: Wakeup,
        addresses: Addresses,
        clock: Clock,
    ) -> None:
        self._access = access
        self._vault = vault
        self._wishes = wishes
        self._exchange = exchange
        self._keeper = keeper
        self._log = log
        self._wakeup = wakeup
        self._addresses = addresses
        self._clock = clock

    async def connect(self, actor: Actor, request: ConnectRequest) -> models.Connection | models.Authorization:
        """A verified connection, or, where a person must consent first, the authorization under way.

        Raises NotFound, PermissionDenied, InvalidInput, NameTaken, AuthenticationTypeUnavailable, ProviderFailure, Conflict.
        """
        idempotency = self._idempotency(actor, request)
        if idempotency is not None and (earlier := await self._earlier(actor, idempotency)):
            return earlier
        wish = await self._wishes.to_connect(actor, request)
        place = Place(request.folder_id, actor.user_id, wish.name)
        try:
            await self._keeper.check_name(place, wish.provider)
            if wish.type.needs_consent:
                return await self._begin(actor, wish, idempotency=idempotency)
            proven = await self._exchange.prove_static(wish)
            return await self._keeper.create(place, proven, idempotency=idempotency)
        except KeyUsed:
            return await self.connect(actor, request)
        except NameTaken:
            # By the same request, it may be, a moment ago.
            if idempotency is not None and (earlier := await self._earlier(actor, idempotency)):
                return earlier
            raise

    async def reconnect(self, actor: Actor, request: ReconnectRequest) -> models.Connection | models.Authorization:
        """As `connect`, for a connection that keeps its id, name and default. The old credential lives until the new one is proven.

        Raises NotFound, PermissionDenied, InvalidInput, AuthenticationTypeUnavailable, ProviderFailure, Conflict.
        """
        connection = await self._access.connection(actor, request.connection_id, Permission.EDIT)
        wish = await self._wishes.to_reconnect(connection, request)
        if wish.type.needs_consent:
            return await self._begin(actor, wish, reconnects=connection, allow_account_change=request.allow_account_change)
        proven = await self._exchange.prove_static(wish)
        if not request.allow_account_change:
            _require_same_account(connection, proven)
        return await self._keeper.replace(connection, proven, actor_id=actor.user_id)

    async def depart(self, actor: Actor, authorization_id: UUID) -> Departure:
        """Send the browser of the one who began on to the provider; an earlier departure of the same consent is void with this.

        Raises NotFound, BegunByAnother, ConsentOver, Unreadable.
        """
        authorization = await models.Authorization.get_or_none(id=authorization_id).select_related("user")
        if authorization is None:
            raise NotFound("consent")
        if authorization.user_id != actor.user_id:
            raise BegunByAnother(authorization.user.name)
        if self.status_of(authorization) is not AuthorizationStatus.PENDING:
            raise ConsentOver
        wish = self._wishes.of(authorization)
        state, cookie, verifier = new_cookie(), new_cookie(), self._exchange.new_code_verifier()
        client = await self._wishes.client_of(wish)
        url = self._exchange.authorization_url(wish, client, state=state, code_verifier=verifier)
        secrets = wish.kept_secrets(verifier).seal(self._vault, authorization.id, authorization.folder_id)
        departed = await self._pending(authorization).update(state_hash=hash_of(state), cookie_hash=hash_of(cookie), secrets=secrets)
        if not departed:
            raise ConsentOver
        secure = self._addresses.public_url.startswith("https://")
        return Departure(url, cookie_name(authorization.id, secure=secure), cookie.reveal())

    async def complete(
        self, actor: Actor | None, connector_key: str, parameters: Sequence[tuple[str, str]], cookies: Mapping[str, str]
    ) -> models.Authorization:
        """The browser is back with the provider's answer: the consent, over, with its connection or with the reason why not.

        Raises CallbackRefused where no consent waits for this answer, and BegunByAnother: then nothing was asked of the provider.
        """
        values = single_values(parameters)
        authorization = await self._claim(actor, connector_key, values, cookies)
        try:
            wish = self._wishes.of(authorization)
            client = await self._wishes.client_of(wish)
            proven = await self._exchange.prove_answer(wish, client, values)
            try:
                await self._keep(authorization, wish, proven)
            except PatchbayError:
                await self._exchange.abandon(replace(wish, provider=proven.provider), client, proven.secrets)
                raise
        except ProviderFailure as failure:
            denied = failure.reason.code is StatusReasonCode.ACCESS_DENIED
            return await self._end(authorization, AuthorizationStatus.DENIED if denied else AuthorizationStatus.FAILED, failure.reason)
        except PatchbayError as error:
            return await self._end(authorization, AuthorizationStatus.FAILED, reasons.ours(error.message, error.remedy))
        return authorization

    async def cancel(self, actor: Actor, authorization_id: UUID) -> models.Authorization:
        """Raises NotFound, and ConsentOver where it is already over."""
        authorization = await self.find(actor, authorization_id)
        if authorization is None:
            raise NotFound("consent")
        async with self._log.change(actor.user_id):
            cancelled = await self._pending(authorization).update(status=AuthorizationStatus.CANCELLED, state_hash=None, secrets=None)
        if not cancelled:
            raise ConsentOver
        await authorization.refresh_from_db()
        return authorization

    async def find(self, actor: Actor, authorization_id: UUID) -> models.Authorization | None:
        """The authorization, for the one who began it; None for everybody else."""
        return await models.Authorization.get_or_none(id=authorization_id, user_id=actor.user_id)

    async def watch(self, actor: Actor, authorization_id: UUID) -> AsyncIterator[models.Authorization]:
        """The authorization as it is, then at each change, until it is over, or until Patchbay closes. Raises NotFound."""
        seen: AuthorizationStatus | None = None
        while True:
            ticket = self._wakeup.ticket()
            authorization = await self.find(actor, authorization_id)
            if authorization is None:
                raise NotFound("consent")
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
        *,
        reconnects: models.Connection | None = None,
        allow_account_change: bool = False,
        idempotency: Idempotency | None = None,
    ) -> models.Authorization:
        now = self._clock()
        authorization = models.Authorization(
            id=uuid4(),
            user_id=actor.user_id,
            folder_id=wish.folder_id,
            connector_key=wish.provider.connector.key,
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
            expires_at=now + _CONSENT_WITHIN,
        )
        authorization.secrets = wish.kept_secrets().seal(self._vault, authorization.id, authorization.folder_id)
        try:
            async with self._log.change(actor.user_id):
                await authorization.save(force_create=True)
                if idempotency is not None:
                    await models.IdempotencyKey.create(
                        user_id=actor.user_id,
                        key=idempotency.key,
                        request=idempotency.request,
                        authorization_id=authorization.id,
                        created_at=now,
                    )
        except IntegrityError:
            if idempotency is None:
                raise Conflict("What this consent is for was deleted meanwhile.", "Look at what is there now, and begin again.") from None
            raise KeyUsed from None
        return authorization

    async def _claim(
        self, actor: Actor | None, connector_key: str, values: Mapping[str, str], cookies: Mapping[str, str]
    ) -> models.Authorization:
        """The consent that this answer belongs to; nobody else can claim it after this. Raises CallbackRefused, BegunByAnother."""
        state = Secret(values.get("state", ""))
        authorization = await models.Authorization.filter(state_hash=hash_of(state)).select_related("user").first()
        # The key is compared here: it came in a path, and not every text may be asked a database for.
        if authorization is None or authorization.connector_key != connector_key or not _came_from_here(authorization, cookies):
            raise CallbackRefused
        if actor is None or actor.user_id != authorization.user_id:
            raise BegunByAnother(authorization.user.name)
        if not await self._pending(authorization).filter(state_hash=authorization.state_hash).update(state_hash=None):
            raise CallbackRefused
        return authorization

    async def _keep(self, authorization: models.Authorization, wish: Wish, proven: Proven) -> None:
        """Write the credential down, unless what allowed it has gone meanwhile."""
        actor = Actor(authorization.user_id, authorization.user.name, authorization.user.administrator)
        if not authorization.reconnects:
            await self._access.folder(actor, wish.folder_id, Permission.CREATE)
            place = Place(wish.folder_id, actor.user_id, wish.name, name_is_a_wish=True)
            await self._keeper.create(place, proven, authorization=authorization)
            return
        if authorization.connection_id is None:
            raise NotFound("connection")
        connection = await self._access.connection(actor, authorization.connection_id, Permission.EDIT)
        if not authorization.allow_account_change:
            _require_same_account(connection, proven)
        await self._keeper.replace(connection, proven, actor_id=actor.user_id, authorization=authorization)

    async def _end(self, authorization: models.Authorization, status: AuthorizationStatus, reason: StatusReason) -> models.Authorization:
        """The consent, over for this reason; or as it is, where it was over already."""
        authorization.status, authorization.reason_json = status, reason.to_json()
        # It was claimed in time: that its time is over now does not hide the reason.
        claimed = models.Authorization.filter(id=authorization.id, status=AuthorizationStatus.PENDING)
        async with self._log.change(authorization.user_id):
            ended = await claimed.update(status=status, reason_json=authorization.reason_json, secrets=None, state_hash=None)
        return authorization if ended else await models.Authorization.get_or_none(id=authorization.id) or authorization

    def _pending(self, authorization: models.Authorization) -> QuerySet[models.Authorization]:
        return models.Authorization.filter(id=authorization.id, status=AuthorizationStatus.PENDING, expires_at__gt=self._clock())

    def _idempotency(self, actor: Actor, request: ConnectRequest) -> Idempotency | None:
        # A key that is none is reported with the other mistakes of the request; no database is asked for it.
        if request.idempotency_key is None or idempotency_key_problem(request.idempotency_key):
            return None
        return Idempotency(request.idempotency_key, self._vault.fingerprint(Secret(_canonical(actor, request))))

    async def _earlier(self, actor: Actor, idempotency: Idempotency) -> models.Connection | models.Authorization | None:
        """The answer that the same key had before. Raises Conflict where the request was another one, or its result is gone."""
        key = await models.IdempotencyKey.get_or_none(user_id=actor.user_id, key=idempotency.key)
        if key is None:
            return None
        if not hmac.compare_digest(key.request, idempotency.request):
            raise Conflict("This idempotency key was used for another request.", "Use a new key for a new request.")
        if key.authorization_id is not None:
            authorization = await models.Authorization.get_or_none(id=key.authorization_id)
            if authorization is None:
                raise Conflict("The consent that this key began was deleted since.", "Use a new key to connect again.")
            return authorization
        connection = await models.Connection.get_or_none(id=key.connection_id)
        if connection is None:
            raise Conflict("The connection that this key made was deleted since.", "Use a new key to connect again.")
        return await self._access.connection(actor, connection.id)


def _came_from_here(authorization: models.Authorization, cookies: Mapping[str, str]) -> bool:
    """Whether the browser brings the cookie that it departed with."""
    names = [cookie_name(authorization.id, secure=secure) for secure in (True, False)]
    brought = next((cookies[name] for name in names if name in cookies), "")
    return hmac.compare_digest(hash_of(Secret(brought)), authorization.cookie_hash or "")


def _require_same_account(connection: models.Connection, proven: Proven) -> None:
    """Raises ProviderFailure where another account is signed in than before."""
    if None not in (connection.account, proven.account) and connection.account != proven.account:
        raise ProviderFailure(reasons.account_mismatch(proven.provider.name), retryable=False)


def _canonical(actor: Actor, request: ConnectRequest) -> str:
    """The request as one text, the same for the same wish."""
    app = request.own_app
    return json.dumps(
        [
            str(actor.user_id),
            str(request.folder_id),
            request.connector_key,
            request.authentication_type,
            request.option,
            request.name,
            sorted((name, value.reveal()) for name, value in request.fields.items()),
            None if app is None else [app.client_id, app.client_secret.reveal() if app.client_secret else None],
            None if request.oauth_app_id is None else str(request.oauth_app_id),
            request.scopes,
            request.return_url,
        ]
    )
