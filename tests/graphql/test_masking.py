"""What goes wrong is told by code, and never by what was sent or what a resolver said."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from strawberry.types import ExecutionResult

from api.graphql.context import Context
from tests.graphql.asking import Graph
from tests.graphql.tiny import CANARY, tiny

pytestmark = pytest.mark.anyio

DOCUMENTS = [
    ("{", "INVALID_DOCUMENT"),
    (f'{{ hello "{CANARY}" }}', "INVALID_DOCUMENT"),
    ("{ helo }", "INVALID_DOCUMENT"),
    ("{ hello(nam: 1) }", "INVALID_DOCUMENT"),
    ("{ ...F }", "INVALID_DOCUMENT"),
    (f'{{ hello(size: "{CANARY}") }}', "BAD_USER_INPUT"),
    (f"{{ hello(size: {'9' * 5_000}) }}", "BAD_USER_INPUT"),
    (f'{{ thing(input: {{nme: "{CANARY}"}}) {{ name }} }}', "BAD_USER_INPUT"),
    (f'{{ thing(input: {{name: ["{CANARY}"]}}) {{ name }} }}', "BAD_USER_INPUT"),
    (f'query($n: Int = "{CANARY}") {{ hello(size: $n) }}', "BAD_USER_INPUT"),
    ("{ " + "hello " * 2_000 + "}", "LIMIT_EXCEEDED"),
    ("{ " + "thing { " * 300 + "name" + " } " * 300 + " }", "LIMIT_EXCEEDED"),
    ("{ " + "hello " * 600 + "}", "LIMIT_EXCEEDED"),
    ("{ nothing }", "INTERNAL"),
    ("{ huge }", "INTERNAL"),
    ("{ conflicting }", "INTERNAL"),
    ('{ thing(input: {name: ""}) { broken } }', "INTERNAL"),
    ("{ wrong }", "BAD_USER_INPUT"),
    ("{ missing }", "NOT_FOUND"),
    ("{ slow }", "TIMEOUT"),
    ("query A { hello } query B { hello }", "BAD_REQUEST"),
]
SECRET_INPUT = {"nme": CANARY, "secret": CANARY}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged, and at the end: nothing of it holds the canary, however it is formatted."""
    with caplog.at_level(logging.DEBUG):
        yield caplog
    formatter = logging.Formatter()
    for record in caplog.records:
        assert CANARY not in formatter.format(record) + repr(record.__dict__)


async def answer_of(graph: Graph, document: str, variables: dict[str, Any] | None = None) -> ExecutionResult:
    return await tiny.execute(document, variables, context_value=Context(graph.here.patchbay, graph.viewer))


async def errors_of(graph: Graph, document: str, variables: dict[str, Any] | None = None) -> list[Any]:
    """The errors as the client gets them."""
    result = await answer_of(graph, document, variables)
    formatted = [error.formatted for error in result.errors or []]
    assert CANARY not in json.dumps(formatted)
    assert "Did you mean" not in json.dumps(formatted)
    return formatted


async def test_every_error_has_a_code_and_repeats_nothing(graph: Graph, log: pytest.LogCaptureFixture) -> None:
    for document, code in DOCUMENTS:
        errors = await errors_of(graph, document)

        assert {error["extensions"]["code"] for error in errors} == {code}, document[:100]


@pytest.mark.parametrize(
    ("declared", "variables", "messages"),
    [
        ("$i: ThingInput!", {}, ["The variable “$i” does not fit: it must be of type ThingInput!."]),
        ("$i: ThingInput!", {"i": None}, ["The variable “$i” does not fit: it must be of type ThingInput!."]),
        ("$i: ThingInput!", {"i": CANARY}, ["The variable “$i” does not fit: it must be of type ThingInput!."]),
        (
            "$i: ThingInput!",
            {"i": SECRET_INPUT},
            [
                "The variable “$i” does not fit: it needs “name”.",
                "The variable “$i” does not fit: it has a field that ThingInput does not have.",
            ],
        ),
        (
            "$i: ThingInput!",
            {"i": {"name": [CANARY], "size": CANARY}},
            [
                "The variable “$i” does not fit: “name” must be of type String!.",
                "The variable “$i” does not fit: “size” must be of type Int!.",
            ],
        ),
    ],
)
async def test_a_variable_that_does_not_fit_is_told_by_its_place_and_type(
    graph: Graph, log: pytest.LogCaptureFixture, declared: str, variables: dict[str, Any], messages: list[str]
) -> None:
    errors = await errors_of(graph, f"query({declared}) {{ thing(input: $i) {{ name }} }}", variables)

    assert [error["message"] for error in errors] == messages
    assert {error["extensions"]["code"] for error in errors} == {"BAD_USER_INPUT"}


