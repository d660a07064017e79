"""How a provider gives a token, renews it, and takes it back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from api.catalog.template import Template
from api.catalog.using import Basic


class Pkce(StrEnum):
    REQUIRED = "required"
    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Revocation:
    """How a grant is ended at the provider.

    Values may name `token` (the refresh token, or the access token where there is none), `access_token`, `refresh_token`,
    `client_id`, `client_secret`, `account`, fields and captures. A parameter whose names have no value is left out.
    """

    url: Template
    method: str = "POST"
    # How the client proves itself there; None: it does not.
    client_authentication: str | None = None
    body_format: str = "form"
    # The whole body, instead of parameters.
    body: Template | None = None
    parameters: Mapping[str, Template] = field(default_factory=dict)
    headers: Mapping[str, Template] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refresh:
    """What is known of renewing: all of it the vendor's documented behaviour."""

    supported: bool = True
    # None: unknown, so whatever comes back is kept.
    rotates: bool | None = None
    url: Template | None = None
    method: str | None = None
    client_authentication: str | None = None
    # May name `access_token` and `redirect_uri`. For a swap it has all parameters, `grant_type` among them.
    parameters: Mapping[str, Template] = field(default_factory=dict)
    # Overrides of TokenPaths in the answer; None: they are those of the first answer.
    token_paths: Mapping[str, str] | None = None
    # For how long the provider still takes the token before the last one.
    reuse_window: timedelta | None = None
    # There is no refresh token: the access token, while it lasts, is swapped for one that lasts longer.
    swaps: bool = False
    # The first swap follows the consent at once.
    swaps_at_once: bool = False
    # A token younger than this is not renewed: the provider refuses, or gives the same one again.
    minimum_age: timedelta | None = None
    # A refresh token that is not used for so long is dead, so it is used in time.
    idle_lifetime: timedelta | None = None
    # How many token requests of one app the provider takes a second, and how many at once, where that is less than usual.
    rate: float | None = None
    concurrency: int | None = None


class AssertionUse(StrEnum):
    """Where a signed assertion goes."""

    # As the grant (RFC 7523 section 2.1).
    GRANT = "grant"
    # As the client's proof of itself (RFC 7523 section 2.2).
    CLIENT = "client"
    # As the bearer token of the token request.
    BEARER = "bearer"
    # It is the access token itself, and nothing is exchanged.
    TOKEN = "token"


@dataclass(frozen=True, slots=True)
class Assertion:
    """A JWT (RFC 7523) that is signed anew for every token request; `iat`, `exp` and `jti` are added to its claims."""

    key: Template
    passphrase: Template | None = None
    algorithm: str = "RS256"
    use: AssertionUse = AssertionUse.GRANT
    header: Mapping[str, Template] = field(default_factory=dict)
    # A claim that renders to nothing is left out.
    claims: Mapping[str, Template] = field(default_factory=dict)
    lifetime: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class CallbackSignature:
    """The provider signs the callback's query with the client's secret: HMAC-SHA256 in hexadecimal over all other parameters, sorted."""

    parameter: str


class Blame(StrEnum):
    """What an error code of a provider means, where it means something else than usual."""

    APP = "app"
    GRANT = "grant"
    SCOPE = "scope"
    PERSON = "person"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Discovery:
    """A request once the credential is there, which finds the account's host or id.

    Either in one entry of a list, the one whose `choose_by` a field names, or else in the answer itself.
    """

    url: Template
    method: str = "GET"
    # Sent instead of the credential's usual place.
    headers: Mapping[str, Template] = field(default_factory=dict)
    # Whether the answer holds a list to choose from, and the dotted path to it; empty: the body is the list.
    is_list: bool = True
    entries: str = ""
    # Site field that says which entry is meant where several come back, and the member of the entry that it equals.
    choose_field: str | None = None
    choose_by: str | None = None
    # The member that says which entry is meant where no field does: the one in which it is true.
    default_by: str | None = None
    # Value name → dotted path in the entry; each declared as a field that is not asked for.
    capture: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """How a provider gives a token: by OAuth 2.0, or by a login that takes the same way. Templates are not filled in."""

    # None: the token is an assertion of our own, and nobody is asked.
    token_url: Template | None
    token_method: str = "POST"
    # None: that of the authentication type; empty: none is sent.
    grant_type: str | None = None
    # The whole body of the token request, instead of parameters.
    token_body: Template | None = None
    # HTTP Basic of the token request, instead of the client's.
    token_basic: Basic | None = None
    assertion: Assertion | None = None
    authorize_url: Template | None = None
    issuer: Template | None = None
    sends_issuer: bool = False
    client_authentication: str = "client_secret_basic"
    pkce: Pkce = Pkce.SUPPORTED
    scope_parameter: str | None = "scope"
    scope_separator: str = " "
    granted_scope_separator: str | None = None
    body_format: str = "form"
    authorize_parameters: Mapping[str, Template] = field(default_factory=dict)
    token_parameters: Mapping[str, Template] = field(default_factory=dict)
    token_headers: Mapping[str, Template] = field(default_factory=dict)
    # Overrides of TokenPaths, by name.
    token_paths: Mapping[str, str] = field(default_factory=dict)
    accepts_form_answer: bool = False
    token_types: tuple[str, ...] = ("bearer",)
    default_lifetime: timedelta | None = None
    # Of a refresh token, where the answer does not tell; fixed: it counts from the consent, whatever comes afterwards.
    refresh_lifetime: timedelta | None = None
    refresh_lifetime_is_fixed: bool = False
    refresh: Refresh = Refresh()
    revocation: Revocation | None = None
    # What to keep of the callback's query and of the token answer: value name → parameter, or dotted path.
    # A kept value is checked against the pattern of the site field of its name, so an undeclared name is a mistake of the file.
    callback_capture: Mapping[str, str] = field(default_factory=dict)
    token_capture: Mapping[str, str] = field(default_factory=dict)
    callback_signature: CallbackSignature | None = None
    # Scopes of an answer are compared without regard to case.
    scopes_ignore_case: bool = False
    # The scope of an answer is something else, or not to be relied on: what was asked for counts as granted.
    scopes_unanswered: bool = False
    # What error codes mean that mean something else here than usual.
    errors: Mapping[str, Blame] = field(default_factory=dict)
