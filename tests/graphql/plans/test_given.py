"""What is given is taken as graphql-core takes it."""

from collections.abc import Mapping
from typing import Any

import pytest
from graphql import OperationDefinitionNode, parse
from graphql.execution.values import VariableValues, get_variable_values

from api.graphql.plans.errors import Unplanned
from api.graphql.plans.given import Variables
from api.graphql.schema import schema

TEXTS = "$id: ID!, $text: String, $is: Boolean"
ALL = f'{TEXTS}, $first: Int = 2, $name: String = "a", $ids: [ID!], $status: ConnectionStatus, $filter: ConnectionFilter'
GIVEN = {"id": "a", "text": "b", "is": False, "first": 3, "name": "c", "ids": ["d"], "status": "CONNECTED", "filter": {}}


def told(values: VariableValues) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return values.coerced, {name: source.value for name, source in values.sources.items()}


def both(declared: str, given: Mapping[str, Any]) -> list[object]:
    """What is made of it with a plan, and without one; None where it is not what is declared."""
    [operation] = parse(f"query ({declared}) {{ __typename }}").definitions
    assert isinstance(operation, OperationDefinitionNode)
    definitions = operation.variable_definitions or ()
    without = get_variable_values(schema._schema, definitions, dict(given))
    try:
        with_plan = told(Variables(schema._schema, definitions).values(given))
    except Unplanned:
        return [None, None if isinstance(without, list) else told(without)]
    return [with_plan, None if isinstance(without, list) else told(without)]


@pytest.mark.parametrize("declared", [TEXTS, ALL])
@pytest.mark.parametrize(
    "value", ["x", "", "CONNECTED", 1, 2**40, 1.5, True, None, ["x"], [None], {"search": "x"}, {"search": 1}, {"other": "x"}]
)
def test_a_variable_is_what_it_is_without_a_plan(declared: str, value: Any) -> None:
    for name in (*GIVEN, "unknown"):
        with_plan, without = both(declared, GIVEN | {name: value})

        assert with_plan == without, name


@pytest.mark.parametrize("given", [{}, {"id": "a"}, {"id": None}, {"text": "b"}, {"id": "a", "text": None, "is": True}])
def test_what_is_left_out_is_left_out_or_missed(given: Mapping[str, Any]) -> None:
    for declared in (TEXTS, ALL):
        with_plan, without = both(declared, given)

        assert with_plan == without


def test_what_is_not_declared_so_is_refused() -> None:
    assert both(TEXTS, {"id": "a", "is": "yes"}) == [None, None]
    assert both(TEXTS, GIVEN)[0] == ({"id": "a", "text": "b", "is": False},) * 2