async def test_only_the_variables_of_the_chosen_operation_are_looked_at(graph: Graph) -> None:
    document = "query A($a: Int!) { hello(size: $a) } query B($b: Int!) { hello(size: $b) }"

    result = await tiny.execute(document, {"a": CANARY}, operation_name="B", context_value=Context(graph.here.patchbay, graph.viewer))

    assert result.errors is not None
    assert [error.message for error in result.errors] == ["The variable “$b” does not fit: it must be of type Int!."]


async def test_a_fault_is_found_in_the_log_by_what_the_client_was_told(graph: Graph, log: pytest.LogCaptureFixture) -> None:
    (error,) = await errors_of(graph, '{ thing(input: {name: "x"}) { alias: broken } }')

    request = error["extensions"]["requestId"]
    (record,) = [record for record in log.records if record.levelname == "ERROR"]
    fields = record.__dict__
    assert re.fullmatch(r"[0-9a-f]{16}", request)
    assert error["message"] == f"Something went wrong here; mention request {request}."
    assert error["path"] == ["thing", "alias"]
    assert (record.message, fields["request"], fields["code"], fields["field"]) == ("operation failed", request, "INTERNAL", "broken")
    assert [told["type"] for told in fields["errors"]] == ["builtins.RuntimeError", "builtins.ValueError"]
    assert any(re.fullmatch(r"tests/graphql/tiny\.py:\d+ broken", frame) for frame in fields["errors"][0]["at"])


async def test_what_a_client_did_wrong_is_no_error_in_the_log(graph: Graph, log: pytest.LogCaptureFixture) -> None:
    for document in ("{", "{ helo }", "{ wrong }", f'{{ hello(size: "{CANARY}") }}'):
        await errors_of(graph, document)

    assert [record for record in log.records if record.levelno > logging.INFO and record.name.startswith(("api", "strawberry"))] == []


async def test_no_more_than_three_errors_are_told(graph: Graph, log: pytest.LogCaptureFixture) -> None:
    of_execution = await errors_of(graph, "{ things { broken } }")
    of_validation = await errors_of(graph, "{ a b c d e f g }")

    assert (len(of_execution), len(of_validation)) == (3, 3)
    assert len([record for record in log.records if record.levelname == "ERROR"]) == 3


async def test_mistakes_of_the_input_are_told_by_field(graph: Graph) -> None:
    (error,) = await errors_of(graph, "{ wrong }")

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "fields": {"first": "must be between 1 and 100"}}
    assert error["path"] == ["wrong"]


async def test_an_error_of_syntax_is_told_by_its_place(graph: Graph) -> None:
    (error,) = await errors_of(graph, "{\n  hello(")

    assert error["message"] == "The document is not GraphQL: it cannot be read from line 2, column 9 on."
    assert error["locations"] == [{"line": 2, "column": 9}]


async def test_a_mistake_is_told_again_the_second_time(graph: Graph) -> None:
    assert await errors_of(graph, "{ helo }") == await errors_of(graph, "{ helo }") != []


@pytest.mark.parametrize(("field", "code"), [("lagging", "STREAM_LAGGED"), ("gone", "NOT_FOUND"), ("failing", "INTERNAL")])
async def test_errors_of_streams_have_codes_too(graph: Graph, log: pytest.LogCaptureFixture, field: str, code: str) -> None:
    stream = await tiny.stream(f"subscription {{ {field} }}", context_value=Context(graph.here.patchbay, graph.viewer))

    results = [result async for result in stream]

    assert isinstance(results[-1], ExecutionResult)
    assert results[-1].errors is not None
    assert [(error.extensions or {})["code"] for error in results[-1].errors] == [code]
    assert CANARY not in repr(results)
