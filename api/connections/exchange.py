"""From what a person gave, or a provider answered, to a proven credential. Writes nothing."""

import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import models
from api.catalog.connector import Option
from api.catalog.grant import Discovery
from api.connections import reasons
from api.connections.attribution import failure_of, reason_of_callback
from api.connections.consent import Addresses
from api.connections.keeping import Proven
from api.connections.proof import Prover, Rejected
from api.connections.provider import Provider
from api.connections.secrets import Secrets
from api.connections.wishes import Wish, captured
from api.errors import InvalidInput, ProviderFailure
from api.oauth.answers import find, parse_json
from api.oauth.client import OAuthClient
from api.oauth.errors import TokenError, UnusableKey
from api.oauth.tokens import ClientCredentials, TokenSet
from api.organization.app_secrets import AppClient
from api.outbound.egress import OutboundError
from api.outbound.http import OutboundClient, Sender
from api.secret import Secret
from models import AuthenticationType, StatusReasonCode

logger = logging.getLogger(__name__)

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_DISCOVERY_DEADLINE = timedelta(seconds=15)
_LARGEST_DISCOVERY = 1_000_000


@dataclass(frozen=True, slots=True)
class Renewal:
    """New tokens, and as which client they were got: with the app's secret in use, or with the one before."""

    tokens: TokenSet
    client: ClientCredentials

    @property
    def app_secret_at(self) -> datetime | None:
        """When the app's secret was given, if that is what the provider took."""
        return self.client.secret_set_at if isinstance(self.client, AppClient) else None


