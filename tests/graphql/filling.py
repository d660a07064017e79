"""Operations for every field of the roots, made by walking the schema: a new field is asked too, without anyone thinking of it."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputType,
    get_named_type,
    get_nullable_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_object_type,
    is_union_type,
)

from api.graphql.schema import schema

# The value for an argument or an input's field, by its name and the name of its type. `id` goes by the name of the root.
Choose = Callable[[str, str], Any]

_DEPTH = 4


@dataclass(frozen=True)
class Root:
    kind: str
    name: str
    field: GraphQLField

    @property
    def takes_an_id(self) -> bool:
        return any(name == "ID" for name in _leaf_types(self.field))

    def document(self) -> str:
        """Every argument by a variable; all of the answer that needs no arguments of its own."""
        declared = ", ".join(f"${name}: {argument.type}" for name, argument in self.field.args.items())
        given = ", ".join(f"{name}: ${name}" for name in self.field.args)
        asked = f"{self.name}({given})" if given else self.name
        return f"{self.kind} All{f'({declared})' if declared else ''} {{ {asked} {_selection(self.field.type, _DEPTH)} }}"

    def variables(self, choose: Choose, *, without: Collection[str]) -> dict[str, Any]:
        """A value for everything that can be given but `without`."""
        given = {name: argument.type for name, argument in self.field.args.items() if name not in without}
        return {name: _filled(self.name if name == "id" else name, each, choose, without) for name, each in given.items()}


def roots(*kinds: str) -> list[Root]:
    types = {"query": schema._schema.query_type, "mutation": schema._schema.mutation_type, "subscription": schema._schema.subscription_type}
    return [Root(kind, name, field) for kind in kinds for name, field in getattr(types[kind], "fields", {}).items()]


def _filled(name: str, type_: GraphQLInputType, choose: Choose, without: Collection[str]) -> Any:
    kind = get_nullable_type(type_)
    if is_list_type(kind):
        return [_filled(name, kind.of_type, choose, without)]
    if is_input_object_type(kind):
        fields = {inner: field.type for inner, field in kind.fields.items() if inner not in without}
        return {inner: _filled(inner, each, choose, without) for inner, each in fields.items()}
    return next(iter(kind.values)) if isinstance(kind, GraphQLEnumType) else choose(name, get_named_type(kind).name)


def _leaf_types(field: GraphQLField) -> Iterator[str]:
    for argument in field.args.values():
        kind = get_named_type(argument.type)
        inner = [each.type for each in kind.fields.values()] if is_input_object_type(kind) else [kind]
        yield from (get_named_type(each).name for each in inner)


def _selection(type_: Any, depth: int) -> str:
    kind = get_named_type(type_)
    if is_union_type(kind):
        members = [member for member in kind.types if not member.name.endswith("Error")]
        return (
            "{ __typename ... on Error { message } " + " ".join(f"... on {each.name} {_selection(each, depth)}" for each in members) + " }"
        )
    if not is_object_type(kind):
        return ""
    plain = {name: field.type for name, field in kind.fields.items() if not field.args}
    leaves = [name for name, each in plain.items() if is_leaf_type(get_named_type(each))]
    deeper = [f"{name} {_selection(each, depth - 1)}" for name, each in plain.items() if depth > 1 and name not in leaves]
    return "{ __typename " + " ".join(leaves + deeper) + " }"
