"""The catalogue as clients see it: searched, counted, and honest about what it rests on."""

import pytest

import models
from tests.graphql.asking import Graph

pytestmark = pytest.mark.anyio

CATEGORIES = """
query Categories($filter: ConnectorFilter) {
  connectors(first: 100, filter: $filter) { totalCount nodes { key category } categories { category count } }
}
"""
CONNECT = """
mutation Connect($input: ConnectInput!) {
  connect(input: $input) {
    __typename ... on ConnectSuccess { connection { id option authenticationType } } ... on Error { message remedy }
  }
}
"""


async def test_the_filter_and_its_counts_come_in_one_query(graph: Graph) -> None:
    all_of_them = (await graph.ask(CATEGORIES))["connectors"]
    crm = (await graph.ask(CATEGORIES, filter={"category": "crm"}))["connectors"]
    zoho = (await graph.ask(CATEGORIES, filter={"search": "zoho", "category": "email"}))["connectors"]

    counts = {each["category"]: each["count"] for each in all_of_them["categories"]}
    assert all_of_them["totalCount"] == sum(counts.values()) == 152
    assert crm["categories"] == all_of_them["categories"]
    assert crm["totalCount"] == len(crm["nodes"]) == counts["crm"] == 14
    assert [node["key"] for node in zoho["nodes"]] == ["zoho-mail"]
    assert zoho["categories"] == [
        {"category": "email", "count": 1},
        {"category": "marketing", "count": 1},
        {"category": "support", "count": 1},
    ]


async def test_a_connector_says_what_it_rests_on(graph: Graph) -> None:
    document = "query Of($key: String!) { connector(key: $key) { verification unconfirmed { key } iconUrl } }"

    vendor = (await graph.ask(document, key="stripe"))["connector"]
    guessed = (await graph.ask(document, key="act-365"))["connector"]

    assert vendor["verification"] == "VENDOR_DOCUMENTED"
    assert {"key": "consent.pkce"} in vendor["unconfirmed"]
    assert vendor["iconUrl"] == "/connectors/stripe.svg"
    assert guessed["verification"] == "UNCONFIRMED"


async def test_an_option_says_how_it_is_verified_and_whether_it_is_on_its_way_out(graph: Graph) -> None:
    document = "query Of($key: String!) { connector(key: $key) { authenticationOptions { key type proof legacy } } }"

    zoominfo = (await graph.ask(document, key="zoominfo"))["connector"]["authenticationOptions"]
    mail = (await graph.ask(document, key="mail"))["connector"]["authenticationOptions"]

    assert {"key": "client_credentials", "type": "OAUTH2_CLIENT_CREDENTIALS", "proof": "TOKEN_EXCHANGE", "legacy": False} in zoominfo
    assert {"key": "custom", "type": "CUSTOM", "proof": "REQUEST", "legacy": True} in zoominfo
    assert [(option["key"], option["proof"]) for option in mail] == [("custom", "LOGIN"), ("smtp_pop3", "LOGIN"), ("xoauth2", "NONE")]


async def test_one_of_several_options_of_a_type_is_chosen_by_its_key(graph: Graph) -> None:
    wish = {
        "folderId": str(graph.here.workspace),
        "connectorKey": "mail",
        "authenticationType": "CUSTOM",
        "option": "xoauth2",
        "fields": [{"name": "email", "value": "ada@example.com"}, {"name": "imap_host", "value": "imap.example.com"}],
    }

    made = (await graph.ask(CONNECT, input=wish))["connect"]

    assert made["__typename"] == "ConnectSuccess", made
    assert (made["connection"]["option"], made["connection"]["authenticationType"]) == ("xoauth2", "CUSTOM")
    row = await models.Connection.get(id=made["connection"]["id"])
    assert (row.status, row.last_verified_at, row.due_at is None) == ("CONNECTED", None, False)


async def test_an_option_that_is_not_there_is_told(graph: Graph) -> None:
    wish = {"folderId": str(graph.here.workspace), "connectorKey": "mail", "authenticationType": "CUSTOM", "option": "telepathy"}

    answer = (await graph.ask(CONNECT, input=wish))["connect"]

    assert answer["__typename"] == "AuthenticationTypeUnavailableError"
    assert await models.Connection.all().count() == 0
