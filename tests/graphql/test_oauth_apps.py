"""OAuth apps, as the graph has them."""

from datetime import timedelta
from typing import Any

import pytest

import models
from api.sandbox.sandbox import ClientSwitch
from tests.graphql.asking import Graph, counted_statements

pytestmark = pytest.mark.anyio

APPS = """
{
  oauthApps {
    totalCount
    nodes {
      name clientId scopes origin secretSetAt secretExpiresAt previousSecretRetained connectionCount connectionsOnPreviousSecret
      incident { code message remedy fixableBy providerError } incidentSince
      warnings { kind message remedy }
    }
  }
}
"""
ROTATE = """
mutation Rotate($input: RotateOAuthAppSecretInput!) {
  rotateOAuthAppSecret(input: $input) {
    __typename
    ... on OAuthAppSuccess { secretAccepted oauthApp { previousSecretRetained connectionsOnPreviousSecret secretExpiresAt } }
    ... on InvalidInputError { fields { field message } }
  }
}
"""
UPDATE = """
mutation Update($input: UpdateOAuthAppInput!) {
  updateOAuthApp(input: $input) {
    ... on OAuthAppSuccess { oauthApp { name clientId scopes secretSetAt secretExpiresAt incident { code } } }
  }
}
"""
CHECK = """
mutation Check($input: CheckOAuthAppInput!) {
  checkOAuthApp(input: $input) {
    __typename
    ... on CheckOAuthAppSuccess { findings { what verdict detail } }
    ... on InvalidInputError { fields { field } }
  }
}
"""


async def app_of(graph: Graph) -> dict[str, Any]:
    (app,) = (await graph.ask(APPS))["oauthApps"]["nodes"]
    assert isinstance(app, dict)
    return app


async def app_id() -> str:
    return str((await models.OAuthApp.get()).id)


async def test_a_secret_is_rotated_and_then_the_one_before_is_retired(graph: Graph) -> None:
    await graph.here.connect_by_consent()
    graph.here.clock.move(timedelta(seconds=1))
    graph.here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)
    given = {
        "oauthAppId": await app_id(),
        "clientSecret": graph.here.sandbox.client_secret.reveal(),
        "secretExpiresAt": "2026-02-01T00:00:00Z",
    }

    rotated = (await graph.ask(ROTATE, input=given))["rotateOAuthAppSecret"]
    retire = """
    mutation($id: ID!) {
      retireOAuthAppSecret(input: {oauthAppId: $id}) { ... on OAuthAppSuccess { oauthApp { previousSecretRetained } } }
    }
    """
    retired = (await graph.ask(retire, id=await app_id()))["retireOAuthAppSecret"]

    assert rotated == {
        "__typename": "OAuthAppSuccess",
        "secretAccepted": "YES",
        "oauthApp": {
            "previousSecretRetained": True,
            "connectionsOnPreviousSecret": 1,
            "secretExpiresAt": "2026-02-01T00:00:00+00:00",
        },
    }
    assert retired["oauthApp"] == {"previousSecretRetained": False}
    assert [warning["kind"] for warning in (await app_of(graph))["warnings"]] == ["SECRET_EXPIRES"]


async def test_a_wrong_secret_is_a_mistake_of_the_input(graph: Graph) -> None:
    before = await app_of(graph)

    refused = (await graph.ask(ROTATE, input={"oauthAppId": await app_id(), "clientSecret": "wrong"}))["rotateOAuthAppSecret"]

    assert refused["__typename"] == "InvalidInputError"
    assert [field["field"] for field in refused["fields"]] == ["clientSecret"]
    assert await app_of(graph) == before


async def test_an_incident_is_told_by_the_app_and_by_its_connections(graph: Graph) -> None:
    await graph.here.connect_by_consent()
    graph.here.sandbox.throw_for_client(ClientSwitch.DISABLE)
    await graph.here.tick(after=timedelta(seconds=55))

    app = await app_of(graph)
    connections = "{ connections { nodes { status statusReason { code message remedy fixableBy providerError } } } }"
    (connection,) = (await graph.ask(connections))["connections"]["nodes"]

    assert app["incident"]["code"] == "INVALID_CLIENT"
    assert app["incident"]["fixableBy"] == "APP_OWNER"
    assert app["incidentSince"] == "2026-01-05T12:00:55+00:00"
    assert connection == {"status": "CONNECTED", "statusReason": app["incident"]}


