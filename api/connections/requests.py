"""What a client asks for when it connects, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from api.secret import Secret
from models import AuthenticationType


@dataclass(frozen=True, slots=True)
class OwnApp:
    """An OAuth app that a person brings: registered with the vendor by themselves."""

    client_id: str
    client_secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    folder_id: UUID
    connector_key: str
    authentication_type: AuthenticationType
    # Which option of that type, where the connector has several; None: the first.
    option: str | None = None
    name: str | None = None
    # Every value may be secret until the connector says otherwise.
    fields: Mapping[str, Secret] = field(default_factory=dict)
    own_app: OwnApp | None = None
    oauth_app_id: UUID | None = None
    # None: the connector's default scopes.
    scopes: tuple[str, ...] | None = None
    return_url: str | None = None
    idempotency_key: str | None = None
    # The version of the connector whose form was filled in; None: whichever is the newest.
    connector_version: int | None = None


@dataclass(frozen=True, slots=True)
class ReconnectRequest:
    connection_id: UUID
    fields: Mapping[str, Secret] = field(default_factory=dict)
    own_app: OwnApp | None = None
    scopes: tuple[str, ...] | None = None
    return_url: str | None = None
    allow_account_change: bool = False
    # As of `ConnectRequest`.
    connector_version: int | None = None
