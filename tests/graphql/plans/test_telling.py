"""What is told of an event by a plan is what graphql-core tells of it, byte for byte."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from graphql import DocumentNode
from strawberry.types.graphql import OperationType

import models
from api.events.order import EventPosition, PlacedEvent
from api.events.selection import EventSelection
from api.graphql.context import Context
from api.graphql.execution import PatchbaySchema
from api.graphql.plans.extension import Asked, CompiledPlans, Plans
from api.graphql.schema import schema
from api.graphql.sharing import Document
from tests.graphql.asking import Graph
from tests.graphql.plans.test_plans import answered, unplanned

# A fixture, used by name.
assert unplanned is not None

pytestmark = [
    pytest.mark.anyio,
    # What graphql-core has begun when a field fails it leaves as it is.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]

TOLD = """
subscription Told($in: ID, $detailed: Boolean!) {
  event: connectionStatusChanged(folderId: $in) {
    __typename cursor type connectionId connectionName previousStatus status at reason { code message }
    connection { id name status } folder { ...Place } previousFolder { ...Place } actor @include(if: $detailed) { name email }
  }
}
fragment Place on Folder { id name path permissions }
"""
PLAIN = "subscription { connectionStatusChanged { connectionName connection { name } } }"


class Telling(Plans):
    """Counts what is told by a plan."""

    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    async def tell(self, asked: Asked, document: DocumentNode, context: Any) -> dict[str, Any] | None:
        data = await super().tell(asked, document, context)
        self.told += data is not None
        return data


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Telling:
    plans = Telling()
    monkeypatch.setattr(CompiledPlans, "plans", plans)
    return plans


async def happened(graph: Graph) -> PlacedEvent:
    connection = await graph.here.connect_with_token(name="Before")
    await graph.here.patchbay.connections.rename(graph.viewer, connection.id, "After")
    # PostgreSQL holds back what is newer than any transaction of the whole server.
    while len(placed := await graph.here.patchbay.feed._order.after(EventPosition(0, 0))) < 2:
        await asyncio.sleep(0)
    return placed[-1]


def context(graph: Graph, placed: PlacedEvent) -> Context:
    async def only(selection: EventSelection, after: EventPosition | None) -> AsyncIterator[PlacedEvent]:
        yield placed

    return Context(graph.here.patchbay, graph.viewer, events=only)


async def told(graph: Graph, by: PatchbaySchema, text: str, placed: PlacedEvent, variables: dict[str, Any] | None = None) -> Any:
    document = Document(by, text, None, variables, {OperationType.SUBSCRIPTION})
    return orjson.loads((await document.first_answer(lambda: context(graph, placed))).payload)


def known(answer: dict[str, Any]) -> tuple[str, list[str]]:
    """What is the same in each answer with this error; each has a name of its own."""
    [error] = answer["errors"]
    return error["extensions"]["code"], error["path"]


@pytest.mark.parametrize("detailed", [True, False])
async def test_an_event_is_told_by_a_plan(graph_on_both: Graph, plans: Telling, unplanned: PatchbaySchema, detailed: bool) -> None:
    placed = await happened(graph_on_both)
    variables = {"in": str(graph_on_both.here.workspace), "detailed": detailed}

    by_plan, without = [await told(graph_on_both, each, TOLD, placed, variables) for each in (schema, unplanned)]

    assert by_plan == without
    event = by_plan["data"]["event"]
    assert (event["connectionName"], event["connection"]["name"], "actor" in event) == ("After", "After", detailed)
    assert (plans.told, len(plans)) == (1, 1)


async def test_what_goes_wrong_is_told_as_ever(
    graph: Graph, plans: Telling, unplanned: PatchbaySchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = await happened(graph)

    def broken(row: models.Connection) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("api.graphql.connections.Connection.of", broken)
    by_plan, without = [await told(graph, each, PLAIN, placed) for each in (schema, unplanned)]

    assert [known(answer) for answer in (by_plan, without)] == [("INTERNAL", ["connectionStatusChanged", "connection"])] * 2
    assert by_plan["data"] == without["data"]
    assert by_plan["data"]["connectionStatusChanged"] == {"connectionName": "After", "connection": None}
    assert plans.told == 0


async def test_a_subscription_is_not_begun_without_a_stream(graph: Graph, plans: Telling, unplanned: PatchbaySchema) -> None:
    by_plan, without = [orjson.loads(await answered(graph, each, PLAIN, {}, None)) for each in (schema, unplanned)]

    assert by_plan["data"] is without["data"] is None
    assert known(by_plan) == known(without)
    assert plans.told == 0
