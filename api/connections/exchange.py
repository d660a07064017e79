"""From what a person gave, or a provider answered, to a proven credential. Writes nothing."""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import models
from api.catalog.connector import Discovery, Option
from api.connections import reasons
from api.connections.attribution import failure_of, reason_of_callback
from api.connections.consent import Addresses
from api.connections.keeping import Proven
from api.connections.proof import Prover
from api.connections.provider import Provider
from api.connections.secrets import Secrets
from api.connections.wishes import Wish, captured
from api.errors import InvalidInput, ProviderFailure
from api.oauth.answers import find, parse_json
from api.oauth.client import OAuthClient
from api.oauth.egress import OutboundError
from api.oauth.errors import TokenError
from api.oauth.http import OutboundClient
from api.oauth.tokens import ClientCredentials, TokenSet
from api.secret import Secret
from models import AuthenticationType

logger = logging.getLogger(__name__)

_DISCOVERY_DEADLINE = timedelta(seconds=15)
_LARGEST_DISCOVERY = 1_000_000


class Exchange:
    def __init__(self, *, oauth: OAuthClient, http: OutboundClient, prover: Prover, addresses: Addresses) -> None:
        self._oauth = oauth
        self._http = http
        self._prover = prover
        self._addresses = addresses

    def new_code_verifier(self) -> Secret:
        return self._oauth.new_code_verifier()

    def authorization_url(self, wish: Wish, client: ClientCredentials, *, state: Secret, code_verifier: Secret) -> str:
        """Where the browser asks for consent (RFC 6749 section 4.1.1)."""
        server = wish.provider.server(client_id=client.client_id)
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
        if wish.type is not AuthenticationType.OAUTH2_CLIENT_CREDENTIALS:
            proof = await self._prover.prove(wish.provider, secrets)
            return Proven(wish.provider, wish.type, secrets, proof.account)
        tokens = await self.client_credentials(wish.provider, secrets, wish.scopes)
        return await self._proven(wish, secrets, tokens)

    async def prove_answer(self, wish: Wish, client: ClientCredentials, values: Mapping[str, str]) -> Proven:
        """A credential from what the provider sent the browser back with. Raises ProviderFailure."""
        provider, redirect_uri = wish.provider, self._addresses.redirect_uri(wish.provider.connector.key)
        self._check_issuer(wish, client, values)
        if "error" in values:
            raise ProviderFailure(reason_of_callback(provider.name, values["error"], redirect_uri), retryable=False)
        if not values.get("code"):
            raise ProviderFailure(reasons.callback_refused(provider.name), retryable=False)
        wish = self._captured(wish, _from_callback(wish.provider.option, values))
        server = wish.provider.server(client_id=client.client_id)
        try:
            tokens = await self._oauth.exchange_code(
                server,
                client,
                code=Secret(values["code"]),
                redirect_uri=redirect_uri,
                code_verifier=wish.code_verifier if server.pkce else None,
                asked_scopes=wish.scopes,
            )
        except (TokenError, OutboundError) as error:
            raise failure_of(error, provider.name, redirect_uri=redirect_uri) from error
        try:
            return await self._proven(wish, Secrets(fields=wish.secrets), tokens)
        except ProviderFailure:
            await self.abandon(wish, client, Secrets(fields=wish.secrets).with_tokens(tokens))
            raise

    async def abandon(self, wish: Wish, client: ClientCredentials, secrets: Secrets) -> None:
        """The consent leads to nothing: do not leave its tokens alive at the provider. Raises nothing."""
        # Some providers end every grant of the same account and app with it, so this is done only where no connection has that app,
        # by whatever row it is known.
        same_app = models.Connection.filter(connector_key=wish.provider.connector.key, oauth_app__client_id=client.client_id)
        if not await same_app.exists():
            await self.revoke(wish.provider, client, secrets)

    async def client_credentials(self, provider: Provider, secrets: Secrets, scopes: Sequence[str]) -> TokenSet:
        """A new access token for the client itself (RFC 6749 section 4.4). Raises ProviderFailure."""
        client = ClientCredentials(provider.site["client_id"], secrets.fields.get("client_secret"))
        try:
            return await self._oauth.client_credentials(provider.server(secrets=secrets, client_id=client.client_id), client, scopes)
        except (TokenError, OutboundError) as error:
            raise failure_of(error, provider.name) from error

    async def refresh(self, provider: Provider, client: ClientCredentials, refresh_token: Secret, scopes: Sequence[str]) -> TokenSet:
        """New tokens for a refresh token (RFC 6749 section 6). Raises ProviderFailure."""
        try:
            return await self._oauth.refresh(provider.server(client_id=client.client_id), client, refresh_token, scopes=scopes)
        except (TokenError, OutboundError) as error:
            raise failure_of(error, provider.name) from error

    async def revoke(self, provider: Provider, client: ClientCredentials, secrets: Secrets, account: str | None = None) -> bool:
        """End the grant at the provider, where the connector knows how; whether it did. Raises nothing."""
        oauth2 = provider.option.oauth2
        token = secrets.refresh_token or secrets.access_token
        if oauth2 is None or oauth2.revocation is None or token is None:
            return False
        endpoint = provider.revocation(oauth2.revocation, client, secrets, account)
        try:
            await self._oauth.revoke(endpoint, client, token)
        except (TokenError, OutboundError) as error:
            logger.warning("grant not revoked", extra={"connector": provider.connector.key, "problem": error.message})
            return False
        return True

    async def _proven(self, wish: Wish, secrets: Secrets, tokens: TokenSet) -> Proven:
        provider = wish.provider
        granted = wish.scopes if tokens.scopes is None else tokens.scopes
        missing = [scope for scope in wish.scopes if scope not in granted]
        mandatory = [name for name in missing if name in provider.option.mandatory_scopes]
        if mandatory:
            raise ProviderFailure(reasons.insufficient_scopes(provider.name, mandatory), retryable=False)
        secrets = secrets.with_tokens(tokens)
        wish = self._captured(wish, tokens.captured)
        wish = await self._discovered(wish, secrets)
        proof = await self._prover.prove(wish.provider, secrets)
        return Proven(
            provider=wish.provider,
            authentication_type=wish.type,
            secrets=secrets,
            account=proof.account,
            scopes=tuple(granted),
            missing_scopes=tuple(missing),
            expires_at=tokens.expires_at,
            refresh_expires_at=tokens.refresh_expires_at,
            oauth_app_id=wish.oauth_app_id,
            own_app=wish.own_app,
        )

    def _check_issuer(self, wish: Wish, client: ClientCredentials, values: Mapping[str, str]) -> None:
        """Refuse an answer of another issuer, errors included (RFC 9207 section 2.4)."""
        server = wish.provider.server(client_id=client.client_id)
        if not server.accepts_issuer(values.get("iss")):
            raise ProviderFailure(reasons.callback_refused(wish.provider.name), retryable=False)

    def _captured(self, wish: Wish, values: Mapping[str, str]) -> Wish:
        """Keep what the provider told, where it has the form that the connector expects: a host from outside decides nothing by itself."""
        try:
            return captured(wish, values)
        except InvalidInput as error:
            raise ProviderFailure(reasons.unusable_answer(wish.provider.name), retryable=False) from error

    async def _discovered(self, wish: Wish, secrets: Secrets) -> Wish:
        """Ask which account the grant is for, where the connector needs to know."""
        oauth2 = wish.provider.option.oauth2
        if oauth2 is None or oauth2.discovery is None:
            return wish
        discovery = oauth2.discovery
        request = wish.provider.discovery(discovery, secrets)
        try:
            answer = await self._http.send(request, deadline=_DISCOVERY_DEADLINE, max_bytes=_LARGEST_DISCOVERY)
        except OutboundError as error:
            raise failure_of(error, wish.provider.name) from error
        if answer.status != 200:
            raise ProviderFailure(reasons.provider_error(wish.provider.name, f"HTTP {answer.status}"), retryable=True)
        entry = _chosen(wish, discovery, answer.body)
        found = {name: find(entry, path) for name, path in discovery.capture.items()}
        return self._captured(wish, {name: str(value) for name, value in found.items() if value is not None})


def _from_callback(option: Option, values: Mapping[str, str]) -> dict[str, str]:
    wanted = option.oauth2.callback_capture if option.oauth2 else {}
    return {name: values[parameter] for name, parameter in wanted.items() if parameter in values}


def _chosen(wish: Wish, discovery: Discovery, body: bytes) -> Any:
    """The one entry that is meant. Raises ProviderFailure where there is none, or where several might be."""
    try:
        entries = find(parse_json(body), discovery.entries) if discovery.entries else parse_json(body)
    except ValueError:
        entries = None
    if not isinstance(entries, list) or not entries:
        raise ProviderFailure(reasons.unusable_answer(wish.provider.name), retryable=False)
    wanted = wish.provider.site.get(discovery.choose_field or "")
    if wanted and discovery.choose_by:
        entries = [entry for entry in entries if str(find(entry, discovery.choose_by)) == wanted]
    if len(entries) != 1:
        offered = [str(find(entry, discovery.choose_by)) for entry in entries[:10]] if discovery.choose_by else []
        raise ProviderFailure(reasons.ambiguous_account(wish.provider.name, discovery.choose_field, offered), retryable=False)
    return entries[0]
