"""Objects that are rows of a statement, and are never made: their fields are answered from the columns, one column at a time.

What a resolver hands out may be `Records` where it is told which columns are asked (`columns_asked`); a resolver says with
`metadata=lists_records("nodes")` that it wants to be told. How a field of the objects is answered is in its metadata too:

- `in_column`: from one column
- `beside`: an object of its own, whose columns stand in the same row under a prefix
- `found_by`: what is found by a key in a column, once for each distinct key

Where any field is asked that has none of these, no columns are told, and the resolver hands out objects.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphql import FieldNode, GraphQLField, GraphQLObjectType, GraphQLResolveInfo, SelectionSetNode, get_named_type, is_object_type
from strawberry.types.field import StrawberryField
from strawberry.types.info import Info

from api.graphql.plans.described import described_by
from api.graphql.plans.errors import Unplanned

_HOW = "records"
_LISTED = "lists_records"
# Between the prefix of an object that stands beside, and the name of its column.
_BETWEEN = "__"

Make = Callable[[Any], Any]
FindAll = Callable[[Sequence[Any], Info[Any, Any]], Awaitable[Sequence[Any]]]


class Collects(Protocol):
    """What tells the fields of a selection."""

    def fields(self, type: GraphQLObjectType, selections: Sequence[SelectionSetNode]) -> Mapping[str, Sequence[FieldNode]]: ...


@dataclass(frozen=True, slots=True)
class Records:
    """Rows that are read by the names of their columns. Those of an object that stands beside have names that begin with `prefix`."""

    rows: Sequence[Any]
    prefix: str = ""

    def column(self, name: str) -> list[Any]:
        """Its values. Raises Unplanned where it was not read."""
        whole = self.prefix + name
        try:
            return [row[whole] for row in self.rows]
        except (KeyError, IndexError):
            raise Unplanned from None

    def beside(self, prefix: str) -> "Records":
        return Records(self.rows, self.prefix + prefix + _BETWEEN)

    @classmethod
    def joined(cls, several: Sequence["Records"]) -> "Records":
        """The rows of all, one after the other."""
        return several[0] if len(several) == 1 else cls([row for records in several for row in records.rows], several[0].prefix)


@dataclass(frozen=True, slots=True)
class InColumn:
    """`answer` makes what is answered of a value that is not null; without it, it is answered as it is."""

    column: str
    answer: Make | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    prefix: str


@dataclass(frozen=True, slots=True)
class FoundBy:
    """`key` makes the key of a column's value, or of an object; `find` finds what belongs to each of some distinct keys."""

    column: str
    key: Make
    key_of: Make
    find: FindAll


How = InColumn | Beside | FoundBy


def in_column(column: str, answer: Make | None = None) -> Mapping[Any, Any]:
    """The metadata of a field that is answered from a column. `answer`: what makes an answer of a value that is not null."""
    return {_HOW: InColumn(column, answer)}


def beside(prefix: str) -> Mapping[Any, Any]:
    """The metadata of a field that is an object whose columns stand in the same row."""
    return {_HOW: Beside(prefix)}


def found_by(column: str, find: FindAll, *, key_of: Make, key: Make = lambda value: value) -> Mapping[Any, Any]:
    """The metadata of a field that is found by a key: made of a column's value by `key`, or of an object by `key_of`."""
    return {_HOW: FoundBy(column, key, key_of, find)}


def lists_records(field: str) -> Mapping[Any, Any]:
    """The metadata of a field that may hand out `Records` in this field of what it answers; "": as what it answers."""
    return {_LISTED: field}


class InfoWithColumns(GraphQLResolveInfo[Any]):
    """What a resolver is given, with the columns that are asked."""

    columns: frozenset[str] | None = None


def columns_asked(info: Info[Any, Any]) -> frozenset[str] | None:
    """The columns that `Records` must have; None where objects are wanted."""
    raw = info._raw_info
    return raw.columns if isinstance(raw, InfoWithColumns) else None


def how(field: GraphQLField) -> How | None:
    """How a field is answered from rows; None where it is not."""
    described = described_by(field)
    found: How | None = described.metadata.get(_HOW) if isinstance(described, StrawberryField) else None
    return found


def columns_of_field(
    field: GraphQLField, answered: GraphQLObjectType, selections: Sequence[SelectionSetNode], collector: Collects
) -> frozenset[str] | None:
    """The columns that a resolver is told of."""
    described = described_by(field)
    place = described.metadata.get(_LISTED) if isinstance(described, StrawberryField) else None
    if place is None:
        return None
    if not place:
        return _columns(answered, selections, collector, "")
    found = frozenset[str]()
    for nodes in collector.fields(answered, selections).values():
        if nodes[0].name.value == place:
            below = get_named_type(answered.fields[place].type)
            columns = _columns(below, _below(nodes), collector, "") if is_object_type(below) else None
            if columns is None:
                return None
            found |= columns
    return found


def _columns(type: GraphQLObjectType, selections: Sequence[SelectionSetNode], collector: Collects, prefix: str) -> frozenset[str] | None:
    """All columns that the fields of a selection are answered from; None where there is one that is not."""
    found: set[str] = set()
    for nodes in collector.fields(type, selections).values():
        name = nodes[0].name.value
        if name == "__typename":
            continue
        definition = type.fields[name]
        match how(definition):
            case InColumn(column=column) | FoundBy(column=column):
                found.add(prefix + column)
            case Beside(prefix=inner):
                below = get_named_type(definition.type)
                assert is_object_type(below)
                columns = _columns(below, _below(nodes), collector, prefix + inner + _BETWEEN)
                if columns is None:
                    return None
                found |= columns
            case None:
                return None
    return frozenset(found)


def _below(nodes: Sequence[FieldNode]) -> list[SelectionSetNode]:
    return [node.selection_set for node in nodes if node.selection_set is not None]
