"""A mutation by a plan: its resolver is called once, and the answer is the one that graphql-core gives, byte for byte."""

import re
from functools import partial
from typing import Any

import orjson
import pytest

import models
from api.graphql.execution import PatchbaySchema
from api.graphql.issuing import IssueCredentialSuccess
from api.graphql.schema import schema
from models import AuditOutcome
from tests.graphql.asking import Graph
from tests.graphql.filling import roots
from tests.graphql.plans.test_plans import Watched, answered, both, plans, unplanned
from tests.graphql.test_issuing import ISSUE, REPORT

# Fixtures, used by name.
assert plans is not None
assert unplanned is not None

pytestmark = [
    pytest.mark.anyio,
    # What graphql-core has begun when a field fails it leaves as it is.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]

# Ids, and the names of faults.
_BY_CHANCE = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8,32}")
SHOWN = """
  __typename
  ... on ConnectionSuccess { connection { id name status updatedAt folder { name } connector { key } permissions } }
  ... on PermissionDeniedError { permission folder { id name } }
  ... on InvalidInputError { fields { field message } }
  ... on Error { message remedy }
"""
RENAME = (
    f"mutation Rename($id: ID!, $name: String!) {{ renamed: renameConnection(input: {{connectionId: $id, name: $name}}) {{ {SHOWN} }} }}"
)
DISABLE = f"mutation($id: ID!) {{ disableConnection(input: {{connectionId: $id}}) {{ {SHOWN} }} }}"


def without_chance(answer: bytes) -> bytes:
    return _BY_CHANCE.sub(b"-", answer)


async def entries(action: str) -> list[AuditOutcome]:
    return [entry.outcome for entry in await models.AuditEntry.filter(action=action).order_by("id")]


async def test_what_is_done_is_answered_alike(graph_on_both: Graph, plans: Watched, unplanned: PatchbaySchema) -> None:
    connection = await graph_on_both.here.connect_with_token(name="Before")
    id = str(connection.id)

    # Done twice, each comes to the same.
    renamed = await both(graph_on_both, unplanned, RENAME, {"id": id, "name": "Before"})
    issued = await both(graph_on_both, unplanned, ISSUE, {"input": {"connectionId": id}})
    disabled = await both(graph_on_both, unplanned, DISABLE, {"id": id})

    assert (b'"renamed":{"__typename":"ConnectionSuccess"' in renamed, b"IssueCredentialSuccess" in issued, b"DISABLED" in disabled) == (
        True,
        True,
        True,
    )
    assert plans.answered == 3
    assert await entries("connection.rename") == await entries("credential.issue") == [AuditOutcome.DONE] * 2


async def test_what_is_refused_is_answered_alike(graph_on_both: Graph, plans: Watched, unplanned: PatchbaySchema) -> None:
    connection = await graph_on_both.here.connect_with_token(name="Before")
    taken = await graph_on_both.here.connect_with_token(name="Taken")
    ben = graph_on_both.seen_by(await graph_on_both.here.add_person("Ben"))

    answers = [
        await both(graph_on_both, unplanned, RENAME, {"id": str(connection.id), "name": ""}),
        await both(graph_on_both, unplanned, RENAME, {"id": str(connection.id), "name": "taken"}),
        await both(ben, unplanned, RENAME, {"id": str(connection.id), "name": "Mine"}),
        await both(graph_on_both, unplanned, ISSUE, {"input": {"connectionId": str(taken.id), "minimumTtl": 4000}}),
        await both(graph_on_both, unplanned, REPORT, {"input": {"connectionId": str(taken.id), "generation": 9}}),
        await both(ben, unplanned, ISSUE, {"input": {"connectionId": str(taken.id)}}),
    ]

    kinds = [next(iter(orjson.loads(answer)["data"].values()))["__typename"] for answer in answers]
    assert kinds == ["InvalidInputError", "NameTakenError", "NotFoundError", "InvalidInputError", "InvalidInputError", "NotFoundError"]
    assert plans.answered == 6
    assert len(await entries("connection.rename")) == 6
    assert (await models.Connection.get(id=connection.id)).name == "Before"


