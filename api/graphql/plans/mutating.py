"""A mutation as a plan: its resolver is called once, whatever comes of it.

What a query's plan does not manage, graphql-core executes from the beginning. Of a mutation that holds until its resolver is called. From
then on there is an outcome, a value or an error, and where the plan cannot write it, graphql-core is handed the outcome and writes it.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import DocumentNode, ExecutionResult, GraphQLError, GraphQLResolveInfo, execute
from graphql.execution.values import VariableValues, get_argument_values
from strawberry.types.field import StrawberryField

from api.graphql.plans.collecting import Collector
from api.graphql.plans.described import described_by
from api.graphql.plans.errors import Unplannable, Unplanned
from api.graphql.plans.plan import Query, selection
from api.graphql.plans.reading import PlannedField, Run
from api.graphql.plans.writing import Write, writer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a resolver gave or raised."""

    value: Any = None
    error: Exception | None = None

    def given(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True, slots=True)
class Change:
    """A mutation with one field. Of several, each may depend on the one before: those are graphql-core's."""

    query: Query
    _key: str
    _field: PlannedField
    _write: Write

    @classmethod
    def of(cls, query: Query, collector: Collector) -> "Change":
        """Raises Unplannable."""
        root = query.schema.mutation_type
        if root is None:
            raise Unplannable
        fields = collector.fields(root, (query.operation.selection_set,))
        [(key, nodes), *others] = fields.items() or [("", [])]
        definition = root.fields.get(nodes[0].name.value) if nodes and not others else None
        described = None if definition is None else described_by(definition)
        if definition is None or not isinstance(described, StrawberryField) or described.extensions or not described.is_async:
            raise Unplannable
        selections = [node.selection_set for node in nodes if node.selection_set is not None]
        write = writer(definition.type, lambda below: selection(collector, below, selections))
        return cls(query, key, PlannedField(root, definition, tuple(nodes)), write)

    async def run(self, context: Any, variables: VariableValues, given: Mapping[str, Any]) -> dict[str, Any] | ExecutionResult:
        """The data of the answer; where the plan did not write it, what graphql-core makes of the outcome.

        Whatever it raises was raised before the resolver was called, and graphql-core is to execute the mutation instead. Only a
        cancellation comes later.
        """
        run = Run(self.query.schema, self.query.operation, context, variables)
        outcome = await _called_once(self._begin(run))
        if outcome.error is None:
            try:
                return {self._key: (await self._write.values(run, [outcome.value]))[0]}
            # Whatever it was, graphql-core meets it too, and says it in the words that clients know.
            except Exception as error:
                logger.debug("plan given up", extra={"because": type(error).__name__})
        return await self._executed(context, given, outcome)

    def _begin(self, run: Run) -> Callable[[], Any]:
        """All that comes before the call."""
        definition = self._field.definition
        resolve, info = definition.resolve, run.info(self._field)
        arguments = get_argument_values(definition, self._field.nodes[0], run.variables)
        if resolve is None:
            raise Unplanned
        return lambda: resolve(None, info, **arguments)

    async def _executed(self, context: Any, given: Mapping[str, Any], outcome: _Outcome) -> ExecutionResult:
        def hand_over(resolve: Any, source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
            is_root = info.path.prev is None
            return outcome.given() if is_root else resolve(source, info, **arguments)

        document = DocumentNode(definitions=(self.query.operation, *self.query.fragments.values()))
        try:
            found = execute(self.query.schema, document, None, context, dict(given), middleware=[hand_over])
            return await found if inspect.isawaitable(found) else found
        # Whoever sees this raised would have the mutation executed, and that was done.
        except Exception as error:
            return ExecutionResult(None, [GraphQLError(str(error), original_error=error)])


async def _called_once(call: Callable[[], Any]) -> _Outcome:
    try:
        return _Outcome(value=await call())
    except Exception as error:
        return _Outcome(error=error)
