"""Policies and installed connectors, as clients see them."""

from typing import Any

import pytest

import models
from tests.graphql.asking import Graph, counted_statements
from tests.graphql.test_nouns import token_input

pytestmark = pytest.mark.anyio

SET = """
mutation Set($input: SetConnectorPolicyInput!) {
  setConnectorPolicy(input: $input) {
    __typename
    ... on ConnectorPolicySuccess {
      policy {
        id scope group { name } user { name } connector { key } isExempt allowed allowedAuthenticationTypes enforcement
        defaultOAuthApp { clientId origin } defaultScopes defaultFields { name value }
      }
    }
    ... on Error { message }
    ... on InvalidInputError { fields { field } }
  }
}
"""
CONNECT = """
mutation Connect($input: ConnectInput!) {
  connect(input: $input) {
    __typename
    ... on Error { message remedy }
    ... on PolicyViolationError { policy { id scope } }
  }
}
"""
POLICIES = """
query Policies($first: Int, $after: String) {
  policies(first: $first, after: $after) {
    totalCount
    nodes { scope connector { key } violationCount violations(first: 2) { totalCount nodes { name } pageInfo { hasNextPage } } }
    pageInfo { endCursor hasNextPage }
  }
}
"""
OPTIONS = """
query Options($key: String!) {
  connector(key: $key) { authenticationOptions { type available unavailableReason policy isAgainstPolicy fields { name default } } }
}
"""
SIMULATE = """
query Simulate($input: SetConnectorPolicyInput!, $after: String) {
  simulateConnectorPolicy(input: $input) {
    __typename
    ... on SimulateConnectorPolicySuccess {
      connectionCount suspendedCount resumedCount coveredPeopleCount
      connections(first: 2, after: $after) { totalCount nodes { name } pageInfo { endCursor } }
      people { totalCount nodes { name } }
    }
    ... on Error { message }
  }
}
"""
INSTALL = """
mutation Install($key: String!, $installed: Boolean!) {
  setConnectorInstalled(input: {connectorKey: $key, installed: $installed}) {
    __typename ... on ConnectorSuccess { connector { key installed } }
  }
}
"""
KEYS = "query Keys($filter: ConnectorFilter) { connectors(first: 100, filter: $filter) { totalCount nodes { key installed } } }"


async def put(graph: Graph, **wish: object) -> dict[str, Any]:
    answer: dict[str, Any] = (await graph.ask(SET, input={"connectorKey": "sandbox"} | wish))["setConnectorPolicy"]
    return answer


async def test_a_policy_is_set_as_it_is_asked_for(graph: Graph) -> None:
    answer = await put(
        graph,
        connectorKey="zendesk",
        userId=str(graph.here.ada.user_id),
        allowedAuthenticationTypes=["OAUTH2_BRING_YOUR_OWN_APP", "API_KEY"],
        enforcement="WARN",
        defaultOAuthApp={"clientId": "zd-client", "clientSecret": "hush"},
        defaultScopes=["read"],
        defaultFields=[{"name": "subdomain", "value": "acme"}],
    )

    assert answer["__typename"] == "ConnectorPolicySuccess", answer
    assert answer["policy"] | {"id": None} == {
        "id": None,
        "scope": "the user “Ada”",
        "group": None,
        "user": {"name": "Ada"},
        "connector": {"key": "zendesk"},
        "isExempt": False,
        "allowed": True,
        "allowedAuthenticationTypes": ["OAUTH2_BRING_YOUR_OWN_APP", "API_KEY"],
        "enforcement": "WARN",
        "defaultOAuthApp": {"clientId": "zd-client", "origin": "POLICY"},
        "defaultScopes": ["read"],
        "defaultFields": [{"name": "subdomain", "value": "acme"}],
    }
    assert "hush" not in str(answer)


async def test_what_is_left_out_restricts_nothing_but_leaves_the_app(graph: Graph) -> None:
    await put(graph, allowed=False, defaultOAuthApp={"clientId": "client"})

    kept = (await put(graph))["policy"]
    without = (await put(graph, defaultOAuthApp=None))["policy"]

    assert (kept["allowed"], kept["allowedAuthenticationTypes"], kept["enforcement"]) == (True, None, "BLOCK_NEW")
    assert (kept["defaultOAuthApp"], without["defaultOAuthApp"]) == ({"clientId": "client", "origin": "POLICY"}, None)


async def test_mistakes_are_told_by_field(graph: Graph) -> None:
    twice = [{"name": "x", "value": "1"}, {"name": "x", "value": "2"}]

    answers = [
        await put(graph, allowedAuthenticationTypes=["BASIC"], defaultFields=[{"name": "token", "value": "x"}]),
        await put(graph, defaultFields=twice),
        await put(graph, groupId="no id"),
    ]

    assert [sorted(field["field"] for field in answer.get("fields", [])) for answer in answers] == [
        ["allowedAuthenticationTypes", "defaultFields.token"],
        ["defaultFields"],
        [],
    ]
    assert answers[2]["__typename"] == "NotFoundError"
    assert await models.ConnectorPolicy.all().count() == 0


