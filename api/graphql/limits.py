"""How much one document may ask for. Weighed before it is validated, in time linear to its length: a fragment is weighed once,
however often it is spread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_interface_type,
    is_list_type,
    is_object_type,
)

from api.graphql.refusals import Code, Refusal

MAX_TOKENS = 2_000
MAX_DEFINITIONS = 20
# Selections within selections, fragments included: this keeps the walk itself within the interpreter's stack.
_MAX_NESTING = 60
_MAX_NUMBER = 10**9
# How long a list without pages is taken to be.
_PLAIN_LIST = 10


@dataclass(frozen=True, slots=True)
class Weight:
    """What a selection asks for. `cost` is how many list items it may fetch at most: a page of 100 with a page of 50 in each is 5,100.

    Introspection has its own depth and fields: tools ask deeper there than anyone asks for data.
    """

    depth: int = 0
    fields: int = 0
    introspection_depth: int = 0
    introspection_fields: int = 0
    aliases: int = 0
    directives: int = 0
    cost: int = 0

    def __add__(self, other: "Weight") -> "Weight":
        return Weight(
            max(self.depth, other.depth),
            self.fields + other.fields,
            max(self.introspection_depth, other.introspection_depth),
            self.introspection_fields + other.introspection_fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.cost + other.cost,
        )


_LEAF = Weight(depth=1, fields=1)
# Depth 15 is what the introspection query of GraphiQL has, and 12 is twice what the pages of a front end do.
MOST = Weight(depth=12, fields=500, introspection_depth=16, introspection_fields=500, aliases=30, directives=20, cost=20_000)


def check_limits(schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> None:
    """Raises Refusal where an operation of the document asks for too much."""
    _check("definitions", len(document.definitions), MAX_DEFINITIONS)
    scales = Scales(schema, document, variables)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            weight = scales.weigh(definition)
            for name in Weight.__slots__:
                _check(name.replace("_", " "), getattr(weight, name), getattr(MOST, name))


def _check(limit: str, found: int, allowed: int) -> None:
    if found <= allowed:
        return
    # A chain of fragments that doubles at each step reaches numbers that nobody wants to read.
    shown = f"{found:,}" if found <= _MAX_NUMBER else "far more"
    message = f"The document asks for too much: its {limit} may be at most {allowed:,}, and here it is {shown}."
    raise Refusal(Code.LIMIT_EXCEEDED, message, limit=limit, allowed=allowed)


class Scales:
    """Weighs the operations of one document. `visits` counts the selections looked at."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self.visits = 0
        self._nesting = 0
        self._schema = schema
        self._given = variables
        self._defaults: dict[str, ValueNode] = {}
        self._fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
        self._weighed: dict[str, Weight] = {}

    def weigh(self, operation: OperationDefinitionNode) -> Weight:
        """Raises Refusal where selections are nested too deeply to be weighed."""
        definitions = operation.variable_definitions or ()
        self._defaults = {each.variable.name.value: each.default_value for each in definitions if each.default_value}
        # The pages inside a fragment depend on the variables, and so on the operation.
        self._weighed = {}
        directives = len(operation.directives or ()) + sum(len(each.directives or ()) for each in definitions)
        root = self._schema.get_root_type(operation.operation)
        return Weight(directives=directives) + self._weigh_set(operation.selection_set, root)

    def _weigh_set(self, selections: SelectionSetNode | None, parent: GraphQLNamedType | None) -> Weight:
        total = Weight()
        self._nesting += 1
        _check("nesting", self._nesting, _MAX_NESTING)
        for selection in selections.selections if selections else ():
            self.visits += 1
            total += self._weigh_selection(selection, parent)
            if selection.directives:
                total += Weight(directives=len(selection.directives))
        self._nesting -= 1
        return total

    def _weigh_selection(self, selection: SelectionNode, parent: GraphQLNamedType | None) -> Weight:
        match selection:
            case FieldNode():
                return self._weigh_field(selection, parent)
            case FragmentSpreadNode():
                return self._weigh_fragment(selection.name.value)
            case InlineFragmentNode():
                condition = selection.type_condition
                inner = parent if condition is None else self._schema.get_type(condition.name.value)
                return self._weigh_set(selection.selection_set, inner)
        return Weight()

    def _weigh_fragment(self, name: str) -> Weight:
        if name not in self._weighed:
            # Holds while the fragment is weighed: one that comes back to itself weighs nothing more, and validation refuses it.
            self._weighed[name] = Weight()
            if fragment := self._fragments.get(name):
                own = Weight(directives=len(fragment.directives or ()))
                self._weighed[name] = own + self._weigh_set(
                    fragment.selection_set, self._schema.get_type(fragment.type_condition.name.value)
                )
        return self._weighed[name]

    def _weigh_field(self, field: FieldNode, parent: GraphQLNamedType | None) -> Weight:
        if field.selection_set is None and field.alias is None:
            return _LEAF
        definition = self._definition(field, parent)
        below = self._weigh_set(field.selection_set, None if definition is None else get_named_type(definition.type))
        aliases = below.aliases + (field.alias is not None)
        if field.name.value in ("__schema", "__type"):
            return Weight(
                introspection_depth=below.depth + 1,
                introspection_fields=below.fields + 1,
                aliases=aliases,
                directives=below.directives,
            )
        return Weight(
            depth=below.depth + 1,
            fields=below.fields + 1,
            introspection_depth=below.introspection_depth,
            introspection_fields=below.introspection_fields,
            aliases=aliases,
            directives=below.directives,
            cost=self._cost(field, definition, parent, below.cost),
        )

    def _definition(self, field: FieldNode, parent: GraphQLNamedType | None) -> GraphQLField | None:
        name = field.name.value
        if name.startswith("__"):
            return self._schema.get_field(parent, name) if is_object_type(parent) else None
        return parent.fields.get(name) if is_object_type(parent) or is_interface_type(parent) else None

    def _cost(self, field: FieldNode, definition: GraphQLField | None, parent: GraphQLNamedType | None, below: int) -> int:
        if definition is None:
            return below
        if "first" in definition.args:
            return self._first(field, definition) * (1 + below)
        # The list inside a page is as long as the page, which is counted already.
        is_plain_list = is_list_type(get_nullable_type(definition.type)) and is_composite_type(get_named_type(definition.type))
        return _PLAIN_LIST * (1 + below) if is_plain_list and not _is_page(parent) else below

    def _first(self, field: FieldNode, definition: GraphQLField) -> int:
        argument = next((each for each in field.arguments or () if each.name.value == "first"), None)
        if argument is None:
            return self._default_first(definition)
        if isinstance(argument.value, VariableNode):
            name = argument.value.name.value
            if name in self._given:
                return _number(self._given[name])
            return _literal(self._defaults[name]) if name in self._defaults else self._default_first(definition)
        return _literal(argument.value)

    def _default_first(self, definition: GraphQLField) -> int:
        default = definition.args["first"].default_value
        return 0 if default is Undefined else _number(default)


def _is_page(type_: GraphQLNamedType | None) -> bool:
    return is_object_type(type_) and "pageInfo" in type_.fields


def _literal(node: ValueNode) -> int:
    # Longer ones are beyond any page, and need not be read.
    return _number(int(node.value[:10])) if isinstance(node, IntValueNode) else 0


def _number(value: object) -> int:
    """What the value asks for. One that is no number is refused later, by its type."""
    return int(min(max(value, 0), _MAX_NUMBER)) if isinstance(value, int | float) and value == value else 0
