"""A subscription as a plan: what is answered to one event, which the stream of its resolver begins with.

Where anything goes wrong, graphql-core is to execute all of it, with a stream of its own: to tell of an event changes nothing.
"""

from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from graphql.execution.values import VariableValues

from api.graphql.plans.alone import FieldAlone
from api.graphql.plans.collecting import Collector
from api.graphql.plans.plan import Query
from api.graphql.plans.reading import Run


@dataclass(frozen=True, slots=True)
class Telling:
    query: Query
    _field: FieldAlone

    @classmethod
    def of(cls, query: Query, collector: Collector) -> "Telling":
        """Raises Unplannable."""
        return cls(query, FieldAlone.of(query, collector, query.schema.subscription_type))

    async def run(self, context: Any, variables: VariableValues) -> dict[str, Any]:
        """The data of the answer to the first event. Whatever it raises, graphql-core is to execute the subscription instead."""
        run = Run(self.query.schema, self.query.operation, context, variables)
        async with aclosing(await self._field.begin(run)()) as events:
            return await self._field.written(run, await anext(events))
