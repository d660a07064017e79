"""The plans that were made, and what puts one into the place of the execution."""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from graphql import DocumentNode, ExecutionResult, GraphQLSchema, OperationType
from graphql.execution.values import VariableValues
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext

from api.graphql.plans.errors import Unplannable
from api.graphql.plans.mutating import Change
from api.graphql.plans.plan import Plan, Query
from api.graphql.plans.telling import Telling

logger = logging.getLogger(__name__)

# Documents of clients are few and short; what is longer, or seen only once, must not fill the memory.
KEPT_DOCUMENTS = 256
LONGEST_KEPT = 8_000


Found = TypeVar("Found")
_Kinds = Plan | Change | Telling


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks for."""

    schema: GraphQLSchema
    text: str
    variables: Mapping[str, Any]
    operation_name: str | None


class Plans:
    """The plans that were made, by schema, document, operation and what decides which fields there are; those used last are kept."""

    def __init__(self, kept: int = KEPT_DOCUMENTS) -> None:
        self._kept = kept
        self._queries: OrderedDict[Any, Query | None] = OrderedDict()
        self._plans: OrderedDict[Any, _Kinds | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._plans)

    async def run(self, asked: Asked, document: DocumentNode, context: Any) -> dict[str, Any] | ExecutionResult | None:
        """The data of the answer; None where there is no plan. Whatever it raises, graphql-core is to execute the operation instead.

        `document`: what was asked, parsed and valid. A mutation whose resolver was called is never executed instead: then there is a
        result, with errors maybe.
        """
        match self._find(asked, document):
            case Change() as plan, variables:
                return await plan.run(context, variables, asked.variables)
            case Plan() as plan, variables:
                return await plan.run(context, variables)
        # A subscription has a stream.
        return None

    async def tell(self, asked: Asked, document: DocumentNode, context: Any) -> dict[str, Any] | None:
        """As `run`, of what a subscription answers to the first of its events."""
        match self._find(asked, document):
            case Telling() as plan, variables:
                return await plan.run(context, variables)
        return None

    def _find(self, asked: Asked, document: DocumentNode) -> tuple[_Kinds, VariableValues] | None:
        """The plan, if there is one, with what it is to be run with. Raises Unplanned."""
        key = (asked.schema, asked.text, asked.operation_name)
        query = self._query(key, document)
        if query is None:
            return None
        variables = query.variables.values(asked.variables)
        plan = self._plan((*key, flags := query.flags(variables)), query, flags)
        return None if plan is None else (plan, variables)

    def _query(self, key: tuple[GraphQLSchema, str, str | None], document: DocumentNode) -> Query | None:
        if key not in self._queries:
            schema, _, operation_name = key
            try:
                made = Query.of(schema, document, operation_name)
            except Unplannable:
                made = None
            _keep(self._queries, key, made, self._kept)
        self._queries.move_to_end(key)
        return self._queries[key]

    def _plan(self, key: Any, query: Query, flags: tuple[bool, ...]) -> _Kinds | None:
        if key not in self._plans:
            try:
                made = _made(query, flags)
            except Unplannable:
                made = None
            _keep(self._plans, key, made, self._kept)
        self._plans.move_to_end(key)
        return self._plans[key]


def _made(query: Query, flags: tuple[bool, ...]) -> _Kinds:
    """Raises Unplannable."""
    match query.kind:
        case OperationType.QUERY:
            return query.plan(flags)
        case OperationType.MUTATION:
            return Change.of(query, query.collector(flags))
        case OperationType.SUBSCRIPTION:
            return Telling.of(query, query.collector(flags))


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)


_PLANS = Plans()


class CompiledPlans(SchemaExtension):
    """Answers an operation by its plan. To stand last: what limits an execution limits this too.

    A context that says `plan_given_up` comes with a query that a plan was tried for already.
    """

    plans = _PLANS

    async def on_execute(self) -> AsyncIterator[None]:
        context = self.execution_context
        if context.query is not None and len(context.query) <= LONGEST_KEPT and not context.result and not _is_given_up(context):
            assert context.graphql_document is not None
            asked = Asked(context.schema._schema, context.query, context.variables or {}, context._provided_operation_name)
            context.result = await answered(self.plans, asked, context.graphql_document, context.context)
        yield


async def answered(plans: Plans, asked: Asked, document: DocumentNode, context: Any) -> ExecutionResult | None:
    """The answer; None where graphql-core is to execute the operation, because there is no plan or its run was given up."""
    found = await _attempted(plans.run(asked, document, context))
    return ExecutionResult(found, None) if isinstance(found, dict) else found


async def told(plans: Plans, asked: Asked, document: DocumentNode, context: Any) -> dict[str, Any] | None:
    """As `answered`, the data of what a subscription answers to the first of its events."""
    return await _attempted(plans.tell(asked, document, context))


async def _attempted(running: Awaitable[Found]) -> Found | None:
    try:
        return await running
    # Whatever it was, graphql-core meets it too, and says it in the words that clients know.
    except Exception as error:
        logger.debug("plan given up", extra={"because": type(error).__name__})
        return None


def _is_given_up(context: ExecutionContext) -> bool:
    return getattr(context.context, "plan_given_up", False)
