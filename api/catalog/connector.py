"""What can be connected, and how: the frozen types that a connector file becomes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from models import AuthenticationType

# How long until a static credential is proven again, where the connector says nothing else.
VERIFY_EVERY = timedelta(hours=6)

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class ConnectorStage(StrEnum):
    GENERALLY_AVAILABLE = "GENERALLY_AVAILABLE"
    PREVIEW = "PREVIEW"
    LEGACY = "LEGACY"


@dataclass(frozen=True, slots=True)
class Template:
    """A text with `{names}` in it, such as `https://{subdomain}.zendesk.com/api/v2`."""

    text: str

    @property
    def names(self) -> frozenset[str]:
        return frozenset(_PLACEHOLDER.findall(self.text))

    def render(self, values: Mapping[str, str]) -> str:
        """Fill every name in. Raises KeyError for one that has no value."""
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.text)


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a form must ask for. A value is valid where the pattern matches all of it."""

    name: str
    label: str
    secret: bool = False
    required: bool = True
    default: str | None = None
    example: str | None = None
    pattern: str | None = None
    help: str | None = None
    options: tuple[str, ...] | None = None
    # False: never asked for; it comes from the callback, the token answer or a discovery, and the pattern guards it.
    asked: bool = True

    def problem(self, value: str) -> str | None:
        """What is wrong with a value, or None. Never repeats the value."""
        if self.options is not None and value not in self.options:
            return "must be one of " + ", ".join(self.options)
        if self.pattern is not None and not re.fullmatch(self.pattern, value, re.ASCII):
            return f"does not have the form of “{self.example}”" if self.example else f"must match {self.pattern}"
        return None


@dataclass(frozen=True, slots=True)
class Scope:
    name: str
    mandatory: bool = False
    default: bool = False
    description: str | None = None


class Proof(StrEnum):
    """What shows that a credential works: a request made with it, or that the provider gave a token for it at all."""

    REQUEST = "request"
    TOKEN_EXCHANGE = "token-exchange"


class PlacementLocation(StrEnum):
    HEADER = "header"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a credential goes in a call to the provider. `name` and `value` may name the option's fields and `access_token`."""

    location: PlacementLocation
    name: str
    value: Template

    def render(self, values: Mapping[str, str]) -> tuple[str, str]:
        """The header or query parameter, as name and value. Raises KeyError for a placeholder that has no value."""
        return Template(self.name).render(values), self.value.render(values)


