"""The field of an operation that has only one: its resolver is called with what the operation says, and its value is written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLObjectType
from graphql.execution.values import get_argument_values
from strawberry.types.field import StrawberryField

from api.graphql.plans.collecting import Collector
from api.graphql.plans.described import described_by
from api.graphql.plans.errors import Unplannable, Unplanned
from api.graphql.plans.plan import Query, selection
from api.graphql.plans.reading import PlannedField, Run
from api.graphql.plans.writing import Write, writer


@dataclass(frozen=True, slots=True)
class FieldAlone:
    _key: str
    _field: PlannedField
    _write: Write

    @classmethod
    def of(cls, query: Query, collector: Collector, root: GraphQLObjectType | None) -> "FieldAlone":
        """Of a field whose resolver is to be waited for. Raises Unplannable."""
        fields = {} if root is None else collector.fields(root, (query.operation.selection_set,))
        [(key, nodes), *others] = fields.items() or [("", [])]
        definition = root.fields.get(nodes[0].name.value) if root is not None and nodes and not others else None
        described = None if definition is None else described_by(definition)
        if (
            root is None
            or definition is None
            or not isinstance(described, StrawberryField)
            or described.extensions
            or not described.is_async
        ):
            raise Unplannable
        selections = [node.selection_set for node in nodes if node.selection_set is not None]
        write = writer(definition.type, lambda below: selection(collector, below, selections))
        return cls(key, PlannedField(root, definition, tuple(nodes)), write)

    def begin(self, run: Run) -> Callable[[], Any]:
        """All that comes before the call."""
        definition = self._field.definition
        call = definition.subscribe or definition.resolve
        arguments = get_argument_values(definition, self._field.nodes[0], run.variables)
        if call is None:
            raise Unplanned
        info = run.info(self._field)
        return lambda: call(None, info, **arguments)

    async def written(self, run: Run, value: Any) -> dict[str, Any]:
        """The data of the answer."""
        return {self._key: (await self._write.values(run, [value]))[0]}
