"""Drafts of documents, as tests make them."""

import json
from typing import Any

from api.catalog.defining import define
from api.catalog.definition import ConnectorDefinition
from api.catalog.descriptions.description import Discovered, Draft, FindingKind, Hints
from api.catalog.descriptions.drafting import draft_of
from api.catalog.descriptions.reading import read_description
from api.outbound.egress import EgressGuard

GUARD = EgressGuard()


def draft(document: Any, *, discovered: dict[str, Discovered] | None = None, **hints: str) -> Draft:
    """The draft of a document that is given as a text or as a value."""
    text = document if isinstance(document, str) else json.dumps(document)
    return draft_of(read_description(text), Hints(**hints), GUARD, discovered)


def decided(document: Any, **hints: str) -> ConnectorDefinition:
    """The definition of a document that leaves nothing undecided, and that can be made a connector as it is."""
    made = draft(document, discovered=None, **hints)
    assert made.undecided == ()
    return define(made.definition, GUARD).definition


def asked(made: Draft) -> list[str]:
    """The fields that are undecided."""
    return [each.field for each in made.undecided]


def ignored(made: Draft) -> list[str]:
    """What was found and not taken: where."""
    return [each.where for each in made.found if each.kind is FindingKind.IGNORED]


def openapi(**more: Any) -> dict[str, Any]:
    """An OpenAPI document of a service with an API key, which is decided."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Acme"},
        "servers": [{"url": "https://api.acme.example/v1"}],
        "security": [{"key": []}],
        "paths": {"/me": {"get": {"responses": {"200": {"description": "Who asks"}}}}},
        "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
        **more,
    }


def with_schemes(**schemes: Any) -> dict[str, Any]:
    """As `openapi`, with these schemes, any of which is enough."""
    return openapi(components={"securitySchemes": schemes}, security=[{name: []} for name in schemes])