class Exchange:
    def __init__(self, *, oauth: OAuthClient, http: OutboundClient, prover: Prover, addresses: Addresses) -> None:
        self._oauth = oauth
        self._http = http
        self._prover = prover
        self._addresses = addresses

    def through(self, sender: Sender) -> "Exchange":
        """The same, whose requests for tokens go another way."""
        return Exchange(oauth=self._oauth.through(sender), http=self._http, prover=self._prover, addresses=self._addresses)

    def new_code_verifier(self) -> Secret:
        return self._oauth.new_code_verifier()

    def authorization_url(self, wish: Wish, client: ClientCredentials, *, state: Secret, code_verifier: Secret) -> str:
        """Where the browser asks for consent (RFC 6749 section 4.1.1)."""
        server = wish.provider.server(client=client)
        return self._oauth.authorization_url(
            server,
            client,
            redirect_uri=self._addresses.redirect_uri(wish.provider.connector.key),
            state=state,
            scopes=wish.scopes,
            code_verifier=code_verifier if server.pkce else None,
        )

    async def prove_static(self, wish: Wish) -> Proven:
        """A credential without consent, taken by the provider just now. Raises ProviderFailure."""
        secrets = Secrets(fields=wish.secrets)
        if wish.provider.option.grant is not None:
            tokens = await self.obtain(wish.provider, secrets, wish.scopes)
            return await self._proven(self._captured_from(wish, tokens), secrets, tokens)
        wish = await self._discovered(wish, secrets)
        proof = await self._prover.prove(wish.provider, secrets)
        return Proven(wish.provider, wish.type, secrets, proof.account)

    async def prove_answer(self, wish: Wish, client: ClientCredentials, values: Mapping[str, str]) -> Proven:
        """A credential from what the provider sent the browser back with. Raises ProviderFailure."""
        provider, redirect_uri = wish.provider, self._addresses.redirect_uri(wish.provider.connector.key)
        self._check_issuer(wish, client, values)
        _check_signature(wish.provider, client, values)
        if "error" in values:
            raise ProviderFailure(reason_of_callback(provider.name, values["error"], redirect_uri), retryable=False)
        if not values.get("code"):
            raise ProviderFailure(reasons.callback_refused(provider.name), retryable=False)
        wish = self._captured(wish, _from_callback(wish.provider.option, values), wish.provider.grant.callback_capture)
        exchanged = await _with_either(client, lambda client: self._exchange_code(wish, client, Secret(values["code"])))
        tokens = await self._swapped_at_once(wish, exchanged) if wish.provider.grant.refresh.swaps_at_once else exchanged.tokens
        try:
            # Known from here on, since the way to end the grant may name it.
            wish = self._captured_from(wish, tokens)
            proven = await self._proven(wish, Secrets(fields=wish.secrets), tokens)
        except ProviderFailure:
            await self.abandon(wish, client, Secrets(fields=wish.secrets).with_tokens(tokens))
            raise
        return replace(proven, app_secret_at=exchanged.app_secret_at)

    async def abandon(self, wish: Wish, client: ClientCredentials, secrets: Secrets) -> None:
        """The consent leads to nothing: do not leave its tokens alive at the provider. Raises nothing."""
        # Some providers end every grant of the same account and app with it, so this is done only where no connection has that app,
        # by whatever row it is known.
        same_app = models.Connection.filter(connector_key=wish.provider.connector.key, oauth_app__client_id=client.client_id)
        if not await same_app.exists():
            await self.revoke(wish.provider, client, secrets)

    async def obtain(self, provider: Provider, secrets: Secrets, scopes: Sequence[str]) -> TokenSet:
        """A new token for what was typed: a client, a user name and password, a key. Raises ProviderFailure."""
        client = provider.client(secrets)
        server = provider.server(secrets=secrets, client=client)
        grant_type, parameters = "", {}
        match provider.option.type:
            case AuthenticationType.OAUTH2_CLIENT_CREDENTIALS:
                grant_type = "client_credentials"
            case AuthenticationType.OAUTH2_PASSWORD:
                grant_type, parameters = "password", _username_and_password(provider, secrets)
            case AuthenticationType.OAUTH2_JWT_BEARER:
                grant_type = _JWT_BEARER
        try:
            tokens = await self._oauth.obtain(server, client, grant_type, parameters, scopes)
        except UnusableKey as error:
            raise ProviderFailure(reasons.unusable_key(error), retryable=False) from error
        except (TokenError, OutboundError) as error:
            raise failure_of(error, provider) from error
        # Some answers have a text in its place that is no token.
        return tokens if provider.grant.refresh.supported else replace(tokens, refresh_token=None)

    async def renew(self, provider: Provider, client: ClientCredentials, secrets: Secrets, scopes: Sequence[str]) -> Renewal:
        """New tokens for a credential, in whichever way its provider has. Raises ProviderFailure."""
        return await _with_either(client, lambda client: self._renew(provider, client, secrets, scopes))

    async def _exchange_code(self, wish: Wish, client: ClientCredentials, code: Secret) -> TokenSet:
        provider, redirect_uri = wish.provider, self._addresses.redirect_uri(wish.provider.connector.key)
        server = provider.server(client=client, redirect_uri=redirect_uri)
        try:
            return await self._oauth.exchange_code(
                server,
                client,
                code=code,
                redirect_uri=redirect_uri,
                code_verifier=wish.code_verifier if server.pkce else None,
                asked_scopes=wish.scopes,
            )
        except (TokenError, OutboundError) as error:
            raise failure_of(error, provider, redirect_uri=redirect_uri) from error

    async def _swapped_at_once(self, wish: Wish, exchanged: Renewal) -> TokenSet:
        tokens = exchanged.tokens
        secrets = Secrets(fields=wish.secrets, access_token=tokens.access_token)
        longer = await self._swap(wish.provider, exchanged.client, secrets, tokens.access_token, tokens.scopes or wish.scopes)
        return replace(longer, captured={**tokens.captured, **longer.captured})

    async def _renew(self, provider: Provider, client: ClientCredentials, secrets: Secrets, scopes: Sequence[str]) -> TokenSet:
        grant = provider.grant
        if secrets.refresh_token is not None and grant.refresh.supported:
            try:
                return await self.refresh(provider, client, secrets, secrets.refresh_token, scopes)
            except ProviderFailure as failure:
                # What was typed may still be good for a new grant.
                if not provider.option.repeatable or failure.reason.code is not StatusReasonCode.REAUTHENTICATION_REQUIRED:
                    raise
        if provider.option.repeatable:
            return await self.obtain(provider, secrets, scopes)
        if grant.refresh.swaps and secrets.access_token is not None:
            return await self._swap(provider, client, secrets, secrets.access_token, scopes)
        raise ProviderFailure(reasons.no_refresh_token(provider.name), retryable=False)

    async def refresh(
        self, provider: Provider, client: ClientCredentials, secrets: Secrets, refresh_token: Secret, scopes: Sequence[str]
    ) -> TokenSet:
        """New tokens for a refresh token (RFC 6749 section 6). Raises ProviderFailure."""
        server = provider.server(secrets=secrets, client=client, redirect_uri=self._addresses.redirect_uri(provider.connector.key))
        try:
            tokens = await self._oauth.refresh(server, client, refresh_token, scopes=scopes)
        except (TokenError, OutboundError) as error:
            raise failure_of(error, provider) from error
        return replace(tokens, refresh_expires_at=None) if provider.grant.refresh_lifetime_is_fixed else tokens

    async def _swap(
        self, provider: Provider, client: ClientCredentials, secrets: Secrets, access_token: Secret, scopes: Sequence[str]
    ) -> TokenSet:
        try:
            return await self._oauth.swap(provider.server(secrets=secrets, client=client), client, access_token, scopes=scopes)
        except (TokenError, OutboundError) as error:
            raise failure_of(error, provider) from error

    async def revoke(self, provider: Provider, client: ClientCredentials, secrets: Secrets, account: str | None = None) -> bool:
        """End the grant at the provider, where the connector knows how; whether it did. Raises nothing."""
        grant = provider.option.grant
        token = secrets.refresh_token or secrets.access_token
        if grant is None or grant.revocation is None or token is None:
            return False
        endpoint = provider.revocation(grant.revocation, client, secrets, account)
        try:
            await self._oauth.revoke(endpoint, client, token)
        except (TokenError, OutboundError) as error:
            logger.warning("grant not revoked", extra={"connector": provider.connector.key, "problem": error.message})
            return False
        return True

    async def _proven(self, wish: Wish, secrets: Secrets, tokens: TokenSet) -> Proven:
        provider = wish.provider
        granted = wish.scopes if tokens.scopes is None else tokens.scopes
        missing = provider.missing_scopes(wish.scopes, granted)
        mandatory = [name for name in missing if name in provider.mandatory_scopes]
        if mandatory:
            raise ProviderFailure(reasons.insufficient_scopes(provider.name, mandatory), retryable=False)
        secrets = secrets.with_tokens(tokens)
        wish = await self._discovered(wish, secrets)
        proof = await self._prover.prove(wish.provider, secrets)
        return Proven(
            provider=wish.provider,
            authentication_type=wish.type,
            secrets=secrets,
            account=proof.account,
            scopes=tuple(wish.scopes if provider.grant.scopes_unanswered else granted),
            missing_scopes=tuple(missing),
            expires_at=tokens.expires_at,
            refresh_expires_at=tokens.refresh_expires_at,
            oauth_app_id=wish.oauth_app_id,
            own_app=wish.own_app,
        )

    def _check_issuer(self, wish: Wish, client: ClientCredentials, values: Mapping[str, str]) -> None:
        """Refuse an answer of another issuer, errors included (RFC 9207 section 2.4)."""
        server = wish.provider.server(client=client)
        if not server.accepts_issuer(values.get("iss")):
            raise ProviderFailure(reasons.callback_refused(wish.provider.name), retryable=False)

    def _captured_from(self, wish: Wish, tokens: TokenSet) -> Wish:
        return self._captured(wish, tokens.captured, wish.provider.grant.token_capture)

    def _captured(self, wish: Wish, values: Mapping[str, str], expected: Iterable[str]) -> Wish:
        """Keep what the provider told, where it has the form that the connector expects: a host from outside decides nothing by itself."""
        required = {field.name for field in wish.provider.connector.fields_for(wish.provider.option) if field.required}
        if any(name in required and name not in values for name in expected):
            raise ProviderFailure(reasons.unusable_answer(wish.provider.name), retryable=False)
        try:
            # Some write the address of their API with a slash at its end.
            return captured(wish, {name: value.rstrip("/") if value.startswith("https://") else value for name, value in values.items()})
        except InvalidInput as error:
            raise ProviderFailure(reasons.unusable_answer(wish.provider.name), retryable=False) from error

    async def _discovered(self, wish: Wish, secrets: Secrets) -> Wish:
        """Ask which account the grant is for, where the connector needs to know."""
        discovery = wish.provider.option.discovery
        if discovery is None:
            return wish
        request = wish.provider.discovery(discovery, secrets)
        try:
            answer = await self._http.send(request, deadline=_DISCOVERY_DEADLINE, max_bytes=_LARGEST_DISCOVERY)
        except OutboundError as error:
            raise failure_of(error, wish.provider) from error
        if answer.status in (401, 403):
            raise Rejected(reasons.credential_rejected(wish.provider.name), retryable=False)
        if answer.status != 200:
            raise ProviderFailure(reasons.provider_error(wish.provider.name, f"HTTP {answer.status}"), retryable=True)
        entry = _chosen(wish, discovery, answer.body)
        found = {name: find(entry, path) for name, path in discovery.capture.items()}
        return self._captured(wish, {name: str(value) for name, value in found.items() if value is not None}, discovery.capture)


