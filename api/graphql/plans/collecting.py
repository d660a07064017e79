"""Which fields a selection means for one type of object (GraphQL specification, section 6.3.2, CollectFields)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
)

from api.graphql.plans.errors import Unplannable

_CONDITIONS = {"skip": False, "include": True}


@dataclass(frozen=True, slots=True)
class Collector:
    """Collects the fields of a document's selections. `flags` are the variables that `@skip` and `@include` name, with their values."""

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    flags: Mapping[str, bool] = field(default_factory=dict)

    def fields(self, type: GraphQLObjectType, selections: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """The nodes of every field by its key in the answer, in the order of the answer. Raises Unplannable."""
        found: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection in selections:
            for node in self._nodes(type, selection, visited):
                key = node.alias.value if node.alias is not None else node.name.value
                found.setdefault(key, []).append(node)
        return found

    def _nodes(self, type: GraphQLObjectType, selection: SelectionSetNode, visited: set[str]) -> Iterator[FieldNode]:
        for node in selection.selections:
            if not self._is_wanted(node):
                continue
            match node:
                case FieldNode():
                    yield node
                case InlineFragmentNode():
                    if self._applies(node.type_condition, type):
                        yield from self._nodes(type, node.selection_set, visited)
                case FragmentSpreadNode() if node.name.value not in visited:
                    visited.add(node.name.value)
                    fragment = self.fragments[node.name.value]
                    if self._applies(fragment.type_condition, type):
                        yield from self._nodes(type, fragment.selection_set, visited)

    def _is_wanted(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            wanted_when = _CONDITIONS.get(directive.name.value)
            if wanted_when is None:
                raise Unplannable
            [argument] = directive.arguments or ()
            match argument.value:
                case BooleanValueNode(value=value):
                    pass
                case VariableNode(name=name):
                    value = self.flags[name.value]
                case _:
                    raise Unplannable
            if value is not wanted_when:
                return False
        return True

    def _applies(self, condition: NamedTypeNode | None, type: GraphQLObjectType) -> bool:
        if condition is None or condition.name.value == type.name:
            return True
        named = self.schema.get_type(condition.name.value)
        return is_abstract_type(named) and self.schema.is_sub_type(named, type)