@dataclass(frozen=True, slots=True)
class Basic:
    """HTTP Basic (RFC 7617), composed of fields."""

    username: Template
    password: Template


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the JSON body of a proof must hold at the dotted path `path`: `equals` (as JSON text would compare), or anything but null."""

    path: str
    equals: str | int | bool | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """The cheapest request that only a working credential answers well."""

    url: Template
    method: str = "GET"
    headers: Mapping[str, Template] = field(default_factory=dict)
    # Sent as it is; with a content type among the headers.
    body: Template | None = None
    statuses: tuple[int, ...] = (200,)
    expect: tuple[Expectation, ...] = ()
    # Where the answer names the account: dotted path into the JSON body; None: it does not.
    account: str | None = None
    # Statuses that mean "this credential is no good"; all others are the provider's trouble.
    rejected: tuple[int, ...] = (401, 403)


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
    parameters: Mapping[str, Template] = field(default_factory=dict)
    headers: Mapping[str, Template] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refresh:
    """What is known of renewing: all of it the vendor's documented behaviour."""

    supported: bool = True
    # None: unknown, so whatever comes back is kept.
    rotates: bool | None = None
    url: Template | None = None
    client_authentication: str | None = None
    parameters: Mapping[str, Template] = field(default_factory=dict)
    # For how long the provider still takes the token before the last one.
    reuse_window: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """A request after the grant that finds the account's host or id in one entry of a list: the one whose `choose_by` a field names."""

    url: Template
    # Dotted path to the list; empty: the body is the list.
    entries: str = ""
    # Site field that says which entry is meant where several come back, and the member of the entry that it equals.
    choose_field: str | None = None
    choose_by: str | None = None
    # Value name → dotted path in the entry; each declared as a field that is not asked for.
    capture: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OAuth2:
    """The OAuth 2.0 side of an authentication option, as the file says it: templates not filled in."""

    token_url: Template
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
    token_headers: Mapping[str, str] = field(default_factory=dict)
    # Overrides of TokenPaths, by name.
    token_paths: Mapping[str, str] = field(default_factory=dict)
    accepts_form_answer: bool = False
    token_types: tuple[str, ...] = ("bearer",)
    default_lifetime: timedelta | None = None
    refresh_lifetime: timedelta | None = None
    refresh: Refresh = Refresh()
    revocation: Revocation | None = None
    # What to keep of the callback's query and of the token answer: value name → parameter, or dotted path.
    # A kept value is checked against the pattern of the site field of its name, so an undeclared name is a mistake of the file.
    callback_capture: Mapping[str, str] = field(default_factory=dict)
    token_capture: Mapping[str, str] = field(default_factory=dict)
    discovery: Discovery | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One way to authenticate. Consent with the operator's app and with an app of one's own are the same option."""

    type: AuthenticationType
    label: str
    fields: tuple[Field, ...] = ()
    scopes: tuple[Scope, ...] = ()
    oauth2: OAuth2 | None = None
    placements: tuple[Placement, ...] = ()
    basic: Basic | None = None
    base_url: Template | None = None
    verification: Verification | None = None
    # Whether a person may bring an app of their own; only for OAUTH2_AUTHORIZATION_CODE.
    bring_your_own_app: bool = True
    # How long until a static credential is proven again.
    verify_every: timedelta = VERIFY_EVERY
    # Whether the operator's registered app may be used; only for OAUTH2_AUTHORIZATION_CODE. Never where a person may
    # choose the host of the token endpoint, because that host is sent the app's secret.
    operator_app: bool = True
    # TOKEN_EXCHANGE: there is no `verification`, since no request is one that every good credential may make.
    proof: Proof = Proof.REQUEST

    @property
    def types(self) -> tuple[AuthenticationType, ...]:
        """The authentication types that this option is offered under."""
        if self.type is not AuthenticationType.OAUTH2_AUTHORIZATION_CODE:
            return (self.type,)
        own_app = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
        return ((self.type,) if self.operator_app else ()) + ((own_app,) if self.bring_your_own_app else ())

    @property
    def mandatory_scopes(self) -> tuple[str, ...]:
        return tuple(scope.name for scope in self.scopes if scope.mandatory)

    @property
    def default_scopes(self) -> tuple[str, ...]:
        return tuple(scope.name for scope in self.scopes if scope.mandatory or scope.default)


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A fact of a connector file that nobody has seen confirmed yet: where it stands in the file, and what is not known."""

    key: str
    what: str


@dataclass(frozen=True, slots=True)
class Connector:
    """One service: its identity, and every way to authenticate with it, the best first."""

    key: str
    name: str
    category: str
    base_url: Template
    options: tuple[Option, ...]
    vendor: str | None = None
    stage: ConnectorStage = ConnectorStage.GENERALLY_AVAILABLE
    documentation_url: str | None = None
    # Site fields: asked for with every option (a subdomain, a region).
    fields: tuple[Field, ...] = ()
    # Sent with every call to the provider's API.
    headers: Mapping[str, Template] = field(default_factory=dict)
    # Values that the installation gives, such as `sandbox_url` for the sandbox.
    constants: Mapping[str, str] = field(default_factory=dict)
    unconfirmed: tuple[Unconfirmed, ...] = ()

    def find_option(self, type: AuthenticationType) -> Option | None:
        """The option for a type; one's own app is found under the option for consent, where it is allowed."""
        return next((option for option in self.options if type in option.types), None)

    def fields_for(self, option: Option) -> tuple[Field, ...]:
        return self.fields + option.fields

    def verification_for(self, option: Option) -> Verification | None:
        return option.verification

    def base_url_for(self, option: Option) -> Template:
        return option.base_url or self.base_url