async def _with_either(client: ClientCredentials, ask: Callable[[ClientCredentials], Awaitable[TokenSet]]) -> Renewal:
    """Ask as the client; where the provider does not take its secret, once more with the one before, if that is kept.

    A server that does not take the client has not looked at the code or token (RFC 6749 section 3.2.1), so neither is used up.
    """
    former = client.former if isinstance(client, AppClient) else None
    try:
        return Renewal(await ask(client), client)
    except ProviderFailure as failure:
        if former is None or failure.reason.code is not StatusReasonCode.INVALID_CLIENT:
            raise
        refusal = failure
    try:
        return Renewal(await ask(former), former)
    except ProviderFailure as failure:
        # Where neither is taken, it is the secret in use that somebody must look at.
        raise refusal if failure.reason.code is StatusReasonCode.INVALID_CLIENT else failure from None


def _from_callback(option: Option, values: Mapping[str, str]) -> dict[str, str]:
    wanted = option.grant.callback_capture if option.grant else {}
    return {name: values[parameter] for name, parameter in wanted.items() if parameter in values}


def _check_signature(provider: Provider, client: ClientCredentials, values: Mapping[str, str]) -> None:
    """Refuse an answer that the provider did not sign, where it signs its answers. Raises ProviderFailure."""
    signature = provider.grant.callback_signature
    if signature is None:
        return
    signed = "&".join(f"{name}={value}" for name, value in sorted(values.items()) if name != signature.parameter)
    keys = [client.client_secret or Secret("")]
    if isinstance(client, AppClient) and client.previous_secret is not None:
        keys.append(client.previous_secret)
    expected = [hmac.new(key.reveal().encode(), signed.encode(), "sha256").hexdigest() for key in keys]
    given = values.get(signature.parameter, "").encode()
    if not any(hmac.compare_digest(each.encode(), given) for each in expected):
        raise ProviderFailure(reasons.callback_refused(provider.name), retryable=False)


