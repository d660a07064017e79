"""What each noun of the graph answers."""

import asyncio

import pytest

from tests.graphql.asking import Graph

pytestmark = pytest.mark.anyio

CONNECT = """
mutation Connect($input: ConnectInput!) {
  connect(input: $input) {
    __typename
    ... on ConnectSuccess { connection { name status account isDefault } authorization { status url connection { id } } }
    ... on Error { message remedy }
    ... on InvalidInputError { fields { field message } }
    ... on ProviderError { retryable reason { code fixableBy } }
    ... on PermissionDeniedError { permission folder { name } }
  }
}
"""


def token_input(graph: Graph, **changes: object) -> dict[str, object]:
    fields = [{"name": "token", "value": graph.here.personal_token().reveal()}]
    given = {
        "folderId": str(graph.here.workspace),
        "connectorKey": "sandbox",
        "authenticationType": "PERSONAL_ACCESS_TOKEN",
        "fields": fields,
    }
    return given | changes


async def test_connecting_with_a_token_answers_with_the_connection(graph: Graph) -> None:
    answer = (await graph.ask(CONNECT, input=token_input(graph)))["connect"]

    assert answer == {
        "__typename": "ConnectSuccess",
        "connection": {"name": "Sandbox", "status": "CONNECTED", "account": "alex", "isDefault": True},
        "authorization": None,
    }


async def test_connecting_by_consent_answers_with_where_to_go(graph: Graph) -> None:
    answer = (await graph.ask(CONNECT, input=token_input(graph, authenticationType="OAUTH2_AUTHORIZATION_CODE", fields=None)))["connect"]

    assert answer["connection"] is None
    assert answer["authorization"]["status"] == "PENDING"
    assert answer["authorization"]["url"].startswith(f"{graph.here.patchbay.settings.public_url}/connect/")


async def test_mistakes_are_told_by_field_all_at_once(graph: Graph) -> None:
    wrong = token_input(graph, name=" ", fields=[{"name": "tokne", "value": "x"}], returnUrl="https://evil.example", idempotencyKey="")

    answer = (await graph.ask(CONNECT, input=wrong))["connect"]

    assert answer["__typename"] == "InvalidInputError"
    assert sorted(field["field"] for field in answer["fields"]) == ["fields.token", "fields.tokne", "idempotencyKey", "name", "returnUrl"]


async def test_a_rejected_credential_names_cause_and_fixer(graph: Graph) -> None:
    answer = (await graph.ask(CONNECT, input=token_input(graph, fields=[{"name": "token", "value": "wrong"}])))["connect"]

    assert answer["__typename"] == "ProviderError"
    assert answer["reason"] == {"code": "CREDENTIAL_REJECTED", "fixableBy": "CONNECTION_OWNER"}
    assert answer["retryable"] is False


async def test_a_missing_permission_names_itself_and_the_folder(graph: Graph) -> None:
    stranger = await graph.here.add_person("Ben")
    folder = (await graph.ask('mutation { createFolder(input: {name: "Sales"}) { ... on FolderSuccess { folder { id } } } }'))[
        "createFolder"
    ]
    access = {"folderId": folder["folder"]["id"], "userId": str(stranger.user_id), "permissions": ["VIEW"]}
    await graph.ask("mutation Give($input: FolderAccessInput!) { setFolderAccess(input: $input) { __typename } }", input=access)

    seen = (await graph.seen_by(stranger).ask(CONNECT, input=token_input(graph, folderId=folder["folder"]["id"])))["connect"]
    hidden = (await graph.seen_by(stranger).ask(CONNECT, input=token_input(graph)))["connect"]

    assert (seen["__typename"], seen["permission"], seen["folder"]) == ("PermissionDeniedError", "CREATE", {"name": "Sales"})
    assert hidden["__typename"] == "NotFoundError"


