"""Whatever is asked, the answer is the same by a plan and without one, byte for byte."""

import random
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import DocumentNode
from graphql import ExecutionResult as GraphQLResult
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.types import ExecutionResult

from api.access import Actor
from api.graphql.context import Context
from api.graphql.errors import Error
from api.graphql.execution import EXTENSIONS, PatchbaySchema
from api.graphql.plans.extension import Asked, CompiledPlans, Plans
from api.graphql.schema import Mutation, Query, Subscription, schema
from api.secret import Secret
from models import Permission
from tests.fuzzing.documents import Documents
from tests.fuzzing.scene import Run, Scene, open_scene
from tests.fuzzing.tally import watching
from tests.graphql.asking import Graph
from tests.graphql.filling import roots

pytestmark = [
    pytest.mark.anyio,
    # What graphql-core has begun when a field fails it leaves as it is.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    # Nor can it be told of where the collector meets it in a function without builtins, as those of named tuples are.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <coroutine object GraphQLCoreConverter:pytest.PytestUnraisableExceptionWarning"
    ),
]

LIST = """
query List($first: Int = 2, $after: String, $detailed: Boolean!, $hidden: Boolean = false) {
  connections(first: $first, after: $after, orderBy: {field: NAME}) {
    nodes { ...Short ...on Connection @include(if: $detailed) { scopes reason: statusReason { code } } owner { name } }
    pageInfo { endCursor hasNextPage }
    totalCount @skip(if: $hidden)
  }
}
fragment Short on Connection { __typename id name status createdAt folder { id name path } connector { key name } folder { kind } }
"""


class Watched(Plans):
    """Counts what is answered by a plan."""

    def __init__(self, kept: int = 256) -> None:
        super().__init__(kept)
        self.answered = 0

    async def run(self, asked: Asked, document: DocumentNode, context: Any) -> dict[str, Any] | GraphQLResult | None:
        data = await super().run(asked, document, context)
        self.answered += isinstance(data, dict)
        return data


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Watched:
    plans = Watched()
    monkeypatch.setattr(CompiledPlans, "plans", plans)
    return plans


@pytest.fixture(scope="module")
def unplanned() -> PatchbaySchema:
    """The same schema, executed by graphql-core alone."""
    extensions = [each for each in EXTENSIONS if each is not CompiledPlans]
    roots = {"query": Query, "mutation": Mutation, "subscription": Subscription}
    return PatchbaySchema(**roots, types=[Error], extensions=extensions, config=schema.config)


def written(result: Any) -> bytes:
    """The answer as it is sent, but for the name that each fault gets."""
    assert isinstance(result, ExecutionResult)
    errors = [error.formatted for error in result.errors or ()]
    for error in errors:
        error.get("extensions", {}).pop("requestId", None)
    return orjson.dumps({"errors": errors, "data": result.data})


async def answered(graph: Graph, by: PatchbaySchema, document: str, variables: Mapping[str, Any], operation: str | None) -> bytes:
    context = Context(graph.here.patchbay, graph.viewer)
    try:
        return written(await by.execute(document, dict(variables), operation_name=operation, context_value=context))
    except CannotGetOperationTypeError:
        return b"no such operation"


async def both(graph: Graph, unplanned: PatchbaySchema, document: str, variables: Mapping[str, Any], operation: str | None = None) -> bytes:
    """The answer, which is the same both ways."""
    with_plan, without = [await answered(graph, each, document, variables, operation) for each in (schema, unplanned)]
    assert with_plan == without, document
    return with_plan


async def furnish(graph: Graph, count: int = 3) -> None:
    for number in range(count):
        await graph.here.connect_with_token(name=f"Connection {number}")


@pytest.mark.parametrize("detailed", [True, False])
@pytest.mark.parametrize("hidden", [True, False])
async def test_a_list_is_answered_by_a_plan(
    graph_on_both: Graph, plans: Watched, unplanned: PatchbaySchema, detailed: bool, hidden: bool
) -> None:
    await furnish(graph_on_both)

    answer = await both(graph_on_both, unplanned, LIST, {"detailed": detailed, "hidden": hidden})
    again = await both(graph_on_both, unplanned, LIST, {"detailed": detailed, "hidden": hidden})

    connections = orjson.loads(answer)["data"]["connections"]
    assert (b"Connection 0" in answer, "totalCount" in connections, "scopes" in connections["nodes"][0]) == (True, not hidden, detailed)
    assert again == answer
    assert (plans.answered, len(plans)) == (2, 1)


