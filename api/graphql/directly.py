"""Operations that are asked for again and again, answered directly by their plans.

An execution sets up a good deal for every request, of which one with a plan needs nothing but its limits: those of the document, and
that of time. What is not answered here is executed as ever, and then refused where it is to be refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from graphql import DocumentNode, FieldNode, GraphQLError, GraphQLSchema, VariableNode, Visitor, visit
from strawberry.types import ExecutionResult

from api.graphql.context import Context
from api.graphql.execution import EXECUTION_SECONDS, PatchbaySchema, mistakes, parsed
from api.graphql.limits import check_limits
from api.graphql.plans.extension import KEPT_DOCUMENTS, LONGEST_KEPT, Asked, CompiledPlans, answered
from api.graphql.refusals import TookTooLong
from api.graphql.waiting import within

# Page lengths that a document was found to be within the limits with.
_KEPT_LENGTHS = 16


@dataclass(frozen=True, slots=True)
class Valid:
    """A document without mistakes. `weighing`: the variables upon which it depends how much it asks for."""

    document: DocumentNode
    weighing: tuple[str, ...]
    _light: set[tuple[Any, ...]] = field(default_factory=set)

    def check_limits(self, schema: GraphQLSchema, variables: Mapping[str, Any]) -> None:
        """Raises Refusal where it asks for too much."""
        lengths = tuple((name in variables, variables.get(name)) for name in self.weighing)
        # What else a variable may be need not be hashable, and is refused by its type.
        known = all(isinstance(value, int | None) for _, value in lengths)
        if known and lengths in self._light:
            return
        check_limits(schema, self.document, variables)
        if known and len(self._light) < _KEPT_LENGTHS:
            self._light.add(lengths)


class Directly:
    """Answers what has a plan, by the plans of `CompiledPlans`."""

    def __init__(self, schema: PatchbaySchema, *, seconds: float = EXECUTION_SECONDS) -> None:
        self._schema = schema
        self._seconds = seconds

    async def answer(self, text: str, variables: Mapping[str, Any], operation_name: str | None, context: Context) -> ExecutionResult | None:
        """What is answered; None where it is to be executed."""
        schema = self._schema._schema
        try:
            valid = _valid(schema, text) if len(text) <= LONGEST_KEPT else None
            if valid is None:
                return None
            valid.check_limits(schema, variables)
        except GraphQLError:
            return None
        asked = Asked(schema, text, variables, operation_name)
        try:
            found = await within(self._seconds, answered(CompiledPlans.plans, asked, valid.document, context))
        except TimeoutError:
            return self._stopped()
        context.plan_given_up = found is None
        return None if found is None else self._told(found.data, found.errors)

    def _stopped(self) -> ExecutionResult:
        stopped = TookTooLong(self._seconds)
        return self._told(None, [GraphQLError(str(stopped), original_error=stopped)])

    def _told(self, data: Any, errors: list[GraphQLError] | None) -> ExecutionResult:
        if errors:
            self._schema.process_errors(errors)
        return ExecutionResult(data, errors)


@lru_cache(KEPT_DOCUMENTS)
def _valid(schema: GraphQLSchema, text: str) -> Valid | None:
    """The document, where there is no mistake in it. Raises GraphQLError."""
    document = parsed(text)
    # A document that asks for far too much is not even looked at for mistakes.
    check_limits(schema, document, {})
    return None if mistakes(schema, text) else Valid(document, _weighing(document))


def _weighing(document: DocumentNode) -> tuple[str, ...]:
    """The names of all variables that are the length of a page somewhere."""
    found: set[str] = set()

    class Finding(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            lengths = [each.value for each in node.arguments or () if each.name.value == "first"]
            found.update(each.name.value for each in lengths if isinstance(each, VariableNode))

    visit(document, Finding())
    return tuple(sorted(found))