@pytest.mark.parametrize("given", [{"id": "no id", "name": "x"}, {"id": None, "name": "x"}, {"id": "x"}, {"id": "x", "name": 3}])
async def test_what_is_asked_wrongly_is_answered_alike(graph: Graph, plans: Watched, unplanned: PatchbaySchema, given: Any) -> None:
    await both(graph, unplanned, RENAME, given)


@pytest.mark.timeout(60)
async def test_every_mutation_is_answered_alike_to_who_may_do_little(graph: Graph, plans: Watched, unplanned: PatchbaySchema) -> None:
    ben = graph.seen_by(await graph.here.add_person("Ben"))
    shared = await graph.here.patchbay.folders.create(graph.viewer, name="Sales", parent_id=None)
    # What a secret or a link is has no second time.
    for root in roots("mutation"):
        for id in (str(shared.id), "no id"):
            chosen = root.variables(partial(_chosen, id), without=("after", "first"))
            ways = [await answered(ben, each, root.document(), chosen, None) for each in (schema, unplanned)]
            if b"Success" not in ways[0]:
                assert without_chance(ways[0]) == without_chance(ways[1]), root.name

    assert plans.answered > len(roots("mutation")) / 2


def _chosen(id: str, name: str, kind: str) -> Any:
    return {"ID": id, "Int": 3, "Boolean": True, "DateTime": "2026-01-05T12:00:00Z"}.get(kind, "sandbox" if "onnector" in name else "x")


async def test_a_resolver_is_called_once_where_its_answer_cannot_be_written(
    graph: Graph, plans: Watched, unplanned: PatchbaySchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await graph.here.connect_with_token()
    monkeypatch.setattr(IssueCredentialSuccess, "of", lambda issued: IssueCredentialSuccess(credential=None, connection=None))  # type: ignore[arg-type]

    by_plan = await answered(graph, schema, ISSUE, {"input": {"connectionId": str(connection.id)}}, None)
    called_by_plan = await entries("credential.issue")
    without = await answered(graph, unplanned, ISSUE, {"input": {"connectionId": str(connection.id)}}, None)

    assert called_by_plan == [AuditOutcome.DONE]
    assert without_chance(by_plan) == without_chance(without)
    assert orjson.loads(by_plan)["errors"][0]["path"] == ["issueCredential", "credential"]


async def test_a_resolver_is_called_once_where_it_fails(
    graph: Graph, plans: Watched, unplanned: PatchbaySchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await graph.here.connect_with_token()
    called: list[str] = []

    async def failing(*_: Any, **__: Any) -> None:
        called.append("issue")
        raise ZeroDivisionError

    monkeypatch.setattr(graph.here.patchbay.issuing, "issue", failing)

    by_plan = await answered(graph, schema, ISSUE, {"input": {"connectionId": str(connection.id)}}, None)
    called_by_plan = list(called)
    without = await answered(graph, unplanned, ISSUE, {"input": {"connectionId": str(connection.id)}}, None)

    assert called_by_plan == ["issue"]
    assert without_chance(by_plan) == without_chance(without)
    assert orjson.loads(by_plan)["errors"][0]["extensions"]["code"] == "INTERNAL"


async def test_mutations_with_several_fields_are_executed_one_after_the_other(
    graph: Graph, plans: Watched, unplanned: PatchbaySchema
) -> None:
    connection = await graph.here.connect_with_token(name="Before")
    one = f'renameConnection(input: {{connectionId: "{connection.id}", name: "One"}}) {{ {SHOWN} }}'
    two = f'renameConnection(input: {{connectionId: "{connection.id}", name: "Two"}}) {{ {SHOWN} }}'

    await both(graph, unplanned, f"mutation {{ one: {one} two: {two} }}", {})

    assert plans.answered == 0
    assert (await models.Connection.get(id=connection.id)).name == "Two"
    assert len(await entries("connection.rename")) == 4
