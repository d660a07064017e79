"""A connector of one's own, as somebody defines it: less than a connector file can say, and enough for most services.

Whatever is not set is not offered. Nothing here is checked yet: a definition becomes a connector by the same reading as a file, which
names every mistake.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from api.catalog.using import PlacementLocation
from models import AuthenticationType


class ClientAuthentication(StrEnum):
    """How a client proves itself at the token endpoint (RFC 6749 section 2.3.1)."""

    CLIENT_SECRET_BASIC = "CLIENT_SECRET_BASIC"
    CLIENT_SECRET_POST = "CLIENT_SECRET_POST"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """A value that everybody who connects is asked for; `{name}` stands for it in URLs and placements."""

    name: str
    label: str
    secret: bool = False
    required: bool = True
    pattern: str | None = None
    example: str | None = None
    help: str | None = None


@dataclass(frozen=True, slots=True)
class VerifyDefinition:
    """The request that shows that a credential works: a path below the base URL; `account` is a dotted path into its JSON answer."""

    path: str
    method: str = "GET"
    account: str | None = None


@dataclass(frozen=True, slots=True)
class ScopeDefinition:
    name: str
    mandatory: bool = False
    default: bool = False
    description: str | None = None


@dataclass(frozen=True, slots=True)
class PlacementDefinition:
    """Where a credential goes in a call; `format` is the value with `{token}` in it."""

    location: PlacementLocation = PlacementLocation.HEADER
    name: str = "Authorization"
    format: str = "Bearer {token}"


@dataclass(frozen=True, slots=True)
class OAuth2Definition:
    """One authorization server, and the grants that are offered of it."""

    grants: tuple[AuthenticationType, ...]
    token_url: str
    authorize_url: str | None = None
    revoke_url: str | None = None
    issuer: str | None = None
    client_authentication: ClientAuthentication = ClientAuthentication.CLIENT_SECRET_BASIC
    pkce: bool = True
    scope_separator: str = " "
    scopes: tuple[ScopeDefinition, ...] = ()
    authorize_parameters: Mapping[str, str] = field(default_factory=dict)
    token_parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConnectorDefinition:
    key: str
    name: str
    base_url: str
    vendor: str | None = None
    category: str = "custom"
    documentation_url: str | None = None
    fields: tuple[FieldDefinition, ...] = ()
    verify: VerifyDefinition | None = None
    oauth2: OAuth2Definition | None = None
    personal_access_token: PlacementDefinition | None = None
    api_key: PlacementDefinition | None = None
    basic: bool = False
