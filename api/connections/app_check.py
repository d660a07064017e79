"""Whether a provider knows an OAuth app and takes its secret, found out without a connection and without a person.

By a token request that must fail: an authorization code that cannot exist. A server that judges the client first says whether it took
it: `invalid_client` means no, `invalid_grant` yes. Some look at the code first, or say the same to everybody; so a yes counts only
where the same request with a secret that is certainly wrong gets a no. Everything else is told as what could not be found out.
"""

import asyncio
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

import models
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector, Option
from api.catalog.grant import Pkce
from api.connections import reasons
from api.connections.attribution import failure_of
from api.connections.consent import Addresses
from api.connections.provider import Provider
from api.oauth.client import OAuthClient
from api.oauth.errors import TokenError, UnusableKey
from api.oauth.tokens import ClientCredentials
from api.outbound.egress import OutboundError
from api.secret import Secret
from models import AuthenticationType, StatusReason, StatusReasonCode

# Three requests at the most, each of which usually takes less than a second.
_PATIENCE_SECONDS = 20.0
_ACCEPTED = {StatusReasonCode.REAUTHENTICATION_REQUIRED, StatusReasonCode.REDIRECT_URI_MISMATCH}
_UNKNOWN_ID = {"invalid_client_id"}


class Verdict(StrEnum):
    YES = "YES"
    NO = "NO"
    UNKNOWN = "UNKNOWN"


class AppQuestion(StrEnum):
    """What is asked about an app."""

    CLIENT_KNOWN = "CLIENT_KNOWN"
    SECRET_ACCEPTED = "SECRET_ACCEPTED"
    REDIRECT_URI_REGISTERED = "REDIRECT_URI_REGISTERED"
    PKCE_ACCEPTED = "PKCE_ACCEPTED"
    MANDATORY_SCOPES_REGISTERED = "MANDATORY_SCOPES_REGISTERED"


