"""An operation's answers. Those to an event are made once for all whose answer is the same, whoever they are.

Each answer comes from a run of the whole operation whose events are that one event, so that nothing tells a shared answer from one's own:
limits, errors and resolvers are the same code. For whom it holds is what its resolvers asked about their viewer (`Facts`).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from graphql import DocumentNode, FieldNode, GraphQLError, OperationDefinitionNode, VariableNode, Visitor, parse, visit
from strawberry.schema import BaseSchema
from strawberry.types.execution import ExecutionResult
from strawberry.types.graphql import OperationType

from api.access import Actor
from api.events.audience import Delivery
from api.events.order import EventPosition, PlacedEvent
from api.events.seeing import Standing
from api.events.selection import EventSelection
from api.graphql.context import Context
from api.graphql.execution import PatchbaySchema, parsed
from api.graphql.limits import MAX_TOKENS
from api.graphql.plans.extension import KEPT_DOCUMENTS, LONGEST_KEPT, Asked, CompiledPlans, told
from api.graphql.refusals import was_executed
from api.graphql.viewer import Facts
from api.patchbay import Patchbay

_AFTER = "after"


@dataclass(frozen=True, slots=True)
class Answered:
    payload: bytes
    errors: list[GraphQLError]
    was_executed: bool
    facts: Facts

    @classmethod
    def of(cls, result: object, facts: Facts) -> "Answered":
        assert isinstance(result, ExecutionResult)
        payload: dict[str, Any] = {"data": result.data}
        if result.errors:
            payload["errors"] = [error.formatted for error in result.errors]
            # What went wrong for one may go right for the next.
            facts.personal = True
        if result.extensions:
            payload["extensions"] = result.extensions
        return cls(orjson.dumps(payload), result.errors or [], was_executed(result), facts)

    @property
    def is_personal(self) -> bool:
        return self.facts.personal

    @property
    def folder_ids(self) -> set[UUID]:
        return self.facts.folder_ids

    def is_for(self, viewer: Standing) -> bool:
        return self.facts.hold_for(viewer)


@dataclass(frozen=True, slots=True)
class Document:
    """What a client asks."""

    schema: BaseSchema
    text: str
    operation_name: str | None
    variables: Mapping[str, Any] | None
    kinds: Collection[OperationType]

    async def answers(self, context: Context) -> AsyncGenerator[Answered, None]:
        stream = await self.schema.stream(
            self.text,
            variable_values=None if self.variables is None else dict(self.variables),
            context_value=context,
            operation_name=self.operation_name,
            allowed_operation_types=self.kinds,
        )
        async with aclosing(stream):
            async for result in stream:
                yield Answered.of(result, context.viewer.facts)

    async def first_answer(self, context: Callable[[], Context]) -> Answered:
        """The first of the answers: by a plan where there is one. `context`: makes one for each way that is gone."""
        planned = context()
        if (data := await self._planned(planned)) is not None:
            return Answered.of(ExecutionResult(data, None), planned.viewer.facts)
        async with aclosing(self.answers(context())) as found:
            return await anext(found)

    async def _planned(self, context: Context) -> dict[str, Any] | None:
        """The data of the first answer; None where there is no plan, or it came to nothing."""
        schema = self.schema
        if not isinstance(schema, PatchbaySchema) or CompiledPlans not in schema.extensions or len(self.text) > LONGEST_KEPT:
            return None
        asked = Asked(schema._schema, self.text, self.variables or {}, self.operation_name)
        return await told(CompiledPlans.plans, asked, parsed(self.text), context)

    def key(self) -> bytes | None:
        """The same for those who ask the same, wherever in the log they begin; None where that cannot be told."""
        if len(self.text) > LONGEST_KEPT:
            return None
        begins = _beginnings(self.text)
        variables = {name: value for name, value in (self.variables or {}).items() if name not in begins}
        try:
            asked = orjson.dumps([self.text, self.operation_name, variables], option=orjson.OPT_SORT_KEYS)
        # It is JSON, but of a number or a character that few take.
        except TypeError:
            return None
        # Kept for as long as the operation lasts: what it was made of takes a hundred times the room.
        return sha256(asked).digest()


async def answers(
    document: Document, patchbay: Patchbay, actor: Actor, *, write: Callable[[bytes], bool] | None
) -> AsyncGenerator[Answered, None]:
    """All answers, but for those that go by `write` to somebody who keeps up: whether it took that."""
    wanted = _Wanted()
    async with aclosing(document.answers(Context(patchbay, actor, events=wanted))) as found:
        async for answer in found:
            yield answer
    if wanted.selection is None:
        return
    delivery = _delivery(document, patchbay, wanted.selection, write)
    try:
        async with aclosing(patchbay.feed.watch(actor, wanted.selection, after=wanted.after, delivery=delivery)) as events:
            async for shown in events:
                yield await _answer(document, patchbay, shown, shown.viewer)
    # Said as the operation says whatever its events end with.
    except Exception as error:
        async for answer in document.answers(Context(patchbay, actor, events=_Failing(error))):
            yield answer


def _delivery(document: Document, patchbay: Patchbay, selection: EventSelection, write: Callable[[bytes], bool] | None) -> Delivery | None:
    key = document.key()
    if key is None or write is None:
        return None

    async def answer(placed: PlacedEvent, actor: Actor) -> Answered:
        return await _answer(document, patchbay, placed, actor)

    return Delivery((document.schema, key, selection), answer, write)


async def _answer(document: Document, patchbay: Patchbay, placed: PlacedEvent, actor: Actor) -> Answered:
    """What this actor is answered to this event."""
    return await document.first_answer(lambda: Context(patchbay, actor, events=_Only(placed)))


class _Wanted:
    """No events: only which ones are wanted."""

    def __init__(self) -> None:
        self.selection: EventSelection | None = None
        self.after: EventPosition | None = None

    async def __call__(self, selection: EventSelection, after: EventPosition | None) -> AsyncIterator[PlacedEvent]:
        self.selection, self.after = selection, after
        return
        yield


@dataclass(frozen=True, slots=True)
class _Only:
    placed: PlacedEvent

    async def __call__(self, selection: EventSelection, after: EventPosition | None) -> AsyncIterator[PlacedEvent]:
        yield self.placed


@dataclass(frozen=True, slots=True)
class _Failing:
    error: Exception

    async def __call__(self, selection: EventSelection, after: EventPosition | None) -> AsyncIterator[PlacedEvent]:
        raise self.error
        yield


@lru_cache(KEPT_DOCUMENTS)
def _beginnings(text: str) -> frozenset[str]:
    """The variables that say where in the log to begin, and nothing else: they are all that clients of one kind differ in."""
    document = parse(text, max_tokens=MAX_TOKENS)
    uses = _Uses()
    visit(document, uses)
    return frozenset(name for name in _afters(document) if uses.counts.get(name) == 1)


def _afters(document: DocumentNode) -> list[str]:
    fields = [
        field
        for operation in document.definitions
        if isinstance(operation, OperationDefinitionNode)
        for field in operation.selection_set.selections
        if isinstance(field, FieldNode)
    ]
    arguments = [argument for field in fields for argument in field.arguments or ()]
    return [each.value.name.value for each in arguments if each.name.value == _AFTER and isinstance(each.value, VariableNode)]


class _Uses(Visitor):
    """How often each variable is used."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def enter_variable_definition(self, *_: object) -> Any:
        return self.SKIP

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.counts[node.name.value] = self.counts.get(node.name.value, 0) + 1