def _username_and_password(provider: Provider, secrets: Secrets) -> dict[str, Secret]:
    """Of the password grant (RFC 6749 section 4.3), unless the connector composes them otherwise."""
    typed = {name: Secret(value) for name, value in provider.site.items()} | dict(secrets.fields)
    return {name: typed[name] for name in ("username", "password") if name in typed and name not in provider.grant.token_parameters}


def _chosen(wish: Wish, discovery: Discovery, body: bytes) -> Any:
    """The one entry that is meant. Raises ProviderFailure where there is none, or where several might be."""
    try:
        document = parse_json(body)
    except ValueError:
        document = None
    if not discovery.is_list and isinstance(document, dict):
        return document
    if not discovery.is_list and wish.provider.option.grant is None:
        # Some say so with status 200 and a sentence.
        raise Rejected(reasons.credential_rejected(wish.provider.name), retryable=False)
    entries = find(document, discovery.entries) if discovery.entries else document
    if not isinstance(entries, list) or not entries:
        raise ProviderFailure(reasons.unusable_answer(wish.provider.name), retryable=False)
    wanted = wish.provider.site.get(discovery.choose_field or "")
    if wanted and discovery.choose_by:
        entries = [entry for entry in entries if str(find(entry, discovery.choose_by)) == wanted]
    elif discovery.default_by:
        entries = [entry for entry in entries if find(entry, discovery.default_by) in (True, "true")] or entries
    if len(entries) != 1:
        offered = [str(find(entry, discovery.choose_by)) for entry in entries[:10]] if discovery.choose_by else []
        raise ProviderFailure(reasons.ambiguous_account(wish.provider.name, discovery.choose_field, offered), retryable=False)
    return entries[0]
