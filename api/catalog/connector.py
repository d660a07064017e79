"""What can be connected, and how: the frozen types that a connector file becomes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from api.catalog.grant import Discovery, Grant
from api.catalog.template import Template
from api.catalog.using import Basic, Login, Placement, Proof, Signature, Verification
from models import AuthenticationType

# How long until a static credential is proven again, where the connector says nothing else.
VERIFY_EVERY = timedelta(hours=6)


class ConnectorStage(StrEnum):
    GENERALLY_AVAILABLE = "GENERALLY_AVAILABLE"
    PREVIEW = "PREVIEW"
    LEGACY = "LEGACY"


class Case(StrEnum):
    LOWER = "lower"
    UPPER = "upper"


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a value follows from another one that was typed, step by step in the order of these members."""

    source: str
    # Dotted path, where the source is JSON.
    path: str | None = None
    # The value is the one group of this pattern, where the pattern matches all of the source.
    match: str | None = None
    # Of a private key in PEM: the SHA-256 of its public key (SubjectPublicKeyInfo, RFC 5280 section 4.1), in base64.
    fingerprint: bool = False
    # The field with the passphrase of that key.
    passphrase: str | None = None
    # Each text, and what stands in its place.
    replace: Mapping[str, str] = field(default_factory=dict)
    case: Case | None = None


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
    # False: never asked for; it is derived, or comes from the callback, the token answer or a discovery, and the pattern guards it.
    asked: bool = True
    derivation: Derivation | None = None
    # How many characters a value has at most, where that is fewer than usual.
    longest: int | None = None

    def problem(self, value: str) -> str | None:
        """What is wrong with a value, or None. Never repeats the value."""
        if self.options is not None and value not in self.options:
            return "must be one of " + ", ".join(self.options)
        # Before the pattern, which may take long on a long value.
        if self.longest is not None and len(value) > self.longest:
            return f"must not be longer than {self.longest} characters"
        if self.pattern is not None and not re.fullmatch(self.pattern, value, re.ASCII):
            return f"does not have the form of “{self.example}”" if self.example else f"must match {self.pattern}"
        return None


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope as the provider calls it; `name` may hold `{names}` of site fields."""

    name: str
    mandatory: bool = False
    default: bool = False
    description: str | None = None
    # The parameter of the authorization request that it is sent in; None: that of all others.
    parameter: str | None = None
    # Whether the token answer names it once it is granted.
    answered: bool = True
    # The names under which the token answer lists it, besides its own.
    answered_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One way to authenticate. Consent with the operator's app and with an app of one's own are the same option.

    `key` tells options of one type apart: it is the name of its table in the file.
    """

    key: str
    type: AuthenticationType
    label: str
    fields: tuple[Field, ...] = ()
    scopes: tuple[Scope, ...] = ()
    grant: Grant | None = None
    discovery: Discovery | None = None
    placements: tuple[Placement, ...] = ()
    basic: Basic | None = None
    signature: Signature | None = None
    login: Login | None = None
    # Sent with every call, besides those of the connector.
    headers: Mapping[str, Template] = field(default_factory=dict)
    base_url: Template | None = None
    # Tried in turn until the provider takes one: the first alone is the rule.
    verifications: tuple[Verification, ...] = ()
    # Names the account where no answer does.
    account: Template | None = None
    # On its way out at the vendor.
    legacy: bool = False
    # Whether a person may bring an app of their own; only for OAUTH2_AUTHORIZATION_CODE.
    bring_your_own_app: bool = True
    # How long until a static credential is proven again.
    verify_every: timedelta = VERIFY_EVERY
    # Whether the operator's registered app may be used; only for OAUTH2_AUTHORIZATION_CODE. Never where a person may
    # choose the host of the token endpoint, because that host is sent the app's secret.
    operator_app: bool = True
    # Unless it is REQUEST, there are no `verifications`.
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

    @property
    def repeatable(self) -> bool:
        """Whether a new token can be had from what was typed, without a person."""
        return self.grant is not None and not self.type.needs_consent

    @property
    def is_strict(self) -> bool:
        """Whether a refresh token is over once it is used, as far as is known: if the answer is lost, so is the grant."""
        if self.grant is None or self.repeatable:
            return False
        refresh = self.grant.refresh
        return refresh.supported and not refresh.swaps and refresh.rotates is not False and refresh.reuse_window is None


class Evidence(StrEnum):
    """What a connector rests on. Single facts that are unsure are named one by one besides."""

    VENDOR_DOCUMENTED = "vendor-documented"
    # Pieced together from other clients and descriptions: nobody should mistake it for a fact.
    UNCONFIRMED = "unconfirmed"


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
    evidence: Evidence = Evidence.VENDOR_DOCUMENTED
    unconfirmed: tuple[Unconfirmed, ...] = ()
    # Which version of a connector of one's own it is; None: it comes from a file.
    version: int | None = None

    def find_option(self, type: AuthenticationType, key: str | None = None) -> Option | None:
        """The option for a type, the first or the one with this key; one's own app is found under the option for consent."""
        return next((option for option in self.options if type in option.types and key in (None, option.key)), None)

    @property
    def app_endpoints(self) -> frozenset[str] | None:
        """Of a connector of one's own, what OAuth apps are used with: each URL with what may stand in it. None: a file says it."""
        if self.version is None:
            return None
        grants = [option.grant for option in self.options if option.type.needs_consent and option.grant is not None]
        urls = {url for grant in grants for url in (grant.authorize_url, grant.token_url, grant.refresh.url)}
        urls |= {grant.revocation.url for grant in grants if grant.revocation is not None}
        return frozenset(self._with_bounds(url) for url in urls if url is not None)

    def _with_bounds(self, url: Template) -> str:
        """A URL whose names are said together with what bounds their values: with another bound it is another URL."""
        fields = {field.name: field for option in self.options for field in self.fields_for(option)}
        bounds = [f"{name} = {fields[name].pattern or fields[name].options}" for name in sorted(url.names & fields.keys())]
        return " where ".join([url.text, *bounds])

    def fields_for(self, option: Option) -> tuple[Field, ...]:
        return self.fields + option.fields

    def base_url_for(self, option: Option) -> Template:
        return option.base_url or self.base_url