@dataclass(frozen=True, slots=True)
class Finding:
    what: AppQuestion
    verdict: Verdict
    # Why, in words a person understands; never a secret.
    detail: str


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What a provider said of a client. `code` is its word for it, where it gave one."""

    client: Verdict
    secret: Verdict
    detail: str
    code: str | None = None
    has_redirect_uri: Verdict = Verdict.UNKNOWN
    # None: nothing was learned of it.
    takes_verifier: bool | None = None


class AppCheck:
    def __init__(self, *, oauth: OAuthClient, catalog: Catalog, addresses: Addresses) -> None:
        self._oauth = oauth
        self._catalog = catalog
        self._addresses = addresses

    async def accepts(self, provider: Provider | None, client: ClientCredentials) -> tuple[Verdict, str]:
        """Whether the provider takes the client with its secret, and why. No provider: nobody can be asked."""
        if provider is None:
            return Verdict.UNKNOWN, "The connector is not in this installation, so nobody could be asked."
        judgement = await self._judge(provider, client)
        return judgement.secret if client.client_secret is not None else judgement.client, judgement.detail

    async def findings(self, provider: Provider, client: ClientCredentials, registered_scopes: Collection[str]) -> list[Finding]:
        """Everything that can be found out about an app. `registered_scopes`: those that it is said to have."""
        judgement = await self._judge(provider, client)
        secret = Finding(AppQuestion.SECRET_ACCEPTED, judgement.secret, judgement.detail)
        if client.client_secret is None:
            secret = replace(secret, verdict=Verdict.UNKNOWN, detail="No secret was given: it is taken for a public client.")
        return [
            Finding(AppQuestion.CLIENT_KNOWN, judgement.client, judgement.detail),
            secret,
            self._redirect_uri(provider, judgement),
            _pkce(provider, judgement),
            _scopes(provider, registered_scopes),
        ]

    async def hears(self, provider: Provider) -> StatusReason | None:
        """What the token endpoint says to a client that cannot exist; None where it gives it a token. Stores nothing."""
        return await self._ask(
            provider, _impostor_of(ClientCredentials("", None)), with_verifier=provider.grant.pkce is not Pkce.UNSUPPORTED
        )

    async def provider_of(self, app: models.OAuthApp) -> Provider | None:
        """Where an app belongs, as one of its connections knows it; None where its connector is gone or has no consent any more."""
        connector = self._catalog.find(app.connector_key)
        if connector is None:
            return None
        # Where the address depends on the connection, theirs is the one that is known.
        connection = await models.Connection.filter(oauth_app_id=app.id).order_by("created_at").first()
        if connection is not None:
            option = connector.find_option(connection.authentication_type, connection.option_key)
            return None if option is None else Provider(connector, option, connection.site)
        option = consent_option(connector)
        return None if option is None else Provider(connector, option, {})

    async def _judge(self, provider: Provider, client: ClientCredentials) -> _Judgement:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._judge_at_length(provider, client)
        except TimeoutError:
            return _unknown(f"{provider.name} takes too long to answer.")

    async def _judge_at_length(self, provider: Provider, client: ClientCredentials) -> _Judgement:
        if provider.option.grant is None or not _is_addressable(provider, client):
            return _unknown(f"The address of {provider.name} depends on fields that are not known here.")
        verifies = provider.grant.pkce is not Pkce.UNSUPPORTED
        said = await self._ask(provider, client, with_verifier=verifies)
        takes_verifier = None
        if verifies and said is not None and said.provider_error == "invalid_request":
            without = await self._ask(provider, client, with_verifier=False)
            if without is not None and without.code in _ACCEPTED:
                said, takes_verifier = without, False
        if said is None:
            return _unknown(f"{provider.name} gave a token for a code that cannot exist, so its answers tell nothing.")
        if said.code is StatusReasonCode.INVALID_CLIENT:
            return _refusal(provider, client, said)
        if said.code not in _ACCEPTED:
            return _unknown(said.message, said.provider_error)
        control = await self._ask(provider, _impostor_of(client), with_verifier=verifies and takes_verifier is None)
        if control is None or control.code is not StatusReasonCode.INVALID_CLIENT:
            what = "id" if client.client_secret is None else "secret"
            return _unknown(f"{provider.name} says the same with a {what} that is wrong.", said.provider_error)
        return _Judgement(
            Verdict.YES,
            Verdict.YES,
            f"{provider.name} took it, and refused another.",
            said.provider_error,
            has_redirect_uri=Verdict.NO if said.code is StatusReasonCode.REDIRECT_URI_MISMATCH else Verdict.UNKNOWN,
            takes_verifier=verifies if takes_verifier is None else takes_verifier,
        )

    async def _ask(self, provider: Provider, client: ClientCredentials, *, with_verifier: bool) -> StatusReason | None:
        """What the provider says to a code that cannot exist; None where it gives a token for it."""
        redirect_uri = self._addresses.redirect_uri(provider.connector.key)
        try:
            await self._oauth.exchange_code(
                provider.server(client=client, redirect_uri=redirect_uri),
                client,
                code=Secret(f"patchbay-check-{secrets.token_hex(8)}"),
                redirect_uri=redirect_uri,
                code_verifier=self._oauth.new_code_verifier() if with_verifier else None,
                asked_scopes=(),
            )
        except UnusableKey as error:
            return reasons.unusable_key(error)
        except (TokenError, OutboundError) as error:
            return failure_of(error, provider, redirect_uri=redirect_uri).reason
        return None

    def _redirect_uri(self, provider: Provider, judgement: _Judgement) -> Finding:
        redirect_uri = self._addresses.redirect_uri(provider.connector.key)
        if judgement.has_redirect_uri is Verdict.NO:
            detail = f"Register exactly this callback URL with the app: {redirect_uri}"
        else:
            detail = f"Only a consent tells. It must be registered exactly so: {redirect_uri}"
        return Finding(AppQuestion.REDIRECT_URI_REGISTERED, judgement.has_redirect_uri, detail)


def consent_option(connector: Connector) -> Option | None:
    """The option of a connector that OAuth apps are for."""
    return connector.find_option(AuthenticationType.OAUTH2_AUTHORIZATION_CODE) or connector.find_option(
        AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
    )


def _is_addressable(provider: Provider, client: ClientCredentials) -> bool:
    """Whether all is known that a token request needs."""
    try:
        return bool(provider.server(client=client).token_url)
    except KeyError:
        return False


def _impostor_of(client: ClientCredentials) -> ClientCredentials:
    """The same client with another secret; where it has none, another client."""
    wrong = f"patchbay-check-{secrets.token_hex(16)}"
    if client.client_secret is None:
        return ClientCredentials(wrong)
    return ClientCredentials(client.client_id, Secret(wrong))


def _unknown(detail: str, code: str | None = None) -> _Judgement:
    return _Judgement(Verdict.UNKNOWN, Verdict.UNKNOWN, detail, code)


def _refusal(provider: Provider, client: ClientCredentials, said: StatusReason) -> _Judgement:
    word = said.provider_error or "no"
    if word in _UNKNOWN_ID:
        return _Judgement(Verdict.NO, Verdict.UNKNOWN, f"{provider.name} does not know this client id ({word}).", word)
    if client.client_secret is None:
        return _unknown(f"{provider.name} does not take this client id without a secret ({word}).", word)
    detail = f"{provider.name} does not take this client id with this secret ({word}); it does not say which of them is wrong."
    return _Judgement(Verdict.UNKNOWN, Verdict.NO, detail, word)


def _pkce(provider: Provider, judgement: _Judgement) -> Finding:
    documented = provider.grant.pkce
    if judgement.takes_verifier is False and documented is not Pkce.UNSUPPORTED:
        detail = f"{provider.name} refuses a token request that has a code verifier."
        return Finding(AppQuestion.PKCE_ACCEPTED, Verdict.NO, detail)
    match documented:
        case Pkce.UNSUPPORTED:
            return Finding(AppQuestion.PKCE_ACCEPTED, Verdict.NO, f"{provider.name} is known not to take it, so it is not sent.")
        case Pkce.REQUIRED:
            known = f"{provider.name} is known to require it"
        case _:
            known = f"{provider.name} is known to take it"
    if judgement.takes_verifier:
        return Finding(AppQuestion.PKCE_ACCEPTED, Verdict.YES, f"{known}, and took a token request that has a code verifier.")
    return Finding(AppQuestion.PKCE_ACCEPTED, Verdict.UNKNOWN, f"{known}; nothing was learned of this app.")


def _scopes(provider: Provider, registered: Collection[str]) -> Finding:
    what, mandatory = AppQuestion.MANDATORY_SCOPES_REGISTERED, _mandatory(provider)
    if not mandatory:
        return Finding(what, Verdict.YES, "No scope is mandatory.")
    named = "Mandatory: " + ", ".join(mandatory) + "."
    if not registered:
        return Finding(what, Verdict.UNKNOWN, f"{named} Which scopes the app has at {provider.name} was not told.")
    missing = [name for name in mandatory if name not in registered]
    if missing:
        return Finding(what, Verdict.NO, f"{named} The app is said to have others, but not " + ", ".join(missing) + ".")
    return Finding(what, Verdict.YES, f"{named} The app is said to have them.")


def _mandatory(provider: Provider) -> tuple[str, ...]:
    try:
        return provider.mandatory_scopes
    # One of them names a field of a connection.
    except KeyError:
        return provider.option.mandatory_scopes
