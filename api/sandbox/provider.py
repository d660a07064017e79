"""The protocol side of the sandbox: Authlib's grants and endpoints upon our records.

RFC 6749 (code, refresh, client credentials), RFC 7636 (PKCE, S256 and nothing else), RFC 7009 (revocation), RFC 9207 (`iss`).
"""

# Authlib's server side is untyped; what we make of it is typed at its edges.
# mypy: disallow-subclassing-any=False

import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar

from authlib.common.security import is_secure_transport
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidRequestError,
    OAuth2Error,
    OAuth2Payload,
    OAuth2Request,
    UnauthorizedClientError,
    grants,
)
from authlib.oauth2.rfc6749.util import scope_to_list
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter

from api.sandbox.records import SCOPES, Account, Code, Grant, GrantKind, Mode, Records, Token, TokenKind
from api.secret import Secret

_CLIENT_AUTHENTICATION = ["client_secret_basic", "client_secret_post"]
_RETRY_AFTER = "10"
_REPEATED = frozenset({"client_id", "grant_type", "redirect_uri", "response_type", "scope"})
_LEGIBLE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_ILLEGIBLE = "A parameter has characters that it may not have."
_NO_STORE = (("cache-control", "no-store"), ("pragma", "no-cache"))


@dataclass(slots=True)
class Answer:
    """What goes back, not yet a response. Authlib's RFC 9207 extension writes to `location`."""

    status: int
    body: Mapping[str, Any] | str = ""
    headers: Sequence[tuple[str, str]] = ()
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request, as far as the protocol looks at it."""

    method: str
    url: str
    parameters: Sequence[tuple[str, str]]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_legible(self) -> bool:
        """Whether what an answer would repeat may stand in one (RFC 6749 section 4.1.2.1)."""
        return all(_LEGIBLE.fullmatch(value) for name, value in self.parameters if name in _REPEATED)


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person allows: who they say they are, and the scopes that they left ticked."""

    account: Account
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Client:
    """The one registered client. It is confidential: it always proves itself."""

    client_id: str
    # All that are good at the moment: a vendor lets a new one and the one before overlap.
    client_secrets: tuple[Secret, ...]
    redirect_uris: tuple[str, ...]
    is_disabled: bool = False

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        # RFC 9700 section 4.1: a request names its redirect URI, and exactly.
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(SCOPES) if not scope else " ".join(name for name in scope_to_list(scope) if name in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        given = client_secret.encode("utf-8", "surrogatepass")
        return any(hmac.compare_digest(secret.reveal().encode(), given) for secret in self.client_secrets)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method in _CLIENT_AUTHENTICATION

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token", "client_credentials")


class Provider(AuthorizationServer):
    """The authorization server for one request, inside one transaction."""

    def __init__(self, records: Records, client: Client, issuer: str, lifetime: timedelta) -> None:
        super().__init__(scopes_supported=list(SCOPES))
        self.records = records
        self.lifetime = lifetime
        self._client = client
        self._issuer = _Issuer(issuer)
        self.register_token_generator("default", BearerTokenGenerator(_new_token, _new_token, int(lifetime.total_seconds())))
        self.register_grant(_CodeGrant, [_S256()])
        self.register_grant(_RefreshGrant)
        self.register_grant(_ClientGrant)
        self.register_endpoint(_Revocation)
        self.register_extension(self._issuer)

    # What the doors ask for

    def consent_to(self, incoming: Incoming) -> tuple[str, tuple[str, ...]] | Answer:
        """The redirect URI and the scopes that a person is asked for; or the answer to a request that cannot be granted."""
        asked = self._asked(incoming)
        if isinstance(asked, Answer):
            return asked
        return asked.redirect_uri, tuple(scope_to_list(asked.request.scope))

    def decide(self, incoming: Incoming, consent: Consent | None) -> Answer:
        """Send the browser back, with a code or with a refusal."""
        asked = self._asked(incoming)
        if isinstance(asked, Answer):
            return asked
        answer: Answer = self.create_authorization_response(asked.request, consent, asked)
        return answer

    def _asked(self, incoming: Incoming) -> Any:
        """The grant that is asked for, found to be valid; or an Answer."""
        if not incoming.is_legible:
            return _error(400, "invalid_request", _ILLEGIBLE)
        try:
            return self.get_consent_grant(incoming)
        except OAuth2Error as error:
            answer: Answer = self.handle_error_response(incoming, error)
            self._issuer.add_issuer_parameter(self, answer)
            return answer

    def issue(self, incoming: Incoming) -> Answer:
        """The token endpoint."""
        if not incoming.is_legible:
            return _error(400, "invalid_request", _ILLEGIBLE)
        if trouble := self._trouble(incoming):
            return trouble
        answer: Answer = self.create_token_response(incoming)
        return answer

    def revoke(self, incoming: Incoming) -> Answer:
        """The revocation endpoint."""
        answer: Answer = self.create_endpoint_response(_Revocation.ENDPOINT_NAME, incoming)
        return answer

    def _trouble(self, incoming: Incoming) -> Answer | None:
        """The answer that a switch prescribes, before anything is used up."""
        parameters = dict(incoming.parameters)
        match parameters.get("grant_type"):
            case "refresh_token":
                token = self.records.find_token(parameters.get("refresh_token", ""))
                return None if token is None else trouble_of(token.grant)
            case "client_credentials":
                return trouble_of(self.client_grant())
            case _:
                return None

    def client_grant(self) -> Grant:
        found = self.records.grants(kind=GrantKind.CLIENT)
        return found[0] if found else self.records.add_grant(GrantKind.CLIENT, self._client.client_id, " ".join(SCOPES))

    # What Authlib asks for

    def query_client(self, client_id: str) -> Client | None:
        return self._client if client_id == self._client.client_id and not self._client.is_disabled else None

    def save_token(self, token: dict[str, Any], request: "_Request") -> None:
        grant = self._grant_for(request)
        scope = token.get("scope", "")
        self.records.add_token(token["access_token"], TokenKind.ACCESS, grant, scope, self.lifetime)
        if "refresh_token" in token:
            # A refresh may narrow the access token; the refresh token keeps all of the grant.
            self.records.add_token(token["refresh_token"], TokenKind.REFRESH, grant, grant.scope, None)

    def _grant_for(self, request: "_Request") -> Grant:
        if request.authorization_code is not None:
            code: Code = request.authorization_code
            grant = self.records.add_grant(GrantKind.CONSENT, code.account, code.scope)
            self.records.spend_code(code, grant)
            return grant
        if request.refresh_token is not None:
            refreshed: Grant = request.refresh_token.grant
            self.records.count_refresh(refreshed)
            return refreshed
        return self.client_grant()

    def create_oauth2_request(self, request: "Incoming | _Request") -> "_Request":
        return request if isinstance(request, _Request) else _Request(request)

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Answer:
        location = next((value for name, value in headers if name.lower() == "location"), None)
        rest = [(name, value) for name, value in headers if name.lower() not in ("location", "content-type")]
        return Answer(status, body, rest, location)

    def send_signal(self, name: str, *_: Any, **__: Any) -> None:
        """Nobody listens."""


def is_secure(issuer: str) -> bool:
    """Whether OAuth may be spoken there: https, or http on a loopback address."""
    return bool(is_secure_transport(issuer))


def trouble_of(grant: Grant) -> Answer | None:
    """How the sandbox answers for a grant whose switch is thrown; None where it answers as it should."""
    match grant.mode:
        case Mode.UNAVAILABLE:
            return _error(503, "temporarily_unavailable", "This grant is switched to answer 503.")
        case Mode.RATE_LIMITED:
            return _error(429, "rate_limited", "This grant is switched to answer 429.", ("retry-after", _RETRY_AFTER))
        case _:
            return None


def invalid_token() -> Answer:
    """RFC 6750 section 3.1."""
    challenge = ("www-authenticate", 'Bearer realm="sandbox", error="invalid_token"')
    return _error(401, "invalid_token", "The token is unknown, expired or revoked.", challenge)


def repeated_parameter() -> Answer:
    return _error(400, "invalid_request", "A parameter is repeated.")


def _error(status: int, code: str, description: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, {"error": code, "error_description": description}, [*_NO_STORE, *headers])


def _new_token(**_: Any) -> str:
    return secrets.token_urlsafe(32)


class _Payload(OAuth2Payload):
    def __init__(self, parameters: Sequence[tuple[str, str]]) -> None:
        self._parameters = parameters

    @cached_property
    def data(self) -> dict[str, str]:
        return dict(self._parameters)

    @cached_property
    def datalist(self) -> dict[str, list[str]]:
        gathered: dict[str, list[str]] = {}
        for name, value in self._parameters:
            gathered.setdefault(name, []).append(value)
        return gathered


class _Request(OAuth2Request):
    def __init__(self, incoming: Incoming) -> None:
        super().__init__(incoming.method, incoming.url, headers=incoming.headers)
        self.payload = _Payload(incoming.parameters)

    @property
    def form(self) -> dict[str, str]:
        return self.payload.data

    @property
    def args(self) -> dict[str, str]:
        return self.payload.data


class _S256(CodeChallenge):
    """PKCE that nobody can leave out or downgrade to `plain`."""

    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        parameters = grant.request.payload.data
        if not parameters.get("code_challenge") or parameters.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE is required, with the method S256.")
        super().validate_code_challenge(grant, redirect_uri)


class _Issuer(IssuerParameter):
    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def __call__(self, server: Any) -> "_Issuer":
        super().__call__(server)
        return self

    def get_issuer(self) -> str:
        return self._issuer


class _CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _CLIENT_AUTHENTICATION
    server: Provider

    def save_authorization_code(self, code: str, request: _Request) -> None:
        consent: Consent = request.user
        asked = scope_to_list(request.scope)
        self.server.records.add_code(
            code,
            account=consent.account.name,
            scope=" ".join(scope for scope in asked if scope in consent.scopes),
            redirect_uri=request.payload.redirect_uri,
            challenge=request.payload.data["code_challenge"],
        )

    def query_authorization_code(self, code: str, _client: Client) -> Code | None:
        found = self.server.records.find_code(code)
        if found is None or found.expires_at <= self.server.records.now:
            return None
        if found.grant_id is None:
            return found
        # RFC 6749 section 4.1.2: a code that comes twice was seen by someone else, so what came of it ends.
        for grant in self.server.records.grants(id=found.grant_id):
            self.server.records.set_mode(grant, Mode.REVOKED)
        return None

    def delete_authorization_code(self, _code: Code) -> None:
        """It is spent together with the tokens that it brought."""

    def authenticate_user(self, code: Code) -> str:
        return code.account


class _RefreshGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _CLIENT_AUTHENTICATION
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: Provider

    def authenticate_refresh_token(self, text: str) -> Token | None:
        token = self.server.records.find_token(text)
        if token is None or token.kind is not TokenKind.REFRESH or token.grant.mode is Mode.REVOKED:
            return None
        if token.spent:
            # RFC 9700 section 4.14.2: two hold the same token, and nobody knows which is the thief.
            self.server.records.set_mode(token.grant, Mode.REVOKED)
            return None
        return token

    def authenticate_user(self, token: Token) -> str:
        return token.grant.account

    def revoke_old_credential(self, token: Token) -> None:
        self.server.records.spend_token(token)


class _ClientGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _CLIENT_AUTHENTICATION
    server: Provider

    def validate_token_request(self) -> None:
        super().validate_token_request()
        if self.server.client_grant().mode is Mode.REVOKED:
            raise UnauthorizedClientError("This grant is revoked.")


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = _CLIENT_AUTHENTICATION
    server: Provider

    def query_token(self, text: str, _hint: str | None) -> Token | None:
        return self.server.records.find_token(text)

    def revoke_token(self, token: Token, _request: _Request) -> None:
        if token.kind is TokenKind.REFRESH:
            self.server.records.set_mode(token.grant, Mode.REVOKED)
        else:
            self.server.records.forget_token(token)
