"""Limits of documents: what passes, what does not, and that weighing takes no longer than reading."""

from typing import Any

import pytest
from graphql import DocumentNode, OperationDefinitionNode, get_introspection_query, parse

from api.graphql.limits import MOST, Scales, Weight, check_limits
from api.graphql.refusals import Refusal
from api.graphql.schema import schema

PAGES = "query($n: Int = 50) { folders(first: 100) { nodes { connections(first: $n) { nodes { id } } } } }"
DEEP_PAGES = "{ folders(first: 100) { nodes { connections(first: 100) { nodes { events(first: 100) { nodes { at } } } } } } }"
FULL_INTROSPECTION = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
)


def operation_of(document: DocumentNode) -> OperationDefinitionNode:
    return next(each for each in document.definitions if isinstance(each, OperationDefinitionNode))


def weigh(text: str, **variables: Any) -> Weight:
    document = parse(text)
    return Scales(schema._schema, document, variables).weigh(operation_of(document))


def refused_for(text: str, **variables: Any) -> str | None:
    """Which limit the document exceeds."""
    try:
        check_limits(schema._schema, parse(text), variables)
    except Refusal as refusal:
        assert refusal.extensions is not None
        assert refusal.extensions["code"] == "LIMIT_EXCEEDED"
        return str(refusal.extensions["limit"])
    return None


def nested(depth: int) -> str:
    return "{ viewer { " + "workspace { parent { " * depth + "id" + " } }" * depth + " } }"


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("{ viewer { name } }", Weight(depth=2, fields=2)),
        ("{ me: viewer { name @include(if: true) } }", Weight(depth=2, fields=2, aliases=1, directives=1)),
        ("{ viewer { ...F ...F } } fragment F on User { id name }", Weight(depth=2, fields=5)),
        ("{ viewer { ... on User { id } } }", Weight(depth=2, fields=2)),
        ('{ __typename __type(name: "User") { name fields { name } } }', Weight(1, 1, 3, 4)),
        ("{ connections { nodes { id } } }", Weight(depth=3, fields=3, cost=50)),
        ("{ connections(first: 7) { nodes { folder { access { permissions } } } } }", Weight(depth=5, fields=5, cost=77)),
        (PAGES, Weight(depth=5, fields=5, cost=5_100)),
    ],
)
def test_a_document_weighs_what_it_may_fetch(text: str, weight: Weight) -> None:
    assert weigh(text) == weight


@pytest.mark.parametrize(("given", "cost"), [({"n": 100}, 10_100), ({}, 5_100), ({"n": 2.0}, 300), ({"n": -1}, 100), ({"n": "many"}, 100)])
def test_a_page_whose_length_is_a_variable_weighs_what_is_given(given: dict[str, Any], cost: int) -> None:
    assert weigh(PAGES, **given).cost == cost


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (get_introspection_query(), None),
        (FULL_INTROSPECTION, None),
        (PAGES, None),
        (DEEP_PAGES, "cost"),
        (PAGES.replace("$n)", f"{10 ** 30})"), "cost"),
        (nested(5), None),
        (nested(6), "depth"),
        (nested(31), "nesting"),
        ("{ " + "... { " * 90 + "viewer { id }" + " }" * 90 + " }", "nesting"),
        ("{ __schema { types { " + "fields { type { " * 7 + "name" + " } }" * 7 + " } } }", "introspection depth"),
        ("{ __schema { types { " + "name " * 500 + "} } }", "introspection fields"),
        ("{ viewer { " + "id " * 499 + "} }", None),
        ("{ viewer { " + "id " * 500 + "} }", "fields"),
        ("{ viewer { " + " ".join(f"a{number}: id" for number in range(30)) + " } }", None),
        ("{ viewer { " + " ".join(f"a{number}: id" for number in range(31)) + " } }", "aliases"),
        ("{ viewer { id " + "@skip(if: false) " * 20 + "} }", None),
        ("{ viewer { id " + "@skip(if: false) " * 21 + "} }", "directives"),
        ("query($n: Int @a @a @a @a) @a @a @a @a @a @a @a @a @a @a @a @a @a @a @a @a @a { viewer { id } }", "directives"),
        (" ".join(f"query Q{number} {{ viewer {{ id }} }}" for number in range(20)), None),
        (" ".join(f"query Q{number} {{ viewer {{ id }} }}" for number in range(21)), "definitions"),
    ],
)  # fmt: skip
def test_what_is_too_much_is_refused_by_the_name_of_its_limit(text: str, limit: str | None) -> None:
    assert refused_for(text) == limit


@pytest.mark.parametrize("width", [1, 2, 8])
@pytest.mark.parametrize("length", [2, 18, 50])
@pytest.mark.parametrize("closed", [False, True])
def test_every_selection_is_looked_at_once_however_often_its_fragment_is_spread(length: int, width: int, closed: bool) -> None:
    spreads = [f"fragment F{number} on User {{ {f'...F{number + 1} ' * width}}}" for number in range(length)]
    last = f"fragment F{length} on User {{ {'...F0' if closed else 'id'} }}"
    document = parse(" ".join(["{ viewer { ...F0 } }", *spreads, last]))

    scales = Scales(schema._schema, document, {})
    weight = scales.weigh(operation_of(document))

    assert scales.visits == 2 + length * width + 1
    assert weight.fields == 1 + (0 if closed else width**length)


@pytest.mark.parametrize("length", [20, 200])
def test_a_chain_of_very_many_fragments_is_not_even_walked(length: int) -> None:
    chain = [f"fragment F{number} on User {{ {f'...F{number + 1} ' * 8}}}" for number in range(length)]

    assert refused_for(" ".join(["{ viewer { ...F0 } }", *chain])) == "definitions"


def test_the_limits_are_these() -> None:
    assert Weight(12, 500, 16, 500, 30, 20, 20_000) == MOST
