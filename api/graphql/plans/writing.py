"""The values of a type, as what is answered: many at once."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeGuard

from graphql import (
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    Undefined,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_union_type,
)
from graphql import is_object_type as is_object
from strawberry.types.base import StrawberryObjectDefinition

from api.graphql.plans.described import described_by
from api.graphql.plans.errors import Unplannable, Unplanned
from api.graphql.plans.reading import Run
from api.graphql.plans.records import Records


@dataclass(frozen=True, slots=True)
class Write:
    """What writes many values of a type.

    `waits`: whether anything is waited for. `is_pure`: whether what is written depends on nothing but the values.
    """

    values: Callable[[Run, Sequence[Any] | Records], Awaitable[list[Any]]]
    waits: bool = False
    is_pure: bool = False


# What is answered as it is.
_AS_IT_IS: dict[str, type] = {"String": str, "ID": str, "Int": int, "Boolean": bool}
_GREATEST_INT = 2**31 - 1


def writer(type: GraphQLOutputType, objects: Callable[[GraphQLObjectType], Write]) -> Write:
    """What writes the values of a type. `objects` plans those of an object's type. Raises Unplannable."""
    if is_non_null_type(type):
        return _required(_present(type.of_type, objects))
    return _optional(_present(type, objects))


def _present(type: GraphQLOutputType, objects: Callable[[GraphQLObjectType], Write]) -> Write:
    """What writes values of which none is null."""
    if is_list_type(type):
        return _lists(writer(type.of_type, objects))
    if is_object(type):
        return _objects(type, objects(type))
    if is_union_type(type):
        return _members({each: _present(each, objects) for each in type.types})
    if is_leaf_type(type):
        return _leaves(type)
    raise Unplannable


def _required(write: Write) -> Write:
    async def write_required(run: Run, values: Sequence[Any] | Records) -> list[Any]:
        if not isinstance(values, Records) and any(value is None for value in values):
            raise Unplanned
        return await write.values(run, values)

    return replace(write, values=write_required)


def _optional(write: Write) -> Write:
    async def write_optional(run: Run, values: Sequence[Any] | Records) -> list[Any]:
        if isinstance(values, Records):
            return await write.values(run, values)
        present = [value for value in values if value is not None]
        if not present:
            return [None] * len(values)
        written = await write.values(run, present)
        if len(present) == len(values):
            return written
        following = iter(written)
        return [None if value is None else next(following) for value in values]

    return replace(write, values=write_optional)


def _lists(write: Write) -> Write:
    async def write_lists(run: Run, values: Sequence[Any] | Records) -> list[Any]:
        if _are_records(values):
            written = iter(await write.values(run, Records.joined(values)))
            return [list(islice(written, value.length)) for value in values]
        if isinstance(values, Records) or not all(isinstance(value, list | tuple) for value in values):
            raise Unplanned
        written = iter(await write.values(run, [item for value in values for item in value]))
        return [list(islice(written, len(value))) for value in values]

    return replace(write, values=write_lists)


def _objects(type: GraphQLObjectType, write: Write) -> Write:
    origin = _class_of(type)

    async def write_objects(run: Run, values: Sequence[Any] | Records) -> list[Any]:
        if isinstance(values, Records):
            return await write.values(run, values)
        if _are_records(values):
            return await write.values(run, Records.joined(values))
        if not all(isinstance(value, origin) for value in values):
            raise Unplanned
        return await write.values(run, values)

    return replace(write, values=write_objects)


def _members(writes: Mapping[GraphQLObjectType, Write]) -> Write:
    """What writes values that are each of one of these types."""
    members = [(_class_of(type), write) for type, write in writes.items()]

    async def write_members(run: Run, values: Sequence[Any] | Records) -> list[Any]:
        if isinstance(values, Records):
            raise Unplanned
        written: dict[int, Any] = {}
        for origin, write in members:
            places = [place for place, value in enumerate(values) if value.__class__ is origin]
            if places:
                written |= zip(places, await write.values(run, [values[place] for place in places]), strict=True)
        if len(written) < len(values):
            raise Unplanned
        return [written[place] for place in range(len(values))]

    several = writes.values()
    return Write(write_members, waits=any(write.waits for write in several), is_pure=all(write.is_pure for write in several))


def _class_of(type: GraphQLObjectType) -> Any:
    """The class of the objects of this type. Raises Unplannable."""
    described = described_by(type)
    if not isinstance(described, StrawberryObjectDefinition):
        raise Unplannable
    # A generic type is made once for each of its arguments; the objects are of the one that was written down.
    return (described.concrete_of or described).origin


def _leaves(type: GraphQLLeafType) -> Write:
    plain, coerce = _AS_IT_IS.get(type.name), type.coerce_output_value

    async def write_leaves(_: Run, values: Sequence[Any] | Records) -> list[Any]:
        if isinstance(values, Records):
            raise Unplanned
        if plain is not None and all(value.__class__ is plain for value in values) and (plain is not int or _are_small(values)):
            return list(values)
        written = [coerce(value) for value in values]
        if any(each is None or each is Undefined for each in written):
            raise Unplanned
        return written

    return Write(write_leaves, is_pure=True)


def _are_records(values: Sequence[Any] | Records) -> TypeGuard[Sequence[Records]]:
    return not isinstance(values, Records) and bool(values) and all(isinstance(value, Records) for value in values)


def _are_small(values: Sequence[int]) -> bool:
    return all(-_GREATEST_INT <= value <= _GREATEST_INT for value in values)
