"""Objects that are rows of a statement, and are never made: their fields are answered from the columns, one column at a time.

What a resolver hands out may be `Records` where it is told which columns are asked (`columns_asked`); a resolver says with
`metadata=lists_records("nodes")` that it wants to be told. How a field of the objects is answered is in its metadata too:

- `in_column`: from one column
- `beside`: an object of its own, whose columns stand in the same row under a prefix
- `found_by`: what is found by a key in a column, once for each distinct key

Where any field is asked that has none of these, no columns are told, and the resolver hands out objects.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
AnswerAll = Callable[[Sequence[Any]], Sequence[Any]]
# Of a key and the context of the request.
Find = Callable[[Any, Any], Any]
MakeOfFound = Callable[[Any, Any], Any]


class Collects(Protocol):
    """What tells the fields of a selection."""

    def fields(self, type: GraphQLObjectType, selections: Sequence[SelectionSetNode]) -> Mapping[str, Sequence[FieldNode]]: ...


@dataclass(frozen=True, slots=True)
class Records:
    """Rows, column by column. Those of an object that stands beside have names that begin with `prefix`."""

    columns: Mapping[str, Sequence[Any]]
    length: int
    prefix: str = ""

    @classmethod
    def of(cls, rows: Sequence[Any]) -> "Records":
        """Of rows as a driver gives them: values in the order of `keys()`."""
        return cls(dict(zip(rows[0].keys(), zip(*rows, strict=True), strict=True)) if rows else {}, len(rows))

    def column(self, name: str) -> Sequence[Any]:
        """Its values. Raises Unplanned where it was not read."""
        found = self.columns.get(self.prefix + name)
        if found is None and self.length:
            raise Unplanned
        return found or ()

    def beside(self, prefix: str) -> "Records":
        return Records(self.columns, self.length, self.prefix + prefix + _BETWEEN)

    @classmethod
    def joined(cls, several: Sequence["Records"]) -> "Records":
        """The rows of all, one after the other."""
        if len(several) == 1:
            return several[0]
        some = [records for records in several if records.length]
        names = some[0].columns if some else ()
        columns = {name: [value for records in some for value in records.columns[name]] for name in names}
        return cls(columns, sum(records.length for records in some), several[0].prefix)


@dataclass(frozen=True, slots=True)
class InColumn:
    """`answers` makes what is answered of values of which none is null; without it, they are answered as they are."""

    column: str
    answers: AnswerAll | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    prefix: str


@dataclass(frozen=True, slots=True)
class FoundBy:
    """`key_of` tells the key of an object. `find` finds what it names, at once, and `make` makes an object of the key and of that."""

    column: str
    key_of: Make
    find: Find
    make: MakeOfFound


How = InColumn | Beside | FoundBy


def in_column(column: str, answer: Make | None = None, *, answers: AnswerAll | None = None) -> Mapping[Any, Any]:
    """The metadata of a field that is answered from a column.

    `answer` makes what is answered of a value that is not null; `answers` of all of them at once.
    """
    return {_HOW: InColumn(column, answers if answer is None else partial(_each, answer))}


def beside(prefix: str) -> Mapping[Any, Any]:
    """The metadata of a field that is an object whose columns stand in the same row."""
    return {_HOW: Beside(prefix)}


def found_by(column: str, find: Find, make: MakeOfFound, *, key_of: Make) -> Mapping[Any, Any]:
    """The metadata of a field that is found by a key: a column's value; of an object, by `key_of`.

    As long as `find` gives the very same, `make` is not called again where its object's fields depend on nothing else.
    """
    return {_HOW: FoundBy(column, key_of, find, make)}


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


def _each(answer: Make, values: Sequence[Any]) -> list[Any]:
    return list(map(answer, values))


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