async def test_every_query_is_answered_alike(graph: Graph, plans: Watched, unplanned: PatchbaySchema) -> None:
    await furnish(graph)
    shared = await graph.here.patchbay.folders.create(graph.viewer, name="Sales", parent_id=None)
    for root in roots("query"):
        for id in (str(shared.id), str(graph.here.workspace), "no id"):
            chosen = root.variables(partial(_chosen, id), without=("after", "first"))
            await both(graph, unplanned, root.document(), chosen)

    assert plans.answered > len(roots("query"))


def _chosen(id: str, name: str, kind: str) -> Any:
    return {"ID": id, "Int": 3, "Boolean": True, "DateTime": "2026-01-05T12:00:00Z"}.get(kind, "sandbox" if "onnector" in name else "x")


@pytest.mark.timeout(60)
async def test_documents_of_a_grammar_are_answered_alike(plans: Watched, unplanned: PatchbaySchema, sqlite_template: Path) -> None:
    with watching() as watch:
        async with open_scene(Run(watch, sqlite_template, seed=1)) as scene:
            documents = Documents(random.Random(5), scene.ids, scene.canary)
            for viewer in await viewers(scene):
                for _ in range(100):
                    asked = documents.next(("query",))
                    await both(Graph(scene.here, viewer), unplanned, asked.query, asked.variables, asked.operation)

    assert plans.answered > 50


async def viewers(scene: Scene) -> list[Actor]:
    found = [await scene.here.patchbay.people.actor_of_token(Secret(token)) for token in scene.tokens]
    return [actor for actor in found if actor is not None]


async def test_where_a_resolver_raises_the_answer_says_what_it_always_says(graph: Graph, plans: Watched, unplanned: PatchbaySchema) -> None:
    document = "query Page($after: String) { connections(after: $after) { nodes { id } } viewer { name } }"

    answer = orjson.loads(await both(graph, unplanned, document, {"after": "no cursor"}))

    assert (answer["data"], answer["errors"][0]["path"]) == (None, ["connections"])
    assert plans.answered == 0


@pytest.mark.parametrize(
    "document",
    [
        "{ __schema { queryType { name } } }",
        '{ __type(name: "Connection") { name } }',
        'mutation { a: cancelAuthorization(id: "x") { __typename } b: cancelAuthorization(id: "x") { __typename } }',
        "query A { viewer { name } } query B { viewer { id } }",
    ],
)
async def test_what_is_not_planned_is_executed(graph: Graph, plans: Watched, unplanned: PatchbaySchema, document: str) -> None:
    await both(graph, unplanned, document, {}, "B" if "query B" in document else None)

    assert plans.answered == (1 if "query B" in document else 0)


async def test_a_document_is_planned_for_each_of_its_operations_and_choices(
    graph: Graph, plans: Watched, unplanned: PatchbaySchema
) -> None:
    document = "query A($is: Boolean!) { viewer { name @include(if: $is) id } } query B { viewer { id } }"

    answers = [
        await both(graph, unplanned, document, variables, name)
        for name, variables in (("A", {"is": True}), ("A", {"is": False}), ("B", {}))
    ]

    assert [list(orjson.loads(answer)["data"]["viewer"]) for answer in answers] == [["name", "id"], ["id"], ["id"]]
    assert (plans.answered, len(plans)) == (3, 3)


async def test_no_more_plans_are_kept_than_said(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = Watched(kept=2)
    monkeypatch.setattr(CompiledPlans, "plans", plans)

    for name in "abc":
        assert await graph.ask(f"{{ {name}: viewer {{ id }} }}") == {name: {"id": str(graph.viewer.user_id)}}

    assert (plans.answered, len(plans)) == (3, 2)


async def test_what_cannot_be_seen_is_in_no_answer_of_a_plan(graph: Graph, plans: Watched, unplanned: PatchbaySchema) -> None:
    await furnish(graph)
    ben = await graph.here.add_person("Ben")
    shared = await graph.here.patchbay.folders.create(graph.viewer, name="Sales", parent_id=None)
    await graph.here.patchbay.folders.set_access(graph.viewer, shared.id, ben.user_id, Permission.VIEW)
    await graph.here.connect_with_token(name="Shared", folder_id=shared.id)

    answer = orjson.loads(await both(graph.seen_by(ben), unplanned, LIST, {"detailed": True}))

    assert [node["name"] for node in answer["data"]["connections"]["nodes"]] == ["Shared"]
    assert plans.answered == 1
