"""How operations are executed: parsed and validated once, limited, and answered without a word of what went wrong inside."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

import strawberry
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    ValuesOfCorrectTypeRule,
    is_input_object_type,
    is_object_type,
    parse,
    specified_rules,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext

from api.graphql.coercion import LiteralsOfCorrectType
from api.graphql.limits import MAX_TOKENS, check_limits
from api.graphql.plans.extension import KEPT_DOCUMENTS, LONGEST_KEPT, CompiledPlans
from api.graphql.refusals import Code, Refusal, TookTooLong
from api.graphql.reporting import MOST_ERRORS, reported

_RULES = tuple(LiteralsOfCorrectType if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules)
EXECUTION_SECONDS = 10.0


class PatchbaySchema(strawberry.Schema):
    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        _drop_null_defaults(self._schema)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Put into the answer's place of errors what the client may know, and into the log what the operator needs."""
        errors[:] = reported(errors, self._schema, execution_context)


class Parsing(SchemaExtension):
    """Parses a document once, however often it is sent."""

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        context.parse_options = {"max_tokens": MAX_TOKENS}
        if context.query:
            # What cannot be parsed is parsed again after this, by whom its error is expected.
            with suppress(GraphQLError):
                context.graphql_document = parsed(context.query)
        yield


class Checking(SchemaExtension):
    """Refuses what is too much before it looks whether it is valid."""

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        assert context.query is not None
        assert context.graphql_document is not None
        try:
            _check_choice(context)
            check_limits(context.schema._schema, context.graphql_document, context.variables or {})
            context.pre_execution_errors = list(mistakes(context.schema._schema, context.query))
        except Refusal as refusal:
            context.pre_execution_errors = [refusal]
        yield


class TimeLimit(SchemaExtension):
    """Stops what goes on for too long. A subscription's stream is no execution: it lasts."""

    def __init__(self, seconds: float = EXECUTION_SECONDS) -> None:
        self._seconds = seconds

    async def on_execute(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise TookTooLong(self._seconds) from None


EXTENSIONS: list[type[SchemaExtension] | Callable[[], SchemaExtension]] = [Parsing, Checking, TimeLimit, CompiledPlans]


def _drop_null_defaults(schema: GraphQLSchema) -> None:
    """What is left out is null: that goes without saying, in the printed schema and in the playground."""
    kinds = [kind for kind in schema.type_map.values() if not kind.name.startswith("__")]
    arguments = [each for kind in kinds if is_object_type(kind) for field in kind.fields.values() for each in field.args.values()]
    fields = [each for kind in kinds if is_input_object_type(kind) for each in kind.fields.values()]
    for each in (*arguments, *fields):
        if each.default_value is None:
            each.default_value = Undefined


def parsed(text: str) -> DocumentNode:
    """The document; those that are not long are kept. Raises GraphQLError."""
    return _parsed_and_kept(text) if len(text) <= LONGEST_KEPT else parse(text, max_tokens=MAX_TOKENS)


@lru_cache(KEPT_DOCUMENTS)
def _parsed_and_kept(text: str) -> DocumentNode:
    return parse(text, max_tokens=MAX_TOKENS)


def mistakes(schema: GraphQLSchema, text: str) -> list[GraphQLError]:
    """What is not valid about a document; kept like the document."""
    return _mistakes_kept(schema, text) if len(text) <= LONGEST_KEPT else _validated(schema, text)


@lru_cache(KEPT_DOCUMENTS)
def _mistakes_kept(schema: GraphQLSchema, text: str) -> list[GraphQLError]:
    return _validated(schema, text)


def _validated(schema: GraphQLSchema, text: str) -> list[GraphQLError]:
    return validate(schema, parsed(text), _RULES, max_errors=MOST_ERRORS, hide_suggestions=True)


def _check_choice(context: ExecutionContext) -> None:
    """Raises Refusal where nobody can tell which operation is meant."""
    assert context.graphql_document is not None
    operations = [each for each in context.graphql_document.definitions if isinstance(each, OperationDefinitionNode)]
    if len(operations) > 1 and context._provided_operation_name is None:
        raise Refusal(Code.BAD_REQUEST, "The document has several operations: say with operationName which one is meant.")
