"""What goes to an authorization server and what comes back, as values. Their repr hides every secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from api.secret import Secret


class ClientAuthentication(StrEnum):
    """How a client proves itself at the token endpoint (RFC 6749 section 2.3.1)."""

    CLIENT_SECRET_BASIC = "client_secret_basic"
    # As above, without form-encoding id and secret first: what many vendors expect in spite of the RFC.
    CLIENT_SECRET_BASIC_RAW = "client_secret_basic_raw"
    CLIENT_SECRET_POST = "client_secret_post"
    NONE = "none"


class BodyFormat(StrEnum):
    FORM = "form"
    JSON = "json"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class TokenPaths:
    """Where the members of a token answer are: dotted paths, `0` for the first of a list, `$` for the answer itself."""

    access_token: str = "access_token"
    refresh_token: str = "refresh_token"
    token_type: str = "token_type"
    expires_in: str = "expires_in"
    # Where the end of the token stands as a time (ISO 8601, or seconds since 1970); empty: nowhere.
    expires_at: str = ""
    refresh_expires_in: str = "refresh_token_expires_in"
    scope: str = "scope"
    error: str = "error"
    error_description: str = "error_description"


class AssertionUse(StrEnum):
    """Where a signed assertion goes: the grant itself (RFC 7523 section 2.1), the client's proof (2.2), or the bearer of the request."""

    GRANT = "grant"
    CLIENT = "client"
    BEARER = "bearer"
    TOKEN = "token"


@dataclass(frozen=True, slots=True)
class Assertion:
    """A JWT to be signed for each token request."""

    key: Secret
    algorithm: str
    use: AssertionUse
    lifetime: timedelta
    passphrase: Secret | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """One provider's endpoints and habits, every template already filled in."""

    token_url: str
    token_method: str = "POST"
    refresh_method: str | None = None
    # None: that of the grant; empty: none is sent.
    grant_type: str | None = None
    # The whole body of a token request, or its HTTP Basic, instead of parameters and of the client's proof.
    token_body: Secret | None = None
    token_basic: tuple[str, Secret] | None = None
    assertion: Assertion | None = None
    authorize_url: str | None = None
    refresh_url: str | None = None
    revoke_url: str | None = None
    # Where set, a callback must name it in `iss` (RFC 9207) when `sends_issuer`, and never another.
    issuer: str | None = None
    sends_issuer: bool = False
    client_authentication: ClientAuthentication = ClientAuthentication.CLIENT_SECRET_BASIC
    refresh_client_authentication: ClientAuthentication | None = None
    pkce: bool = True
    scope_parameter: str | None = "scope"
    scope_separator: str = " "
    # Separates the scopes of an answer; None: the same as in the request, commas and spaces both understood.
    granted_scope_separator: str | None = None
    body_format: BodyFormat = BodyFormat.FORM
    # Scopes that are asked for in a parameter of their own.
    scope_parameters: Mapping[str, str] = field(default_factory=dict)
    authorize_parameters: Mapping[str, str] = field(default_factory=dict)
    token_parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    refresh_parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    token_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    paths: TokenPaths = TokenPaths()
    # Of the answer to a refresh, where it differs.
    refresh_paths: TokenPaths | None = None
    # A form-encoded token answer is understood only where the provider is known to send one.
    accepts_form_answer: bool = False
    token_types: frozenset[str] = frozenset({"bearer"})
    # Lifetime of the access token where the answer does not tell one; None: it does not end.
    default_lifetime: timedelta | None = None
    # Likewise of a refresh token.
    refresh_lifetime: timedelta | None = None
    # Members of the token answer to keep: name → dotted path.
    capture: Mapping[str, str] = field(default_factory=dict)
    # Whether a person signs in with it: then its answer holds an ID token.
    is_openid: bool = False
    # What was filled into the templates in secret: no error repeats it.
    secrets: tuple[Secret, ...] = ()

    def accepts_issuer(self, issuer: str | None) -> bool:
        """Whether a callback with this `iss`, or without one, can come from this server (RFC 9207 section 2.4): compared exactly."""
        if self.issuer is None:
            return True
        return issuer == self.issuer or (issuer is None and not self.sends_issuer)

    @property
    def revocation(self) -> "RevocationEndpoint | None":
        """The endpoint of RFC 7009, where there is one."""
        if self.revoke_url is None:
            return None
        return RevocationEndpoint(self.revoke_url, client_authentication=self.client_authentication)


class TokenHint(StrEnum):
    """What kind of token is to be revoked (RFC 7009 section 2.1)."""

    ACCESS_TOKEN = "access_token"
    REFRESH_TOKEN = "refresh_token"


@dataclass(frozen=True, slots=True)
class RevocationEndpoint:
    """How a grant is ended at one provider, every template already filled in: tokens may stand in the URL, headers and parameters."""

    url: str = field(repr=False)
    method: str = "POST"
    # None: the client does not prove itself.
    client_authentication: ClientAuthentication | None = None
    body_format: BodyFormat = BodyFormat.FORM
    # The whole body, instead of parameters.
    body: Secret | None = None
    # None: `token` and `token_type_hint`, as RFC 7009 has it.
    parameters: Mapping[str, Secret] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A client as registered with the provider. A public client has no secret."""

    client_id: str
    client_secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What an authorization server granted. Times are absolute, UTC; None: it does not end, or nobody said."""

    access_token: Secret
    token_type: str = "Bearer"
    refresh_token: Secret | None = None
    expires_at: datetime | None = None
    refresh_expires_at: datetime | None = None
    # None: the answer named no scopes, which means those that were asked for (RFC 6749 section 5.1).
    scopes: tuple[str, ...] | None = None
    captured: Mapping[str, str] = field(default_factory=dict)
    id_token: Secret | None = None
