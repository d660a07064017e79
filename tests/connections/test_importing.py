"""Drafting a connector from a description that somebody gives: through the graph, and with OpenID providers that are really asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import models
from api.catalog.descriptions.description import Draft, Hints
from api.connections.importing import ImportRequest
from api.connections.trial import Trial
from api.errors import Conflict, InvalidInput, PermissionDenied
from models import AuditOutcome, OrganizationPermission
from tests.catalog.descriptions.drafts import openapi, with_schemes
from tests.clock import HeldClock
from tests.connections.described import Vendor, vending
from tests.graphql.asking import Graph
from tests.installation import Installation, installed
from tests.outward import outward

__all__ = ["outward"]

pytestmark = pytest.mark.anyio

IMPORT = """
mutation Import($input: ImportConnectorInput!) {
  importConnector(input: $input) {
    __typename
    ... on ImportConnectorSuccess {
      draft {
        definition { key name baseUrl verify { path method account } apiKey { in name format } oauth2 { tokenUrl } }
        undecided { field question candidates }
        findings { kind where message }
      }
    }
    ... on InvalidInputError { fields { field message } }
    ... on Error { message }
  }
}
"""


@pytest.fixture
async def vendor(tmp_path: Path) -> AsyncIterator[Vendor]:
    async with vending(tmp_path) as vendor:
        yield vendor


@pytest.fixture
async def here(vendor: Vendor, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    async with installed(sqlite_url, tmp_path, HeldClock(), **vendor.settings) as installation:
        yield installation


async def drafted(here: Installation, document: Any, **hints: str) -> Draft:
    text = document if isinstance(document, str) else json.dumps(document)
    return await here.patchbay.importing.draft(here.ada, ImportRequest(text, Hints(**hints)))


def with_openid(url: str) -> dict[str, Any]:
    return with_schemes(openid={"type": "openIdConnect", "openIdConnectUrl": url})


async def test_the_graph_answers_with_the_draft_and_what_was_found(here: Installation, vendor: Vendor) -> None:
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}, "odd": {"type": "mutualTLS"}}
    document = openapi(components={"securitySchemes": schemes}, paths={"/things": {"get": {}}, "/orders": {"get": {}}})

    data = await Graph(here, here.ada).ask(IMPORT, input={"document": json.dumps(document), "key": "acme-eu"})

    question = "No request in it is about whoever asks, so the shortest one that needs a credential was taken. Does it need one?"
    assert data["importConnector"] == {
        "__typename": "ImportConnectorSuccess",
        "draft": {
            "definition": {
                "key": "acme-eu",
                "name": "Acme",
                "baseUrl": "https://api.acme.example/v1",
                "verify": {"path": "/things", "method": "GET", "account": None},
                "apiKey": {"in": "HEADER", "name": "X-Key", "format": "{token}"},
                "oauth2": None,
            },
            "undecided": [{"field": "verify.path", "question": question, "candidates": ["/orders"]}],
            "findings": [
                {"kind": "FOUND", "where": "", "message": "OpenAPI 3.1.0: Acme"},
                {"kind": "FOUND", "where": "servers.0", "message": "The base URL: https://api.acme.example/v1"},
                {"kind": "FOUND", "where": "components.securitySchemes.key", "message": "An API key in the header: X-Key."},
                {
                    "kind": "IGNORED",
                    "where": "components.securitySchemes.odd",
                    "message": "Certificates of clients are not supported.",
                },
                {"kind": "FOUND", "where": "paths./things", "message": "The request that shows that a credential works."},
            ],
        },
    }


async def test_a_document_that_is_refused_names_its_field(here: Installation, vendor: Vendor) -> None:
    data = await Graph(here, here.ada).ask(IMPORT, input={"document": "a: &a [*a]"})

    assert data["importConnector"]["__typename"] == "InvalidInputError"
    assert data["importConnector"]["fields"] == [{"field": "document", "message": "has an alias of YAML that names nothing, or itself"}]


async def test_an_openid_provider_is_asked_for_its_addresses(here: Installation, vendor: Vendor) -> None:
    draft = await drafted(here, with_openid(vendor.discovery_url))

    assert draft.undecided == ()
    assert draft.definition.oauth2 is not None
    assert draft.definition.oauth2.issuer == vendor.origin
    assert draft.definition.oauth2.token_url == f"{vendor.origin}/token"
    assert vendor.asked == ["GET /.well-known/openid-configuration"]


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "https://another.example"}, {"token_endpoint": "http://169.254.169.254/"}, {"token_endpoint": None}, {"issuer": 5}],
)
async def test_an_openid_provider_that_is_not_right_is_asked_about(here: Installation, vendor: Vendor, metadata: dict[str, Any]) -> None:
    vendor.metadata = metadata

    draft = await drafted(here, with_openid(vendor.discovery_url))

    assert draft.definition.oauth2 is None
    assert [each.field for each in draft.undecided] == ["oauth2", "verify.path"]


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/.well-known/openid-configuration", "file:///etc/passwd", "https://10.0.0.1/x", "x"]
)
async def test_an_openid_provider_inside_is_never_asked(
    here: Installation, vendor: Vendor, url: str, outward: list[tuple[str, object]]
) -> None:
    outward.clear()

    draft = await drafted(here, with_openid(url))

    assert draft.definition.oauth2 is None
    assert outward == []


async def test_nothing_else_of_a_document_is_fetched(here: Installation, vendor: Vendor, outward: list[tuple[str, object]]) -> None:
    outward.clear()
    document = openapi(servers=[{"url": vendor.origin}], externalDocs={"url": f"{vendor.origin}/docs"})

    await drafted(here, document, url=f"{vendor.origin}/openapi.json")
    document["paths"]["/x"] = {"$ref": f"{vendor.origin}/paths.yaml"}
    with pytest.raises(InvalidInput):
        await drafted(here, document)

    assert outward == []
    assert vendor.asked == []


@pytest.mark.parametrize(
    ("hints", "field"),
    [
        ({"key": ""}, "key"),
        ({"key": "a" * 65}, "key"),
        ({"name": "a" * 121}, "name"),
        ({"name": "\u202e"}, "name"),
        ({"url": "file:///x"}, "url"),
        ({"url": "https://" + "a" * 2_000}, "url"),
    ],
)
async def test_what_is_said_beside_the_document_is_checked(here: Installation, vendor: Vendor, hints: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await drafted(here, openapi(), **hints)

    assert list(refused.value.fields) == [field]


async def test_who_may_not_manage_connectors_may_not_import(here: Installation, vendor: Vendor) -> None:
    ben = await here.add_person("Ben")

    with pytest.raises(PermissionDenied):
        await here.patchbay.importing.draft(ben, ImportRequest(json.dumps(with_openid(vendor.discovery_url)), Hints()))

    assert vendor.asked == []


async def test_who_may_manage_connectors_may_import_and_try(here: Installation, vendor: Vendor) -> None:
    ben = await here.add_person("Ben")
    await here.patchbay.organization_permissions.set(here.ada, ben.user_id, OrganizationPermission.MANAGE_CONNECTORS)

    draft = await here.patchbay.importing.draft(ben, ImportRequest(json.dumps(with_openid(vendor.discovery_url)), Hints()))
    report = await here.patchbay.trying.test(ben, Trial(draft.definition))

    assert {line.step.value: line.outcome.value for line in report.lines}["DISCOVERY"] == "OK"


async def test_so_many_documents_wait_to_be_read_and_no_more(here: Installation, vendor: Vendor) -> None:
    long = "openapi: 3.1.0\ninfo: {title: Acme}\nx: [" + "1, " * 300_000 + "1]"

    outcomes = await asyncio.gather(*(drafted(here, long) for _ in range(8)), return_exceptions=True)
    after = await drafted(here, openapi())

    assert {type(outcome) for outcome in outcomes} == {Draft, Conflict}
    assert after.undecided == ()


async def test_that_something_was_imported_is_told_and_nothing_of_it_kept(here: Installation, vendor: Vendor) -> None:
    await drafted(here, openapi())
    with pytest.raises(InvalidInput):
        await drafted(here, "")

    entries = await models.AuditEntry.filter(action="connector.import").order_by("id")
    assert [(entry.outcome, entry.subject_name, entry.detail) for entry in entries] == [
        (AuditOutcome.DONE, "Acme", "OpenAPI 3.1.0, undecided: 0"),
        (AuditOutcome.FAILED, None, "The input is not valid: document: is empty: give the text of an API description."),
    ]
