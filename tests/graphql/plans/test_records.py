"""Lists of connections are answered from columns, and nobody can tell by the answer."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import orjson
import pytest

import models
from api.access import Actor, Limits
from api.graphql.execution import PatchbaySchema
from models import ConnectionStatus, Fixer, Permission, StatusReason, StatusReasonCode
from tests import many
from tests.graphql.asking import Graph, counted_statements
from tests.graphql.plans.test_plans import Watched, both, plans, unplanned

__all__ = ["plans", "unplanned"]

pytestmark = pytest.mark.anyio

FIELDS = """
__typename id name authenticationType option connectorVersion status statusChangedAt isDefault account scopes missingScopes
expiresAt nextRefreshAt lastRefreshedAt lastVerifiedAt lastUsedAt createdAt updatedAt
statusReason { code message remedy fixableBy providerError } connector { __typename key name } folder { id name kind }
"""
LIST = f"""
query List($folder: ID, $first: Int, $after: String, $filter: ConnectionFilter, $order: ConnectionOrder) {{
  connections(folderId: $folder, first: $first, after: $after, filter: $filter, orderBy: $order) {{
    nodes {{ {FIELDS} }} pageInfo {{ endCursor hasNextPage }}
  }}
}}
"""
ONE = f"query One($id: ID!) {{ connection(id: $id) {{ {FIELDS} }} }}"
BROKEN = StatusReason(
    StatusReasonCode.REAUTHENTICATION_REQUIRED, "It was revoked.", "Connect it again.", Fixer.CONNECTION_OWNER, "invalid_grant"
)
FILTERS: tuple[Mapping[str, Any] | None, ...] = (
    None,
    {"connectorKey": "sandbox"},
    {"status": ["ACTION_REQUIRED", "CONNECTED"], "isDefault": False},
    {"status": []},
    {"status": ["ACTION_REQUIRED"]},
    {"authenticationType": "API_KEY", "search": "connection"},
)


async def furnish(graph: Graph) -> models.Folder:
    """Ten connections in the viewer's workspace and ten in a shared folder, which is handed out."""
    shared = await graph.here.patchbay.folders.create(graph.viewer, name="Sales", parent_id=None)
    workspace = await models.Folder.get(id=graph.here.workspace)
    for place, first in ((workspace, 0), (shared, 10)):
        await many.add([_connection(place, graph.viewer.user_id, number) for number in range(first, first + 10)])
    return shared


def _connection(folder: models.Folder, owner_id: UUID, number: int) -> models.Connection:
    key = ("sandbox", "github", "gone")[number % 3]
    made = many.a_connection(folder, number, owner_id=owner_id, connector_key=key, is_default=number % 10 == 0)
    made.scopes, made.missing_scopes = ["read", "ünïcode"][: number % 3], ["admin"][: number % 2]
    made.renewable, made.due_at = bool(number % 2), many.NOW + timedelta(microseconds=number)
    made.created_at = many.NOW + timedelta(seconds=number % 4)
    if number % 4 == 3:
        made.enter(ConnectionStatus.ACTION_REQUIRED, BROKEN, many.NOW)
    return made


async def viewers(graph: Graph, shared: models.Folder) -> list[Actor]:
    """Its administrator, somebody who was given the folder, somebody who was given nothing, and tokens of the first two."""
    ben, eve = await graph.here.add_person("Ben"), await graph.here.add_person("Eve")
    await graph.here.patchbay.folders.set_access(graph.viewer, shared.id, ben.user_id, Permission.VIEW)
    limited = replace(graph.viewer, limits=Limits(folder_ids=frozenset({shared.id})))
    return [graph.viewer, ben, eve, limited, replace(ben, limits=Limits(without_workspace=True))]


