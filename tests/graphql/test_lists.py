"""Pages: complete, in order, and read in a handful of statements."""

from uuid import UUID

import pytest

from api.connections.query import ConnectionQuery
from api.connections.reading import Each
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
NESTED = [
    "{ folders { nodes { connections(first: 2) { totalCount nodes { name } } } } }",
    "{ folders(first: 20) { nodes { children { connections(filter: {isDefault: true}) { nodes { name } } } } } }",
    "{ connectors(first: 100) { nodes { connections(first: 1) { totalCount nodes { name } } } } }",
    "{ connections { nodes { events(first: 1) { totalCount nodes { type actor { name } connection { name } } } } } }",
]
# Two lists of each folder, so that neither is taken for the other.
OF_FOLDERS = """
fragment Few on ConnectionPage { totalCount nodes { name } pageInfo { endCursor hasNextPage } }
query Together($b: ConnectionFilter, $down: ConnectionOrder) {
  folders { nodes { id few: connections(first: 2) { ...Few } some: connections(first: 2, filter: $b, orderBy: $down) { ...Few } } }
}
query Alone($b: ConnectionFilter, $down: ConnectionOrder, $id: ID!, $after: String) {
  few: connections(folderId: $id, first: 2, after: $after) { ...Few }
  some: connections(folderId: $id, first: 2, filter: $b, orderBy: $down) { ...Few }
  folder(id: $id) { connections(first: 2, after: $after) { ...Few } }
}
"""

OF_CONNECTORS = """
query OfConnectors($most: Int!) {
  connectors(first: 100, filter: {category: "dev"}) { nodes { key connections(first: $most) { totalCount nodes { name } } } }
}
"""


async def folders_with_connections(graph: Graph) -> list[str]:
    """Two folders with connections, and one without."""
    create = "mutation Create($input: CreateFolderInput!) { createFolder(input: $input) { ... on FolderSuccess { folder { id } } } }"
    ids = [(await graph.ask(create, input={"name": name}))["createFolder"]["folder"]["id"] for name in ("One", "Two", "Three")]
    for id, names in zip(ids, ("abcb", "bbb", ""), strict=True):
        for number, name in enumerate(names):
            await graph.here.connect_with_token(folder_id=UUID(id), name=f"{name}{number}")
    return ids


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


@pytest.mark.parametrize("document", NESTED)
async def test_lists_within_a_list_are_read_at_once(graph: Graph, document: str) -> None:
    folders = graph.here.patchbay.folders
    counts = []
    for more in ("a", "b"):
        for number in range(4):
            upper = await folders.create(graph.here.ada, name=f"{more}{number}", parent_id=None)
            lower = await folders.create(graph.here.ada, name="Below", parent_id=upper.id)
            await graph.here.connect_with_token(folder_id=lower.id)
        with counted_statements() as statements:
            await graph.ask(document)
        counts.append(len(statements))

    assert counts[0] == counts[1] <= 15


async def test_lists_within_a_list_are_what_each_is_alone(graph_on_both: Graph) -> None:
    graph = graph_on_both
    ids = await folders_with_connections(graph)

    narrowed = {"b": {"search": "b"}, "down": {"field": "NAME", "direction": "DESC"}}

    together = (await graph.ask(OF_FOLDERS, operation="Together", **narrowed))["folders"]["nodes"]
    alone = [await graph.ask(OF_FOLDERS, operation="Alone", id=id, **narrowed) for id in ids]

    lists = {folder["id"]: (folder["few"], folder["some"]) for folder in together}
    assert [lists[id] for id in ids] == [(each["few"], each["some"]) for each in alone]
    assert [[node["name"] for node in each["few"]["nodes"]] for each in alone] == [["a0", "b1"], ["b0", "b1"], []]
    assert [[node["name"] for node in each["some"]["nodes"]] for each in alone] == [["b3", "b1"], ["b2", "b1"], []]
    assert [(each["few"]["totalCount"], each["some"]["totalCount"]) for each in alone] == [(4, 2), (3, 3), (0, 0)]
    assert [(each["few"]["pageInfo"]["hasNextPage"], each["some"]["pageInfo"]["hasNextPage"]) for each in alone] == [
        (True, False), (True, True), (False, False),
    ]  # fmt: skip


async def test_a_list_within_a_list_goes_on_from_its_cursor(graph: Graph) -> None:
    (id, *_) = await folders_with_connections(graph)
    first = (await graph.ask(OF_FOLDERS, operation="Alone", id=id))["folder"]["connections"]

    rest = (await graph.ask(OF_FOLDERS, operation="Alone", id=id, after=first["pageInfo"]["endCursor"]))["folder"]["connections"]

    assert [node["name"] for node in first["nodes"] + rest["nodes"]] == ["a0", "b1", "b3", "c2"]
    assert rest["pageInfo"]["hasNextPage"] is False


async def test_lists_of_connectors_are_told_apart(graph_on_both: Graph) -> None:
    graph = graph_on_both
    await folders_with_connections(graph)

    connectors = (await graph.ask(OF_CONNECTORS, most=1))["connectors"]

    listed = {node["key"]: node["connections"] for node in connectors["nodes"]}
    assert listed["sandbox"] == {"totalCount": 7, "nodes": [{"name": "a0"}]}
    assert listed["github"] == {"totalCount": 0, "nodes": []}


async def test_histories_are_told_apart(graph_on_both: Graph) -> None:
    graph = graph_on_both
    document = "{ connections { nodes { name events(first: 1) { totalCount nodes { type } pageInfo { hasNextPage } } } } }"
    for name in ("a", "b"):
        await graph.here.connect_with_token(name=name)
    renamed = await graph.here.connect_with_token(name="c")
    await graph.here.patchbay.connections.rename(graph.here.ada, renamed.id, "d")

    listed = {node["name"]: node["events"] for node in (await graph.ask(document))["connections"]["nodes"]}

    once = {"totalCount": 1, "nodes": [{"type": "CREATED"}], "pageInfo": {"hasNextPage": False}}
    twice = {"totalCount": 2, "nodes": [{"type": "RENAMED"}], "pageInfo": {"hasNextPage": True}}
    assert listed == {"a": once, "b": once, "d": twice}


async def test_lists_within_a_list_hide_what_each_hides(graph_on_both: Graph) -> None:
    graph = graph_on_both
    ids = await folders_with_connections(graph)
    ben = await graph.here.add_person("Ben")
    access = {"folderId": ids[1], "userId": str(ben.user_id), "permissions": ["VIEW"]}
    await graph.ask("mutation Give($input: FolderAccessInput!) { setFolderAccess(input: $input) { __typename } }", input=access)

    seen = await graph.seen_by(ben).ask(OF_CONNECTORS, most=9)

    (listed,) = [node["connections"] for node in seen["connectors"]["nodes"] if node["key"] == "sandbox"]
    assert listed == {"totalCount": 3, "nodes": [{"name": "b0"}, {"name": "b1"}, {"name": "b2"}]}
    reading, folders = graph.here.patchbay.reading, [UUID(id) for id in ids]
    pages = await reading.first_pages(ben, ConnectionQuery(), Each.FOLDER, folders, first=9)
    assert [len(pages[folder].rows) for folder in folders] == [0, 3, 0]
    assert await reading.counts(ben, ConnectionQuery(), Each.FOLDER, folders) == {folders[0]: 0, folders[1]: 3, folders[2]: 0}
