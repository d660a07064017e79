"""Descriptions of public APIs, as packages that others publish ship them: what comes of each."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from api.catalog.defining import define
from api.catalog.definition import ConnectorDefinition
from api.catalog.descriptions.description import Draft, Hints
from api.catalog.descriptions.drafting import draft_of
from api.catalog.descriptions.reading import read_description
from api.errors import InvalidInput
from api.outbound.egress import EgressGuard
from tests.acceptance.processes import HERE

PACKAGES = HERE / "node_modules"
EXAMPLES = "@readme/oas-examples"


@dataclass(frozen=True)
class Expected:
    """`offers`: the ways to authenticate, with where a key goes. `undecided`: what is asked. `makes`: createConnector takes it as it is."""

    file: str
    format: str
    key: str
    base_url: str
    offers: tuple[str, ...]
    verify: str | None
    account: str | None = None
    scopes: int = 0
    vendor: str | None = None
    undecided: tuple[str, ...] = ()
    makes: bool = True


DESCRIPTIONS = [
    Expected(
        "@figma/rest-api-spec/openapi/openapi.yaml",
        "OpenAPI 3.1.0",
        "figma-api",
        "https://api.figma.com",
        ("oauth2: AUTHORIZATION_CODE, BRING_YOUR_OWN_APP at https://api.figma.com/v1/oauth/token", "key: X-Figma-Token"),
        "/v1/me",
        account="email",
        scopes=21,
    ),
    Expected(
        "@blockfrost/openapi/openapi.yaml",
        "OpenAPI 3.0.3",
        "blockfrost-io-api-documentation",
        "https://cardano-mainnet.blockfrost.io/api/v0",
        ("key: project_id",),
        "/pools",
        vendor="Blockfrost",
        undecided=("baseUrl", "verify.path"),
    ),
    Expected(
        "shipengine-openapi/openapi.yaml",
        "OpenAPI 3.0.0",
        "shipengine-api",
        "https://api.shipengine.com",
        ("key: API-Key",),
        "/v1/insurance/shipsurance/balance",
        vendor="ShipEngine",
    ),
    # The same, dereferenced: 8.6 MB of JSON.
    Expected(
        "shipengine-openapi/openapi.json",
        "OpenAPI 3.0.0",
        "shipengine-api",
        "https://api.shipengine.com",
        ("key: API-Key",),
        "/v1/insurance/shipsurance/balance",
        vendor="ShipEngine",
    ),
    Expected(
        "@digdir/dialogporten-schema/swagger.verified.json",
        "OpenAPI 3.0.0",
        "dialogporten",
        "https://altinn-dev-api.azure-api.net/dialogporten",
        ("token",),
        "/api/v1/enduser/dialogs",
        undecided=("verify.path",),
    ),
    # It runs on one's own machine, and says nothing of how it is protected.
    Expected(
        "rclone-openapi/openapi.json",
        "OpenAPI 3.1.0",
        "rclone-rc-api",
        "https://localhost:5572",
        (),
        None,
        undecided=("baseUrl", "oauth2", "verify.path"),
        makes=False,
    ),
    Expected(
        f"{EXAMPLES}/3.1/json/readme.json",
        "OpenAPI 3.1.0",
        "readme-api",
        "https://api.readme.com/v2",
        ("token",),
        "/projects/me",
        account="data.name",
    ),
    Expected(
        f"{EXAMPLES}/3.0/json/readme-legacy.json",
        "OpenAPI 3.0.2",
        "legacy-api",
        "https://dash.readme.com/api/v1",
        ("basic",),
        "/categories",
        undecided=("verify.path",),
    ),
    Expected(
        f"{EXAMPLES}/3.1/yaml/train-travel.yaml",
        "OpenAPI 3.1.0",
        "train-travel-api",
        "https://api.example.com",
        ("oauth2: AUTHORIZATION_CODE, BRING_YOUR_OWN_APP at https://example.com/oauth/token",),
        "/stations",
        scopes=2,
        vendor="Train",
        undecided=("verify.path",),
    ),
    # Public data, for which nobody signs in.
    Expected(
        f"{EXAMPLES}/3.0/json/star-trek.json",
        "OpenAPI 3.0.1",
        "stapi",
        "https://stapi.co/api/v1/rest",
        (),
        None,
        undecided=("baseUrl", "oauth2", "verify.path"),
        makes=False,
    ),
    Expected(
        f"{EXAMPLES}/3.0/json/uspto.json",
        "OpenAPI 3.0.1",
        "uspto-data-set-api",
        "https://developer.uspto.gov/ds-api",
        (),
        None,
        vendor="Open Data Portal",
        undecided=("oauth2", "verify.path"),
        makes=False,
    ),
    Expected(
        f"{EXAMPLES}/2.0/yaml/petstore.yaml",
        "Swagger 2.0",
        "swagger-petstore",
        "https://petstore.swagger.io/v2",
        ("key: api_key",),
        "/store/inventory",
        undecided=("baseUrl", "verify.path"),
    ),
]  # fmt: skip


def drafted(file: str) -> Draft:
    return draft_of(read_description((PACKAGES / file).read_text(encoding="utf-8")), Hints(), EgressGuard())


def offers_of(definition: ConnectorDefinition) -> tuple[str, ...]:
    oauth2, key = definition.oauth2, definition.api_key
    grants = "" if oauth2 is None else ", ".join(grant.removeprefix("OAUTH2_") for grant in oauth2.grants)
    offers = {
        f"oauth2: {grants} at {oauth2.token_url if oauth2 else ''}": oauth2 is not None,
        "token": definition.personal_access_token is not None,
        f"key: {key.name if key else ''}": key is not None,
        "basic": definition.basic,
    }
    return tuple(name for name, is_offered in offers.items() if is_offered)


def is_made(definition: ConnectorDefinition) -> bool:
    try:
        define(definition, EgressGuard())
    except InvalidInput:
        return False
    return True


@pytest.mark.parametrize("expected", DESCRIPTIONS, ids=lambda expected: expected.file)
def test_a_public_description_becomes_a_draft(expected: Expected) -> None:
    draft = drafted(expected.file)
    definition = draft.definition

    assert draft.found[0].message.startswith(f"{expected.format}: ")
    assert (definition.key, definition.base_url, definition.vendor) == (expected.key, expected.base_url, expected.vendor)
    assert offers_of(definition) == expected.offers
    assert len(definition.oauth2.scopes if definition.oauth2 else ()) == expected.scopes
    verify = definition.verify
    assert (verify and verify.path, verify and verify.account) == (expected.verify, expected.account)
    assert tuple(each.field for each in draft.undecided) == expected.undecided
    assert is_made(definition) is expected.makes


@pytest.mark.parametrize("file", sorted((PACKAGES / EXAMPLES).glob("*/*/*.*")), ids=lambda file: "/".join(file.parts[-3:]))
def test_every_example_of_the_specification_is_read(file: Path) -> None:
    draft = drafted(str(file.relative_to(PACKAGES)))

    # What is decided can be made.
    assert draft.undecided or is_made(draft.definition)
