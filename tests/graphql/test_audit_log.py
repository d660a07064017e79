"""The audit log in the graph."""

import pytest

from api.audit import Audit
from tests.graphql.asking import Graph

pytestmark = pytest.mark.anyio

LOG = """
query Log($first: Int, $after: String, $filter: AuditFilter) {
  auditLog(first: $first, after: $after, filter: $filter) {
    totalCount nodes { id at action outcome actorName actor { name } subjectId subjectName folder { name } detail source }
    pageInfo { endCursor hasNextPage }
  }
}
"""


async def tell(graph: Graph, *names: str) -> None:
    for name in names:
        async with Audit(graph.here.clock).act(graph.viewer, "test.told", name) as act:
            await act.done(subject_name=name, folder_id=graph.here.workspace)


async def test_an_administrator_pages_through_it(graph: Graph) -> None:
    await tell(graph, "a", "b", "c")
    mine = {"action": "test.told"}

    first = (await graph.ask(LOG, first=2, filter=mine))["auditLog"]
    rest = (await graph.ask(LOG, first=2, filter=mine, after=first["pageInfo"]["endCursor"]))["auditLog"]

    assert [node["subjectName"] for node in first["nodes"] + rest["nodes"]] == ["c", "b", "a"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (3, True, False)
    assert first["nodes"][0]["actor"] == {"name": "Ada"}
    assert first["nodes"][0]["folder"] == {"name": "Ada’s workspace"}


async def test_what_is_no_id_finds_nothing(graph: Graph) -> None:
    await tell(graph, "a")

    for wrong in ({"actorId": "nobody"}, {"subjectId": "x" * 1000}, {"action": "y" * 1000}):
        assert (await graph.ask(LOG, filter=wrong))["auditLog"]["nodes"] == []


async def test_everybody_else_is_refused(graph: Graph) -> None:
    await tell(graph, "a")

    assert await graph.seen_by(await graph.here.add_person("Ben")).codes(LOG) == ["FORBIDDEN"]
