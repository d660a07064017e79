"""The values of one field for many objects of a type."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeGuard

from graphql import FieldNode, GraphQLField, GraphQLObjectType, GraphQLSchema, OperationDefinitionNode
from graphql.execution.values import VariableValues
from graphql.pyutils import Path
from graphql.type import GraphQLResolveInfoHelpers
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver
from strawberry.types.info import Info

from api.graphql.plans.described import described_by
from api.graphql.plans.errors import Unplannable, Unplanned
from api.graphql.plans.given import Arguments
from api.graphql.plans.records import InfoWithColumns

# The key in a field's metadata of what reads it for many objects at once.
_FOR_ALL = "for_all"

ReadAll = Callable[[Sequence[Any], Info[Any, Any]], Awaitable[list[Any]]]


@dataclass(slots=True)
class Run:
    """One run of a plan: what every resolver is given."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    context: Any
    variables: VariableValues

    def info(self, field: "PlannedField") -> InfoWithColumns:
        """As graphql-core makes it, but that it is the same for all objects, wherever in the answer they are."""
        info = InfoWithColumns(
            field_name=field.nodes[0].name.value,
            field_nodes=list(field.nodes),
            return_type=field.definition.type,
            parent_type=field.parent,
            path=Path(None, field.nodes[0].name.value, field.parent.name),
            schema=self.schema,
            fragments={},
            root_value=None,
            operation=self.operation,
            variable_values=self.variables,
            context=self.context,
            is_awaitable=_is_awaitable,
            abort_signal=None,
            async_helpers=_HELPERS,
        )
        info.columns = field.columns
        return info


@dataclass(frozen=True, slots=True)
class Read:
    """What reads a field of many objects.

    `waits`: whether anything is waited for. `is_pure`: whether what is read depends on nothing but the objects.
    """

    values: Callable[[Run, Sequence[Any]], Awaitable[Sequence[Any]]]
    waits: bool
    is_pure: bool = False


@dataclass(frozen=True, slots=True)
class PlannedField:
    parent: GraphQLObjectType
    definition: GraphQLField
    nodes: tuple[FieldNode, ...]
    # Those that a resolver is told of.
    columns: frozenset[str] | None = None


def _is_awaitable(value: Any) -> TypeGuard[Awaitable[Any]]:
    return inspect.isawaitable(value)


def _track(_: Sequence[Any]) -> None:
    """Nothing is left to be tracked: a plan waits for all that it begins."""


def for_all(read: ReadAll) -> Mapping[Any, Any]:
    """The metadata of a field that can be read for many objects at once: a value for each, in their order."""
    return {_FOR_ALL: read}


def reader(field: PlannedField) -> Read:
    """What reads a field. Raises Unplannable."""
    described = described_by(field.definition)
    if not isinstance(described, StrawberryField) or described.extensions:
        raise Unplannable
    if described.base_resolver is None:
        return _attribute(described.python_name)
    if (together := described.metadata.get(_FOR_ALL)) is not None:
        return _together(field, described, together)
    return _resolver(field, described)


def _attribute(name: str) -> Read:
    get = attrgetter(name)

    async def read(_: Run, objects: Sequence[Any]) -> Sequence[Any]:
        return list(map(get, objects))

    return Read(read, waits=False, is_pure=True)


def _together(field: PlannedField, described: StrawberryField, read_all: ReadAll) -> Read:
    async def read(run: Run, objects: Sequence[Any]) -> Sequence[Any]:
        return await read_all(objects, Info(_raw_info=run.info(field), _field=described))

    return Read(read, waits=True)


def _resolver(field: PlannedField, described: StrawberryField) -> Read:
    call = _Call(field, described)

    async def read(run: Run, objects: Sequence[Any]) -> Sequence[Any]:
        info = Info(_raw_info=run.info(field), _field=described)
        arguments = call.arguments.values(run.variables, info)
        values: list[Any] = []
        try:
            for each in objects:
                values.append(call.value(each, info, arguments))  # noqa: PERF401  what was begun must be known where one raises
        except BaseException:
            _close(values)
            raise
        waited = [inspect.isawaitable(value) for value in values]
        if not any(waited):
            return values
        if not all(waited):
            _close(values)
            raise Unplanned
        return await together(values)

    return Read(read, waits=described.is_async)


class _Call:
    """Calls a resolver as Strawberry does."""

    def __init__(self, field: PlannedField, described: StrawberryField) -> None:
        if described.base_resolver is None:
            raise Unplannable
        self._resolver: StrawberryResolver[Any] = described.base_resolver
        self.arguments = Arguments(field.definition, field.nodes[0], described)

    def value(self, source: Any, info: Info[Any, Any], arguments: Mapping[str, Any]) -> Any:
        """What the resolver hands out, or an awaitable of that. It asks for the object, and for `info`, by its parameters."""
        resolver = self._resolver
        more = {each.name: source for each in (resolver.parent_parameter, resolver.root_parameter) if each is not None}
        if resolver.info_parameter is not None:
            more[resolver.info_parameter.name] = info
        return resolver(source, **arguments, **more) if resolver.self_parameter else resolver(**arguments, **more)


def _close(values: Sequence[Any]) -> None:
    """Give up what was begun and is not waited for."""
    for value in values:
        if inspect.iscoroutine(value):
            value.close()


async def together(waited: Sequence[Awaitable[Any]]) -> list[Any]:
    """All of them at once, as graphql-core does: so that those who load for many see all that is wanted. Raises what any of them raises.

    Only once all are over: who is cancelled may take along what others wait for too.
    """
    if len(waited) < 2:
        return [await each for each in waited]
    found = await asyncio.gather(*waited, return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return found


_HELPERS = GraphQLResolveInfoHelpers(gather=together, track=_track)
