"""A definition as JSON and back: how it is kept beside what it became."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from api.catalog.definition import (
    ClientAuthentication,
    ConnectorDefinition,
    FieldDefinition,
    OAuth2Definition,
    PlacementDefinition,
    ScopeDefinition,
    VerifyDefinition,
)
from api.catalog.using import PlacementLocation
from models import AuthenticationType


def definition_to_json(definition: ConnectorDefinition) -> dict[str, Any]:
    """With lists in it and no tuples, so that it equals what a database gives back."""
    plain: dict[str, Any] = _plain(asdict(definition))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list | tuple) else value


def definition_from_json(kept: Mapping[str, Any]) -> ConnectorDefinition:
    """The definition that was kept. Fields that came later have their defaults."""
    return ConnectorDefinition(
        **{
            **kept,
            "fields": tuple(FieldDefinition(**field) for field in kept["fields"]),
            "verify": None if kept["verify"] is None else VerifyDefinition(**kept["verify"]),
            "oauth2": None if kept["oauth2"] is None else _oauth2(kept["oauth2"]),
            "personal_access_token": _placement(kept["personal_access_token"]),
            "api_key": _placement(kept["api_key"]),
        }
    )


def _oauth2(kept: Mapping[str, Any]) -> OAuth2Definition:
    return OAuth2Definition(
        **{
            **kept,
            "grants": tuple(AuthenticationType(grant) for grant in kept["grants"]),
            "client_authentication": ClientAuthentication(kept["client_authentication"]),
            "scopes": tuple(ScopeDefinition(**scope) for scope in kept["scopes"]),
        }
    )


def _placement(kept: Mapping[str, Any] | None) -> PlacementDefinition | None:
    return None if kept is None else PlacementDefinition(**{**kept, "location": PlacementLocation(kept["location"])})
