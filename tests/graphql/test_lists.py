"""Pages: complete, in order, and read in a handful of statements."""

import pytest

from api.errors import InvalidInput
from api.graphql.page import checked_first
from tests.graphql.asking import Graph, counted_statements

pytestmark = pytest.mark.anyio

RICH = """
query Rich($first: Int) {
  connections(first: $first) {
    totalCount
    nodes {
      id name permissions
      connector { key authenticationOptions { type available } }
      folder { id name path permissions parent { name } access { user { name } permissions } }
      owner { name email }
      oauthApp { clientId connectionCount }
    }
    pageInfo { endCursor hasNextPage }
  }
}
"""
NAMES = """
query Names($after: String, $order: ConnectionOrder, $filter: ConnectionFilter) {
  connections(first: 2, after: $after, orderBy: $order, filter: $filter) { nodes { name } pageInfo { endCursor hasNextPage } }
}
"""


async def test_a_list_of_ten_asks_the_database_no_more_often_than_one_of_two(graph: Graph) -> None:
    for number in range(10):
        await graph.here.connect_with_token(name=f"Connection {number}")

    with counted_statements() as for_two:
        few = await graph.ask(RICH, first=2)
    with counted_statements() as for_ten:
        many = await graph.ask(RICH, first=10)

    assert (len(few["connections"]["nodes"]), len(many["connections"]["nodes"])) == (2, 10)
    # How the loaders batch may differ by one or two, never by one a row.
    assert max(len(for_two), len(for_ten)) <= 20


async def test_pages_go_through_everything_once_in_order(graph: Graph) -> None:
    for name in ("cherry", "Apple", "banana", "Date", "elder"):
        await graph.here.connect_with_token(name=name)

    pages, after, more = [], None, True
    while more:
        page = (await graph.ask(NAMES, after=after))["connections"]
        pages.append([node["name"] for node in page["nodes"]])
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]

    assert pages == [["Apple", "banana"], ["cherry", "Date"], ["elder"]]


async def test_pages_go_backwards_too(graph: Graph) -> None:
    for name in ("a", "b", "c"):
        await graph.here.connect_with_token(name=name)

    order = {"field": "NAME", "direction": "DESC"}
    first = (await graph.ask(NAMES, order=order))["connections"]
    second = (await graph.ask(NAMES, order=order, after=first["pageInfo"]["endCursor"]))["connections"]

    assert [node["name"] for node in first["nodes"] + second["nodes"]] == ["c", "b", "a"]


async def test_a_cursor_is_good_for_its_own_list_only(graph: Graph) -> None:
    for name in ("a", "b", "c"):
        await graph.here.connect_with_token(name=name)
    cursor = (await graph.ask(NAMES))["connections"]["pageInfo"]["endCursor"]
    stranger = await graph.here.add_person("Ben")

    assert await graph.codes(NAMES, after=cursor, filter={"search": "a"}) == ["BAD_USER_INPUT"]
    assert await graph.codes(NAMES, after=cursor[:-2]) == ["BAD_USER_INPUT"]
    assert await graph.codes(NAMES, after="ü") == ["BAD_USER_INPUT"]
    assert await graph.seen_by(stranger).codes(NAMES, after=cursor) == ["BAD_USER_INPUT"]
    assert await graph.codes(NAMES, after=cursor) == []


async def test_the_total_is_counted_only_where_it_is_asked_for(graph: Graph) -> None:
    with counted_statements() as with_total:
        await graph.ask("{ connections { totalCount nodes { name } } }")
    with counted_statements() as without:
        await graph.ask("{ connections { nodes { name } } }")

    assert [statement for statement in without if "COUNT" in statement] == []
    assert len([statement for statement in with_total if "COUNT" in statement]) == 1


@pytest.mark.parametrize("first", [0, -1, 101, 2**31 - 1])
def test_a_page_has_between_one_and_a_hundred_rows(first: int) -> None:
    with pytest.raises(InvalidInput):
        checked_first(first)


async def test_what_is_no_id_names_nothing(graph: Graph) -> None:
    document = """
    query Nothing($id: ID!) {
      connection(id: $id) { id } folder(id: $id) { id } authorization(id: $id) { id }
      defaultConnection(folderId: $id, connectorKey: "sandbox") { id }
      connections(folderId: $id) { totalCount } health(folderId: $id) { total }
    }
    """
    await graph.here.connect_with_token()

    for id in ("", "x", "00000000-0000-0000-0000-000000000000", "' OR 1=1 --", "\u0000"):
        assert await graph.ask(document, id=id) == {
            "connection": None,
            "folder": None,
            "authorization": None,
            "defaultConnection": None,
            "connections": {"totalCount": 0},
            "health": {"total": 0},
        }
