"""A query as a plan, and its run."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    Visitor,
    get_named_type,
    is_object_type,
    visit,
)
from graphql.execution.values import VariableValues

from api.graphql.plans.collecting import Collector
from api.graphql.plans.errors import Unplannable, Unplanned
from api.graphql.plans.given import Variables
from api.graphql.plans.keyed import by_key, cells, from_records
from api.graphql.plans.reading import PlannedField, Run, reader, together
from api.graphql.plans.records import Records, columns_of_field
from api.graphql.plans.straight import together_of
from api.graphql.plans.writing import Write, writer


@dataclass(frozen=True, slots=True)
class Query:
    """The one operation of a document that is meant."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Variables
    # Those of them upon which it depends which fields there are.
    deciding: tuple[str, ...]

    @classmethod
    def of(cls, schema: GraphQLSchema, document: DocumentNode, operation_name: str | None) -> "Query":
        """Raises Unplannable."""
        operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
        meant = [each for each in operations if operation_name is None or (each.name and each.name.value == operation_name)]
        if len(meant) != 1 or meant[0].directives:
            raise Unplannable
        fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
        variables = Variables(schema, meant[0].variable_definitions or ())
        return cls(schema, meant[0], fragments, variables, _deciding(document, meant[0]))

    def flags(self, variables: VariableValues) -> tuple[bool, ...]:
        """The values of the variables that decide which fields there are. Raises Unplanned."""
        found = [variables.coerced.get(name) for name in self.deciding]
        flags = tuple(flag for flag in found if isinstance(flag, bool))
        if len(flags) < len(found):
            raise Unplanned
        return flags

    @property
    def kind(self) -> OperationType:
        return self.operation.operation

    def collector(self, flags: tuple[bool, ...]) -> Collector:
        return Collector(self.schema, self.fragments, dict(zip(self.deciding, flags, strict=True)))

    def plan(self, flags: tuple[bool, ...]) -> "Plan":
        """That of a query. Raises Unplannable."""
        collector, root = self.collector(flags), self.schema.query_type
        if root is None:
            raise Unplannable
        return Plan(self, selection(collector, root, (self.operation.selection_set,)))


@dataclass(frozen=True, slots=True)
class Plan:
    query: Query
    _write: Write

    async def run(self, context: Any, variables: VariableValues) -> dict[str, Any]:
        """The data of the answer. Whatever it raises, graphql-core is to execute the query instead."""
        run = Run(self.query.schema, self.query.operation, context, variables)
        data: dict[str, Any] = (await self._write.values(run, [None]))[0]
        return data


@dataclass(frozen=True, slots=True)
class _Column:
    """One field of many objects."""

    key: str
    values: Callable[[Run, Sequence[Any] | Records], Awaitable[Sequence[Any]]]
    # Whether anything is waited for: of objects, and of records.
    waits: bool
    waits_of_records: bool = False
    is_pure: bool = False
    # What reads it of records at once, where that is all there is to do.
    at_once: Callable[[Records], Sequence[Any]] | None = None


def selection(collector: Collector, type: GraphQLObjectType, selections: Sequence[SelectionSetNode]) -> Write:
    """What writes objects of this type with the fields that are selected."""
    columns = [_column(collector, type, key, nodes) for key, nodes in collector.fields(type, selections).items()]
    # Where every field is skipped, there is nothing to be put together.
    put_together = together_of([column.key for column in columns]) if columns else None
    waiting = [(column, column.waits) for column in columns]
    waiting_of_records = [(column, column.waits_of_records) for column in columns]

    async def write(run: Run, objects: Sequence[Any] | Records) -> list[Any]:
        wait = waiting_of_records if isinstance(objects, Records) else waiting
        # Together, as graphql-core does: so that those who load for many see all that is wanted.
        waited = iter(await together([column.values(run, objects) for column, waits in wait if waits]))
        written: list[Sequence[Any]] = []
        for column, waits in wait:
            if waits:
                written.append(next(waited))
            elif column.at_once is not None and isinstance(objects, Records):
                written.append(column.at_once(objects))
            else:
                written.append(await column.values(run, objects))
        if put_together is None:
            return [{} for _ in range(objects.length if isinstance(objects, Records) else len(objects))]
        return put_together(written)

    return Write(write, waits=any(column.waits for column in columns), is_pure=all(column.is_pure for column in columns))


def _column(collector: Collector, type: GraphQLObjectType, key: str, nodes: Sequence[FieldNode]) -> _Column:
    name = nodes[0].name.value
    if name == "__typename":
        return _Column(key, _always(type.name), waits=False, is_pure=True)
    definition = type.fields.get(name)
    if definition is None:
        raise Unplannable
    selections = [node.selection_set for node in nodes if node.selection_set is not None]
    write = writer(definition.type, lambda below: selection(collector, below, selections))
    answered = get_named_type(definition.type)
    columns = columns_of_field(definition, answered, selections, collector) if is_object_type(answered) else None
    field = PlannedField(type, definition, tuple(nodes), columns)
    if (keyed := by_key(field, write)) is not None:
        return _Column(key, keyed, write.waits, waits_of_records=write.waits)
    read, of_records = reader(field), from_records(field, write)

    async def values(run: Run, objects: Sequence[Any] | Records) -> Sequence[Any]:
        if isinstance(objects, Records):
            return await of_records(run, objects)
        return await write.values(run, await read.values(run, objects))

    return _Column(key, values, read.waits or write.waits, is_pure=read.is_pure and write.is_pure, at_once=cells(field))


def _always(value: str) -> Callable[[Run, Sequence[Any] | Records], Awaitable[list[Any]]]:
    async def values(_: Run, objects: Sequence[Any] | Records) -> list[Any]:
        return [value] * (objects.length if isinstance(objects, Records) else len(objects))

    return values


def _deciding(document: DocumentNode, operation: OperationDefinitionNode) -> tuple[str, ...]:
    """The names of the operation's variables that `@skip` and `@include` ask, anywhere in the document."""
    found: set[str] = set()

    class Finding(Visitor):
        def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
            found.update(each.value.name.value for each in node.arguments or () if isinstance(each.value, VariableNode))

    visit(document, Finding())
    declared = {each.variable.name.value for each in operation.variable_definitions or ()}
    return tuple(sorted(found & declared))
