"""Connectors of one's own, as clients make and change them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.catalog.catalog import read_file
from tests.connections.own import Bench, bench_on
from tests.graphql.asking import Graph
from tests.graphql.test_definitions import EVERYTHING

pytestmark = pytest.mark.anyio

CONNECTOR = f"key version origin installed definition {{ {EVERYTHING} }} authenticationOptions {{ type available }}"
ERRORS = "... on Error { message remedy } ... on InvalidInputError { fields { field message } }"
CREATE = f"""
mutation ($input: ConnectorDefinitionInput!) {{
  createConnector(input: $input) {{ __typename ... on ConnectorSuccess {{ connector {{ {CONNECTOR} }} }} {ERRORS} }}
}}
"""
UPDATE = f"""
mutation ($input: ConnectorDefinitionInput!) {{
  updateConnector(input: $input) {{ __typename ... on ConnectorSuccess {{ connector {{ {CONNECTOR} }} }} {ERRORS} }}
}}
"""
PREVIEW = f"""
query ($input: ConnectorDefinitionInput!, $first: Int, $after: String) {{
  previewConnectorUpdate(input: $input) {{
    __typename
    ... on PreviewConnectorUpdateSuccess {{
      version changes {{ field before after }} migratingCount reconnectingCount stayingCount oauthAppsToGiveAgainCount
      connections(first: $first, after: $after) {{
        nodes {{ connection {{ name connectorVersion }} effect reason }} totalCount pageInfo {{ endCursor hasNextPage }}
      }}
    }}
    {ERRORS}
  }}
}}
"""
MIGRATE = f"""
mutation ($input: MigrateConnectionsInput!) {{
  migrateConnections(input: $input) {{
    __typename
    ... on MigrateConnectionsSuccess {{
      migratedCount reconnectingCount stayingCount connections {{ connection {{ name connectorVersion }} effect reason }}
    }}
    {ERRORS}
  }}
}}
"""
DELETE = """
mutation ($key: String!, $plan: DeleteConnectorPlan) {
  deleteConnector(key: $key, plan: $plan) {
    __typename
    ... on DeleteConnectorSuccess { connectorKey deletedConnectionCount revokedConnectionCount }
    ... on Error { message remedy }
  }
}
"""
EXPORT = "query ($key: String!) { exportConnector(key: $key) { fileName toml } connector(key: $key) { version definition { key } } }"
PERMIT = f"""
mutation ($input: SetOrganizationPermissionsInput!) {{
  setOrganizationPermissions(input: $input) {{
    __typename ... on UserSuccess {{ user {{ organizationPermissions }} }} {ERRORS}
  }}
}}
"""


@pytest.fixture
async def bench(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_on(sqlite_url, tmp_path) as bench:
        yield bench


@pytest.fixture
def graph(bench: Bench) -> Graph:
    return Graph(bench.here, bench.ada)


def plain(bench: Bench, **changes: Any) -> dict[str, Any]:
    return {
        "key": "acme",
        "name": "Acme",
        "baseUrl": f"{bench.acme.url}/v1",
        "verify": {"path": "/me"},
        "personalAccessToken": {},
        **changes,
    }


async def test_a_connector_is_made_and_read_back_as_it_was_given(graph: Graph, bench: Bench) -> None:
    created = (await graph.ask(CREATE, input=plain(bench)))["createConnector"]["connector"]
    again = (await graph.ask(UPDATE, input=created["definition"]))["updateConnector"]["connector"]

    assert (created["key"], created["version"], created["origin"], created["installed"]) == ("acme", 1, "CUSTOM", True)
    assert created["authenticationOptions"] == [{"type": "PERSONAL_ACCESS_TOKEN", "available": True}]
    assert again == created


async def test_every_mistake_is_told_by_its_field(graph: Graph, bench: Bench) -> None:
    wrong = plain(bench, key="A", documentationUrl="x", apiKey={"format": "none"}, fields=[{"name": "x", "label": "X", "pattern": "(a+)+"}])

    first = (await graph.ask(CREATE, input=wrong))["createConnector"]
    second = (await graph.ask(CREATE, input=wrong | {"fields": []}))["createConnector"]

    assert (first["__typename"], [field["field"] for field in first["fields"]]) == ("InvalidInputError", ["fields.x.pattern"])
    assert [field["field"] for field in second["fields"]] == ["key", "apiKey.format", "documentationUrl"]


async def test_an_update_is_previewed_page_by_page_then_made_and_followed(graph: Graph, bench: Bench) -> None:
    await graph.ask(CREATE, input=plain(bench))
    await bench.connect(name="One")
    await bench.connect(name="Two")
    later = plain(bench, personalAccessToken={"name": "X-Token", "format": "{token}"})

    first = (await graph.ask(PREVIEW, input=later, first=1))["previewConnectorUpdate"]
    cursor = first["connections"]["pageInfo"]["endCursor"]
    second = (await graph.ask(PREVIEW, input=later, first=1, after=cursor))["previewConnectorUpdate"]
    await graph.ask(UPDATE, input=later)
    moved = (await graph.ask(MIGRATE, input={"connectorKey": "acme"}))["migrateConnections"]

    assert first["changes"] == [
        {"field": "personalAccessToken.name", "before": "Authorization", "after": "X-Token"},
        {"field": "personalAccessToken.format", "before": "Bearer {token}", "after": "{token}"},
    ]
    assert (first["version"], first["migratingCount"], first["reconnectingCount"], first["stayingCount"]) == (1, 2, 0, 0)
    assert first["connections"]["nodes"] == [{"connection": {"name": "One", "connectorVersion": 1}, "effect": "MIGRATES", "reason": None}]
    assert first["connections"]["pageInfo"]["hasNextPage"]
    assert [node["connection"]["name"] for node in second["connections"]["nodes"]] == ["Two"]
    assert (second["connections"]["totalCount"], second["connections"]["pageInfo"]["hasNextPage"]) == (2, False)
    assert moved["migratedCount"] == 2
    assert [node["connection"]["connectorVersion"] for node in moved["connections"]] == [2, 2]


async def test_a_connector_in_use_is_deleted_only_with_a_plan(graph: Graph, bench: Bench) -> None:
    await graph.ask(CREATE, input=plain(bench))
    await bench.connect()

    refused = (await graph.ask(DELETE, key="acme"))["deleteConnector"]
    deleted = (await graph.ask(DELETE, key="acme", plan={"connections": "DELETE"}))["deleteConnector"]

    assert (refused["__typename"], refused["message"]) == ("ConflictError", "1 connection uses Acme.")
    assert deleted == {
        "__typename": "DeleteConnectorSuccess",
        "connectorKey": "acme",
        "deletedConnectionCount": 1,
        "revokedConnectionCount": 0,
    }
    assert (await graph.ask(EXPORT, key="acme")) == {"exportConnector": None, "connector": None}


async def test_the_exported_file_is_a_connector_file(graph: Graph, bench: Bench, tmp_path: Path) -> None:
    await graph.ask(CREATE, input=plain(bench))

    exported = (await graph.ask(EXPORT, key="acme"))["exportConnector"]
    file = tmp_path / exported["fileName"]
    file.write_text(exported["toml"], encoding="utf-8")

    reading = read_file(file)
    assert (file.name, reading.mistakes) == ("acme.toml", ())
    assert reading.connector is not None
    assert [option.key for option in reading.connector.options] == ["personal_access_token"]


async def test_definitions_are_for_those_who_manage_connectors(graph: Graph, bench: Bench) -> None:
    await graph.ask(CREATE, input=plain(bench))
    eve = await bench.here.add_person("Eve")
    seen_by_eve = graph.seen_by(eve)

    before = await seen_by_eve.ask(EXPORT, key="acme")
    permitted = (await graph.ask(PERMIT, input={"userId": str(eve.user_id), "permissions": ["MANAGE_CONNECTORS"]}))[
        "setOrganizationPermissions"
    ]
    after = await seen_by_eve.ask(EXPORT, key="acme")
    taken = (await graph.ask(PERMIT, input={"userId": str(eve.user_id), "permissions": []}))["setOrganizationPermissions"]

    assert before == {"exportConnector": None, "connector": {"version": 1, "definition": None}}
    assert permitted["user"]["organizationPermissions"] == ["MANAGE_CONNECTORS"]
    assert (after["exportConnector"]["fileName"], after["connector"]["definition"]) == ("acme.toml", {"key": "acme"})
    assert taken["user"]["organizationPermissions"] == []
    assert await seen_by_eve.ask(EXPORT, key="acme") == before


async def test_who_has_not_the_permission_is_told_which(graph: Graph, bench: Bench) -> None:
    eve = graph.seen_by(await bench.here.add_person("Eve"))

    refused = (await eve.ask(CREATE, input=plain(bench)))["createConnector"]
    himself = (await eve.ask(PERMIT, input={"userId": str(eve.viewer.user_id), "permissions": ["MANAGE_CONNECTORS"]}))[
        "setOrganizationPermissions"
    ]

    assert (refused["__typename"], refused["message"]) == ("PermissionDeniedError", "This needs MANAGE_CONNECTORS.")
    assert himself["__typename"] == "PermissionDeniedError"
    assert (await graph.ask(EXPORT, key="acme"))["connector"] is None


async def test_what_others_may_is_seen_by_administrators_alone(graph: Graph, bench: Bench) -> None:
    eve = await bench.here.add_person("Eve")
    document = "query ($id: ID!) { viewer { organizationPermissions } user(id: $id) { organizationPermissions } }"

    by_ada = await graph.ask(document, id=str(eve.user_id))

    assert by_ada == {"viewer": {"organizationPermissions": ["MANAGE_CONNECTORS"]}, "user": {"organizationPermissions": []}}


async def test_more_connections_than_may_be_named_are_refused(graph: Graph, bench: Bench) -> None:
    await graph.ask(CREATE, input=plain(bench))

    refused = (await graph.ask(MIGRATE, input={"connectorKey": "acme", "connectionIds": ["x"] * 1001}))["migrateConnections"]

    assert refused["fields"] == [{"field": "connectionIds", "message": "must not be more than 1000"}]
