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
from graphql.execution.values import VariableValues

from api.graphql.plans.alone import FieldAlone
from api.graphql.plans.collecting import Collector
from api.graphql.plans.plan import Query
from api.graphql.plans.reading import Run

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
    _field: FieldAlone

    @classmethod
    def of(cls, query: Query, collector: Collector) -> "Change":
        """Raises Unplannable."""
        return cls(query, FieldAlone.of(query, collector, query.schema.mutation_type))

    async def run(self, context: Any, variables: VariableValues, given: Mapping[str, Any]) -> dict[str, Any] | ExecutionResult:
        """The data of the answer; where the plan did not write it, what graphql-core makes of the outcome.

        Whatever it raises was raised before the resolver was called, and graphql-core is to execute the mutation instead. Only a
        cancellation comes later.
        """
        run = Run(self.query.schema, self.query.operation, context, variables)
        outcome = await _called_once(self._field.begin(run))
        if outcome.error is None:
            try:
                return await self._field.written(run, outcome.value)
            # Whatever it was, graphql-core meets it too, and says it in the words that clients know.
            except Exception as error:
                logger.debug("plan given up", extra={"because": type(error).__name__})
        return await self._executed(context, given, outcome)

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
