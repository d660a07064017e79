"""What a description says, whatever its format, and the draft that becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from api.catalog.definition import ConnectorDefinition
from api.catalog.using import PlacementLocation
from models import AuthenticationType


class FindingKind(StrEnum):
    # It is in the draft.
    FOUND = "FOUND"
    # It is in the description, and not in the draft.
    IGNORED = "IGNORED"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found where, and what became of it."""

    kind: FindingKind
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Undecided:
    """What the description does not say clearly: `field` is where the answer goes in the definition."""

    field: str
    question: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A definition to be looked over. Where nothing is undecided, it can be made a connector as it is."""

    definition: ConnectorDefinition
    undecided: tuple[Undecided, ...] = ()
    found: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Hints:
    """What somebody says beside the description. `url` is where it was got from: relative addresses count from there."""

    key: str | None = None
    name: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """What may stand for a `{name}` in an address."""

    default: str | None = None
    choices: tuple[str, ...] = ()
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    where: str
    variables: Mapping[str, Variable] = field(default_factory=dict)


class SchemeKind(StrEnum):
    API_KEY = "API key"
    BASIC = "HTTP Basic"
    BEARER = "bearer token"
    OAUTH2 = "OAuth 2.0"
    OPENID_CONNECT = "OpenID Connect"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Flow:
    """One grant of an OAuth 2.0 scheme. `grant` is a type with consent for the authorization code."""

    grant: AuthenticationType
    token_url: str
    authorize_url: str | None = None
    scopes: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to authenticate, as the description has it."""

    name: str
    kind: SchemeKind
    where: str
    description: str = ""
    # Of an API key: where it goes, and in which form where that is known.
    location: PlacementLocation = PlacementLocation.HEADER
    parameter: str = ""
    format: str | None = None
    flows: tuple[Flow, ...] = ()
    # Of OpenID Connect: where the provider describes itself.
    discovery_url: str | None = None
    # Why it is not taken.
    problem: str | None = None
    uses: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """A GET that needs nothing but a credential, if that. `schemes` are those of which one lets it through."""

    path: str
    schemes: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    is_open: bool = False
    # Where its answer names the account.
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """`together`: schemes of which most requests need several at once."""

    format: str
    title: str
    vendor: str | None = None
    documentation_url: str | None = None
    servers: tuple[Server, ...] = ()
    schemes: tuple[Scheme, ...] = ()
    operations: tuple[Operation, ...] = ()
    together: tuple[frozenset[str], ...] = ()
    found: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Discovered:
    """What an OpenID provider tells of itself."""

    issuer: str
    authorize_url: str
    token_url: str
    revoke_url: str | None = None
    scopes: tuple[str, ...] = ()
    posts_client_secret: bool = False