async def test_what_is_left_out_of_an_update_stays_and_null_takes_the_expiry_away(graph: Graph) -> None:
    id = await app_id()
    await graph.ask(UPDATE, input={"oauthAppId": id, "secretExpiresAt": "2027-01-01T00:00:00Z"})

    renamed = (await graph.ask(UPDATE, input={"oauthAppId": id, "name": "Ours"}))["updateOAuthApp"]["oauthApp"]
    endless = (await graph.ask(UPDATE, input={"oauthAppId": id, "secretExpiresAt": None}))["updateOAuthApp"]["oauthApp"]
    other = (await graph.ask(UPDATE, input={"oauthAppId": id, "clientId": "another", "scopes": []}))["updateOAuthApp"]["oauthApp"]

    assert (renamed["name"], renamed["secretExpiresAt"]) == ("Ours", "2027-01-01T00:00:00+00:00")
    assert (endless["name"], endless["secretExpiresAt"]) == ("Ours", None)
    assert endless["secretSetAt"] is not None
    assert other == {
        "name": "Ours",
        "clientId": "another",
        "scopes": [],
        "secretSetAt": None,
        "secretExpiresAt": None,
        "incident": {"code": "INVALID_CLIENT"},
    }


async def test_a_check_answers_every_question(graph: Graph) -> None:
    kept = (await graph.ask(CHECK, input={"oauthAppId": await app_id()}))["checkOAuthApp"]
    new = (await graph.ask(CHECK, input={"connectorKey": "sandbox", "clientId": "x", "clientSecret": "y"}))["checkOAuthApp"]
    nothing = (await graph.ask(CHECK, input={"connectorKey": "sandbox"}))["checkOAuthApp"]

    assert {finding["what"]: finding["verdict"] for finding in kept["findings"]} == {
        "CLIENT_KNOWN": "YES",
        "SECRET_ACCEPTED": "YES",
        "REDIRECT_URI_REGISTERED": "UNKNOWN",
        "PKCE_ACCEPTED": "YES",
        "MANDATORY_SCOPES_REGISTERED": "UNKNOWN",
    }
    assert [finding["verdict"] for finding in new["findings"][:2]] == ["UNKNOWN", "NO"]
    assert nothing == {"__typename": "InvalidInputError", "fields": [{"field": "clientId"}]}


async def test_an_app_is_deleted_once_nothing_uses_it(graph: Graph) -> None:
    delete = """
    mutation($id: ID!) { deleteOAuthApp(id: $id) { __typename ... on DeleteOAuthAppSuccess { oauthAppId } ... on Error { message } } }
    """
    id, connection = await app_id(), await graph.here.connect_by_consent()

    used = (await graph.ask(delete, id=id))["deleteOAuthApp"]
    await graph.here.patchbay.connections.delete(graph.here.ada, connection.id)
    deleted = (await graph.ask(delete, id=id))["deleteOAuthApp"]

    assert used == {"__typename": "ConflictError", "message": "1 connection signs in with this app."}
    assert deleted == {"__typename": "DeleteOAuthAppSuccess", "oauthAppId": id}


async def test_a_list_of_apps_asks_the_database_as_often_however_long_it_is(graph_on_both: Graph) -> None:
    async def statements() -> int:
        with counted_statements() as counted:
            await graph_on_both.ask(APPS)
        return len(counted)

    # The loop's first tick is behind us then.
    await graph_on_both.here.tick()
    few = await statements()
    for number in range(5):
        await graph_on_both.here.patchbay.oauth_apps.add(
            connector_key="sandbox",
            name=f"App {number}",
            client_id="x",
            client_secret=graph_on_both.here.sandbox.client_secret,
            scopes=[],
            origin=models.OAuthAppOrigin.CONNECTION,
            folder_id=graph_on_both.here.workspace,
        )

    assert await statements() == few
