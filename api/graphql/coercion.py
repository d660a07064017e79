"""Input that does not fit its type: said in words of the schema alone.

A value that does not fit may be a secret in the wrong place, so what is told is where it stands and which type is expected there,
and nothing of the value itself.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from graphql import (
    SKIP,
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    VisitorAction,
    get_named_type,
    is_input_object_type,
    is_input_type,
    is_list_type,
    is_non_null_type,
    type_from_ast,
)
from graphql.utilities.validate_input_value import validate_input_literal, validate_input_value

from api.graphql.refusals import Code, Refusal

# What the message says before the value begins; both names are the schema's.
_MISSING = re.compile(r"Expected value of type '\w+' to include required field '(\w+)'")
_UNKNOWN = re.compile(r"Expected value of type '\w+' not to include unknown field")


class LiteralsOfCorrectType(ValuesOfCorrectTypeRule):
    """The specification's rule, with messages that leave the literal out."""

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        def report(error: GraphQLError, path: Sequence[str | int]) -> None:
            assert input_type is not None
            self.report_error(
                Refusal(Code.BAD_USER_INPUT, f"A literal does not fit: {_expectation(input_type, path, error)}.", error.nodes)
            )

        if input_type:
            validate_input_literal(node, input_type, report, None, None, True)
        return SKIP


def variable_mistakes(schema: GraphQLSchema, operation: OperationDefinitionNode, values: dict[str, Any]) -> Iterator[Refusal]:
    """Everything about the variables of an operation that does not fit."""
    for definition in operation.variable_definitions or ():
        expected = type_from_ast(schema, definition.type)
        value = values.get(definition.variable.name.value, Undefined)
        if is_input_type(expected) and not (value is Undefined and definition.default_value):
            yield from _mistakes_of(definition, expected, value)


def _mistakes_of(definition: VariableDefinitionNode, expected: GraphQLInputType, value: Any) -> list[Refusal]:
    mistakes: list[Refusal] = []

    def report(error: GraphQLError, path: Sequence[str | int]) -> None:
        message = f"The variable “${definition.variable.name.value}” does not fit: {_expectation(expected, path, error)}."
        mistakes.append(Refusal(Code.BAD_USER_INPUT, message, definition))

    validate_input_value(value, expected, report, True)
    return mistakes


def _expectation(expected: GraphQLInputType, path: Sequence[str | int], error: GraphQLError) -> str:
    where = "".join(f"“{'.'.join(map(str, path))}” " if path else "it ")
    there = _type_at(expected, path)
    if missing := _MISSING.match(error.message):
        return f"{where}needs “{missing[1]}”"
    if _UNKNOWN.match(error.message):
        return f"{where}has a field that {get_named_type(there)} does not have"
    return f"{where}must be of type {there}"


def _type_at(type_: Any, path: Sequence[str | int]) -> Any:
    for key in path:
        while is_non_null_type(type_) or (is_list_type(type_) and not isinstance(key, int)):
            type_ = type_.of_type
        if is_list_type(type_):
            type_ = type_.of_type
        elif is_input_object_type(type_):
            type_ = type_.fields[key].type
    return type_
