"""What a client gives, as variables and as arguments. A text where a text is expected is passed on as it is.

graphql-core and Strawberry look up the type of every value, each time, which takes as long as a statement.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from graphql import FieldNode, GraphQLField, GraphQLInputType, GraphQLSchema, VariableDefinitionNode, VariableNode, Visitor, visit
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_argument_values, get_variable_values
from graphql.type import get_nullable_type, is_scalar_type
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField
from strawberry.types.info import Info

from api.graphql.plans.described import described_by
from api.graphql.plans.errors import Unplannable, Unplanned

# What graphql-core makes nothing else of, where it is of this class.
_TAKEN_AS_IT_IS: Mapping[str, type] = {"ID": str, "String": str, "Boolean": bool}
# What Strawberry makes nothing else of.
_NOT_CONVERTED = frozenset({"ID", "String", "Boolean", "Int", "Float"})


class Variables:
    """Those that an operation declares."""

    def __init__(self, schema: GraphQLSchema, definitions: Sequence[VariableDefinitionNode]) -> None:
        """Raises Unplannable."""
        self._schema = schema
        self._definitions = definitions
        self._signatures = [_signature(schema, each) for each in definitions]
        self._kinds = [(each.name, _TAKEN_AS_IT_IS.get(_scalar(each.type))) for each in self._signatures]

    def values(self, given: Mapping[str, Any]) -> VariableValues:
        """Raises Unplanned where they are not what is declared."""
        if all(given.get(name).__class__ is kind for name, kind in self._kinds):
            sources = {each.name: VariableValueSource(each, given[each.name]) for each in self._signatures}
            return VariableValues(sources, {name: given[name] for name in sources})
        values = get_variable_values(self._schema, self._definitions, dict(given))
        if not isinstance(values, VariableValues):
            raise Unplanned
        return values


class Arguments:
    """Those that a field's resolver is called with, as Strawberry converts them; where no variable is among them, once."""

    def __init__(self, definition: GraphQLField, node: FieldNode, described: StrawberryField) -> None:
        self._definition = definition
        self._node = node
        self._described = described
        # By their names in the schema, those of the resolver.
        self._names = {
            name: described_by(each).python_name for name, each in definition.args.items() if _scalar(each.type) in _NOT_CONVERTED
        }
        self._is_constant = not _has_variables(node)
        self._constant: Mapping[str, Any] | None = None

    def values(self, variables: VariableValues, info: Info[Any, Any]) -> Mapping[str, Any]:
        if self._constant is not None:
            return self._constant
        arguments = self._converted(get_argument_values(self._definition, self._node, variables), info)
        if self._is_constant:
            self._constant = arguments
        return arguments

    def _converted(self, given: Mapping[str, Any], info: Info[Any, Any]) -> Mapping[str, Any]:
        if given.keys() <= self._names.keys():
            return {self._names[name]: value for name, value in given.items()}
        strawberry = info.schema
        return convert_arguments(
            dict(given),
            self._described.arguments,
            scalar_registry=strawberry.schema_converter.scalar_registry,
            config=strawberry.config,
            info=info,
        )


def _signature(schema: GraphQLSchema, definition: VariableDefinitionNode) -> GraphQLVariableSignature:
    found = get_variable_signature(schema, definition)
    if not isinstance(found, GraphQLVariableSignature):
        raise Unplannable
    return found


def _scalar(type: GraphQLInputType) -> str:
    """The name of a scalar type, required or not; "" of any other."""
    named = get_nullable_type(type)
    return named.name if is_scalar_type(named) else ""


def _has_variables(node: FieldNode) -> bool:
    found: list[VariableNode] = []

    class Finding(Visitor):
        def enter_variable(self, variable: VariableNode, *_: Any) -> None:
            found.append(variable)

    for argument in node.arguments or ():
        visit(argument, Finding())
    return bool(found)