async def test_a_violation_names_the_policy_to_administrators_alone(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    theirs = await models.Folder.get(owner_id=ben.user_id)
    policy = (await put(graph, allowed=False))["policy"]

    mine = (await graph.ask(CONNECT, input=token_input(graph)))["connect"]
    bens = (await graph.seen_by(ben).ask(CONNECT, input=token_input(graph, folderId=str(theirs.id))))["connect"]

    assert mine == {
        "__typename": "PolicyViolationError",
        "message": "The policy for everybody does not allow connections to Sandbox.",
        "remedy": "Ask an administrator to allow it, or to make an exception.",
        "policy": {"id": policy["id"], "scope": "everybody"},
    }
    assert bens == mine | {"policy": None}
    assert await models.Connection.all().count() == 0


async def test_options_show_the_policy_that_holds_for_the_viewer(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    await put(graph, allowedAuthenticationTypes=["PERSONAL_ACCESS_TOKEN"])
    await put(graph, userId=str(ben.user_id), isExempt=True)

    mine = (await graph.ask(OPTIONS, key="sandbox"))["connector"]["authenticationOptions"]
    bens = (await graph.seen_by(ben).ask(OPTIONS, key="sandbox"))["connector"]["authenticationOptions"]

    by_type = {option["type"]: option for option in mine}
    assert by_type["OAUTH2_CLIENT_CREDENTIALS"] | {"fields": None} == {
        "type": "OAUTH2_CLIENT_CREDENTIALS",
        "available": False,
        "unavailableReason": "The policy for everybody does not allow OAUTH2_CLIENT_CREDENTIALS for Sandbox; it allows "
        "PERSONAL_ACCESS_TOKEN. Authenticate in a way that is allowed. Ask an administrator to allow it, or to make an exception.",
        "policy": "the policy for everybody",
        "isAgainstPolicy": True,
        "fields": None,
    }
    assert by_type["PERSONAL_ACCESS_TOKEN"]["available"]
    assert {(option["available"], option["policy"]) for option in bens} == {(True, None)}


async def test_suspended_connections_refuse_to_be_verified_or_switched_on_and_say_by_what(graph: Graph) -> None:
    connection = await graph.here.connect_with_token()
    await put(graph, allowed=False, enforcement="SUSPEND")
    acts = """
    mutation Acts($id: ID!) {
      verify: verifyConnection(input: {connectionId: $id}) { __typename ... on PolicyViolationError { policy { scope } } }
      enable: enableConnection(input: {connectionId: $id}) { __typename ... on PolicyViolationError { policy { scope } } }
    }
    """
    refused = {"__typename": "PolicyViolationError", "policy": {"scope": "everybody"}}

    assert await graph.ask(acts, id=str(connection.id)) == {"verify": refused, "enable": refused}

    seen = await graph.ask("query($id: ID!) { connection(id: $id) { status statusReason { code fixableBy } } }", id=str(connection.id))
    assert seen["connection"] == {"status": "DISABLED", "statusReason": {"code": "DISALLOWED_BY_POLICY", "fixableBy": "OPERATOR"}}


async def test_a_policy_that_is_taken_away_is_answered_as_it_was(graph: Graph) -> None:
    group = await models.Group.create(name="Sales", name_key="sales", created_at=graph.here.clock.now)
    await put(graph, groupId=str(group.id), allowed=False)
    delete = """
    mutation Delete($group: ID) {
      deleteConnectorPolicy(connectorKey: "sandbox", groupId: $group) {
        __typename ... on ConnectorPolicySuccess { policy { scope group { name } allowed violationCount } }
      }
    }
    """

    for_all = (await graph.ask(delete))["deleteConnectorPolicy"]
    for_sales = (await graph.ask(delete, group=str(group.id)))["deleteConnectorPolicy"]

    assert for_all == {"__typename": "NotFoundError"}
    assert for_sales["policy"] == {"scope": "the group “Sales”", "group": {"name": "Sales"}, "allowed": False, "violationCount": 0}
    assert await models.ConnectorPolicy.all().count() == 0


async def test_policies_are_paged_with_what_already_breaks_them(graph: Graph) -> None:
    ben = await graph.here.add_person("Ben")
    theirs = await models.Folder.get(owner_id=ben.user_id)
    await graph.here.patchbay.connecting.connect(ben, graph.here.token_request(folder_id=theirs.id))
    for name in ("a", "b", "c"):
        await graph.here.connect_with_token(name=name)
    await put(graph, allowed=False)
    await put(graph, connectorKey="github")

    first = (await graph.ask(POLICIES, first=1))["policies"]
    second = (await graph.ask(POLICIES, first=1, after=first["pageInfo"]["endCursor"]))["policies"]

    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (2, True, False)
    assert first["nodes"][0]["violations"] == {"totalCount": 0, "nodes": [], "pageInfo": {"hasNextPage": False}}
    (sandbox,) = second["nodes"]
    assert sandbox == {
        "scope": "everybody",
        "connector": {"key": "sandbox"},
        "violationCount": 4,
        "violations": {"totalCount": 3, "nodes": [{"name": "a"}, {"name": "b"}], "pageInfo": {"hasNextPage": True}},
    }
    assert (await graph.seen_by(ben).ask(POLICIES))["policies"]["nodes"] == []


async def test_violations_go_on_after_their_cursor(graph: Graph) -> None:
    for name in ("c", "A", "b"):
        await graph.here.connect_with_token(name=name)
    await put(graph, allowed=False)
    document = """
    query Violations($after: String) {
      policies { nodes { violations(first: 2, after: $after) { nodes { name } pageInfo { endCursor hasNextPage } } } }
    }
    """

    first = (await graph.ask(document))["policies"]["nodes"][0]["violations"]
    rest = (await graph.ask(document, after=first["pageInfo"]["endCursor"]))["policies"]["nodes"][0]["violations"]

    assert [node["name"] for node in first["nodes"] + rest["nodes"]] == ["A", "b", "c"]
    assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)


async def test_ten_policies_ask_the_database_no_more_often_than_two(graph: Graph) -> None:
    for number in range(10):
        await put(graph, userId=str((await graph.here.add_person(f"Person {number}")).user_id), allowed=False)
    await graph.here.connect_with_token()

    with counted_statements() as for_two:
        await graph.ask(POLICIES, first=2)
    with counted_statements() as for_ten:
        await graph.ask(POLICIES, first=10)
    with counted_statements() as for_options:
        await graph.ask("{ connectors(first: 100) { nodes { installed authenticationOptions { available policy } } } }")

    # What the event feed asks meanwhile is among them; one for each row would be more.
    assert max(len(for_two), len(for_ten)) <= 10
    assert len(for_options) <= 8


async def test_a_simulation_tells_whom_and_what_a_policy_would_hit(graph: Graph) -> None:
    for name in ("c", "a", "b"):
        await graph.here.connect_with_token(name=name)
    wish = {"connectorKey": "sandbox", "allowed": False, "enforcement": "SUSPEND"}

    first = (await graph.ask(SIMULATE, input=wish))["simulateConnectorPolicy"]
    after = first["connections"]["pageInfo"]["endCursor"]
    rest = (await graph.ask(SIMULATE, input=wish, after=after))["simulateConnectorPolicy"]
    refused = await graph.seen_by(await graph.here.add_person("Ben")).ask(SIMULATE, input=wish)

    assert {name: first[name] for name in ("connectionCount", "suspendedCount", "resumedCount", "coveredPeopleCount")} == {
        "connectionCount": 3,
        "suspendedCount": 3,
        "resumedCount": 0,
        "coveredPeopleCount": 1,
    }
    assert [node["name"] for node in first["connections"]["nodes"] + rest["connections"]["nodes"]] == ["a", "b", "c"]
    assert first["people"] == {"totalCount": 1, "nodes": [{"name": "Ada"}]}
    assert refused["simulateConnectorPolicy"]["__typename"] == "PermissionDeniedError"
    assert await models.ConnectorPolicy.all().count() == 0
    assert await models.Connection.filter(status="CONNECTED").count() == 3


async def test_only_installed_connectors_are_listed_unless_the_filter_says_otherwise(graph: Graph) -> None:
    installed = (await graph.ask(INSTALL, key="github", installed=False))["setConnectorInstalled"]

    usual = (await graph.ask(KEYS))["connectors"]
    hidden = (await graph.ask(KEYS, filter={"installed": False}))["connectors"]
    github = (await graph.ask('{ connector(key: "github") { installed authenticationOptions { available } } }'))["connector"]

    assert installed == {"__typename": "ConnectorSuccess", "connector": {"key": "github", "installed": False}}
    assert (await graph.ask(KEYS, filter={"installed": True}))["connectors"] == usual
    assert usual["totalCount"] == len(graph.here.patchbay.catalog.all) - 1
    assert all(node["installed"] and node["key"] != "github" for node in usual["nodes"])
    assert hidden == {"totalCount": 1, "nodes": [{"key": "github", "installed": False}]}
    assert (github["installed"], {option["available"] for option in github["authenticationOptions"]}) == (False, {False})


async def test_counts_by_category_are_of_what_is_listed(graph: Graph) -> None:
    document = "query C($filter: ConnectorFilter) { connectors(filter: $filter) { categories { category count } } }"
    before = {each["category"]: each["count"] for each in (await graph.ask(document))["connectors"]["categories"]}

    await graph.ask(INSTALL, key="github", installed=False)

    after = {each["category"]: each["count"] for each in (await graph.ask(document))["connectors"]["categories"]}
    missing = (await graph.ask(document, filter={"installed": False}))["connectors"]["categories"]
    (category,) = [each["category"] for each in missing]
    assert after == before | {category: before[category] - 1}


async def test_who_is_no_administrator_installs_nothing(graph: Graph) -> None:
    ben = graph.seen_by(await graph.here.add_person("Ben"))

    assert (await ben.ask(INSTALL, key="github", installed=False))["setConnectorInstalled"] == {"__typename": "PermissionDeniedError"}
    assert (await graph.ask(INSTALL, key="nothing", installed=False))["setConnectorInstalled"] == {"__typename": "NotFoundError"}
    assert await models.ConnectorInstallation.all().count() == 0