async def test_a_folder_tells_who_may_do_what_and_where_it_comes_from(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    create = (
        """mutation Create($input: CreateFolderInput!) { createFolder(input: $input) { ... on FolderSuccess { folder { id path } } } }"""
    )
    upper = (await graph.ask(create, input={"name": "Sales"}))["createFolder"]["folder"]
    lower = (await graph.ask(create, input={"name": "EMEA", "parentId": upper["id"]}))["createFolder"]["folder"]
    access = {"folderId": upper["id"], "userId": str(ben.user_id), "permissions": ["USE"]}
    await graph.ask("mutation Give($input: FolderAccessInput!) { setFolderAccess(input: $input) { __typename } }", input=access)

    folder = (
        await graph.seen_by(ben).ask(
            "query Folder($id: ID!) { folder(id: $id) { path permissions access { user { name } permissions inheritedFrom { name } } } }",
            id=lower["id"],
        )
    )["folder"]

    assert (folder["path"], folder["permissions"]) == ("Sales/EMEA", ["VIEW", "USE"])
    assert {"user": {"name": "Ben"}, "permissions": ["VIEW", "USE"], "inheritedFrom": {"name": "Sales"}} in folder["access"]


async def test_a_token_is_shown_once_and_known_by_its_prefix(graph: Graph) -> None:
    create = """
    mutation { createApiToken(input: {name: "CI"}) { ... on CreateApiTokenSuccess { token apiToken { id prefix } } } }
    """
    made = (await graph.ask(create))["createApiToken"]

    revoke = (
        "mutation Revoke($id: ID!) { revokeApiToken(id: $id) { ... on RevokeApiTokenSuccess { apiTokenId } ... on Error { message } } }"
    )
    revoked = (await graph.ask(revoke, id=made["apiToken"]["id"]))["revokeApiToken"]

    assert made["token"].startswith(made["apiToken"]["prefix"] + "_")
    assert revoked == {"apiTokenId": made["apiToken"]["id"]}


async def test_a_connection_is_managed_from_name_to_deletion(graph: Graph) -> None:
    id = str((await graph.here.connect_with_token()).id)
    acts = """
    mutation Acts($id: ID!) {
      rename: renameConnection(input: {connectionId: $id, name: "Renamed"}) { ... on ConnectionSuccess { connection { name } } }
      verify: verifyConnection(input: {connectionId: $id}) { ... on VerifyConnectionSuccess { connection { status } } }
      disable: disableConnection(input: {connectionId: $id}) { ... on ConnectionSuccess { connection { status statusReason { code } } } }
      enable: enableConnection(input: {connectionId: $id}) { ... on ConnectionSuccess { connection { status statusReason { code } } } }
      delete: deleteConnection(input: {connectionId: $id}) { ... on DeleteConnectionSuccess { wasDefault revokedAtProvider } }
    }
    """

    assert await graph.ask(acts, id=id) == {
        "rename": {"connection": {"name": "Renamed"}},
        "verify": {"connection": {"status": "CONNECTED"}},
        "disable": {"connection": {"status": "DISABLED", "statusReason": {"code": "DISABLED_BY_USER"}}},
        "enable": {"connection": {"status": "CONNECTED", "statusReason": None}},
        "delete": {"wasDefault": True, "revokedAtProvider": False},
    }


async def test_the_history_of_a_connection_is_paged_newest_first(graph: Graph) -> None:
    connection = await graph.here.connect_with_token()
    for name in ("b", "c"):
        await graph.here.patchbay.connections.rename(graph.here.ada, connection.id, name)
    document = """
    query History($id: ID!, $after: String) {
      connection(id: $id) {
        events(first: 2, after: $after) { totalCount nodes { type actor { name } } pageInfo { endCursor hasNextPage } }
      }
    }
    """

    first = (await graph.ask(document, id=str(connection.id)))["connection"]["events"]
    second = (await graph.ask(document, id=str(connection.id), after=first["pageInfo"]["endCursor"]))["connection"]["events"]

    assert [node["type"] for node in first["nodes"] + second["nodes"]] == ["RENAMED", "RENAMED", "CREATED"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (3, True, False)
    assert second["nodes"][0]["actor"] == {"name": "Ada"}


async def test_the_operators_app_is_registered_once_and_never_shows_its_secret(graph: Graph) -> None:
    register = """
    mutation Register($input: RegisterOAuthAppInput!) {
      registerOAuthApp(input: $input) {
        __typename
        ... on OAuthAppSuccess { oauthApp { clientId connector { key } origin secretSetAt connectionCount } }
      }
    }
    """
    app = {"connectorKey": "github", "clientId": "Iv1.1", "clientSecret": "hush"}

    made = (await graph.ask(register, input=app))["registerOAuthApp"]
    again = (await graph.ask(register, input=app))["registerOAuthApp"]

    assert made["oauthApp"]["clientId"] == "Iv1.1"
    assert made["oauthApp"]["origin"] == "OPERATOR"
    assert again["__typename"] == "ConflictError"
    assert "hush" not in str(made)


async def test_a_watcher_sees_what_happens_next(graph: Graph) -> None:
    document = "subscription { connectionStatusChanged { type connectionName connection { status } cursor } }"

    async with graph.watching(document) as answers:
        waiting = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0.1)
        await graph.here.connect_with_token()
        data = await asyncio.wait_for(waiting, 5)

    assert data["connectionStatusChanged"]["type"] == "CREATED"
    assert data["connectionStatusChanged"]["connection"] == {"status": "CONNECTED"}