@pytest.mark.timeout(60)
async def test_every_page_of_every_list_is_the_same(graph_on_both: Graph, plans: Watched, unplanned: PatchbaySchema) -> None:
    shared = await furnish(graph_on_both)
    shown: set[int] = set()
    for viewer, order, filter in product(await viewers(graph_on_both, shared), ("NAME", "CREATED_AT"), FILTERS):
        direction = "DESC" if filter else "ASC"
        given = {"first": 7, "filter": filter, "order": {"field": order, "direction": direction}}
        asked = graph_on_both.seen_by(viewer)
        shown.add(len(await walked(asked, unplanned, given)))
        await walked(asked, unplanned, given | {"folder": str(shared.id)})

    assert {0, 10, 20} <= shown
    assert plans.answered >= 100


async def walked(graph: Graph, unplanned: PatchbaySchema, given: dict[str, Any]) -> list[str]:
    """The ids on all pages, each once."""
    ids: list[str] = []
    after = None
    while True:
        page = orjson.loads(await both(graph, unplanned, LIST, given | {"after": after}))["data"]["connections"]
        ids += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            assert len(set(ids)) == len(ids)
            return ids


async def test_a_list_with_its_folders_is_one_statement_and_on_sqlite_two(graph_on_both: Graph, plans: Watched) -> None:
    shared = await furnish(graph_on_both)
    _, ben, *_ = await viewers(graph_on_both, shared)

    with counted_statements() as statements:
        found = await graph_on_both.seen_by(ben).ask(LIST)

    assert len(found["connections"]["nodes"]) == 10
    assert len(statements) <= 2
    assert plans.answered == 1


async def test_a_connection_by_its_id_is_one_statement(graph_on_both: Graph, plans: Watched, unplanned: PatchbaySchema) -> None:
    shared = await furnish(graph_on_both)
    _, ben, eve, *_ = await viewers(graph_on_both, shared)
    connection = await models.Connection.filter(folder_id=shared.id).first()
    assert connection is not None

    with counted_statements() as statements:
        found = await graph_on_both.seen_by(ben).ask(ONE, id=str(connection.id))

    assert (found["connection"]["name"], len(statements)) == (connection.name, 1)
    for viewer in (graph_on_both.viewer, ben, eve):
        for id in (str(connection.id), str(shared.id), "none"):
            await both(graph_on_both.seen_by(viewer), unplanned, ONE, {"id": id})
    assert await graph_on_both.seen_by(eve).ask(ONE, id=str(connection.id)) == {"connection": None}


async def test_what_is_read_of_a_row_changes_no_answer_where_something_else_is_asked_too(
    graph: Graph, plans: Watched, unplanned: PatchbaySchema
) -> None:
    await furnish(graph)
    document = "{ connections(first: 5) { nodes { name owner { name } permissions events { totalCount } folder { path } } totalCount } }"

    answer = orjson.loads(await both(graph, unplanned, document, {}))

    assert (len(answer["data"]["connections"]["nodes"]), plans.answered) == (5, 1)


async def test_a_connector_is_told_as_the_catalogue_has_it_now(graph: Graph, plans: Watched, unplanned: PatchbaySchema) -> None:
    catalog = graph.here.patchbay.catalog
    offered = catalog.get("sandbox")
    workspace = await models.Folder.get(id=graph.here.workspace)
    await many.add([many.a_connection(workspace, number, connector_key=f"own-{number % 2}") for number in range(4)])
    document = "{ connections { nodes { connector { key name version unconfirmed { what } } } } }"

    told = []
    for names in ({}, {"own-0": "First"}, {"own-0": "First", "own-1": "Other"}, {"own-0": "Second", "own-1": "Other"}, {}):
        catalog.adopt([replace(offered, key=key, name=name, version=1) for key, name in names.items()])
        answer = orjson.loads(await both(graph, unplanned, document, {}))
        told.append({node["connector"]["name"] for node in answer["data"]["connections"]["nodes"]})

    assert told == [{"own-0", "own-1"}, {"First", "own-1"}, {"First", "Other"}, {"Second", "Other"}, {"own-0", "own-1"}]
    assert (plans.answered, len(plans)) == (5, 1)
