"""Asking the schema itself, without a transport."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from strawberry.types import ExecutionResult
from tortoise.context import require_context

from api.access import Actor
from api.graphql.context import Context
from api.graphql.schema import schema
from tests.installation import Installation


@dataclass(frozen=True)
class Graph:
    here: Installation
    viewer: Actor

    def seen_by(self, viewer: Actor) -> "Graph":
        return replace(self, viewer=viewer)

    async def ask(self, document: str, *, operation: str | None = None, **variables: Any) -> dict[str, Any]:
        """The data of an answer without errors."""
        context = Context(self.here.patchbay, self.viewer)
        result = await schema.execute(document, variables, operation_name=operation, context_value=context)
        assert result.errors is None, result.errors
        assert result.data is not None
        return result.data

    @asynccontextmanager
    async def watching(self, document: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The data of each answer of a subscription."""
        stream = await schema.stream(document, context_value=Context(self.here.patchbay, self.viewer))

        async def answers() -> AsyncIterator[dict[str, Any]]:
            async for result in stream:
                assert isinstance(result, ExecutionResult)
                assert result.data is not None, result.errors
                yield result.data

        try:
            yield answers()
        finally:
            await stream.aclose()

    async def codes(self, document: str, **variables: Any) -> list[Any]:
        """The codes of the errors that an answer has."""
        result = await schema.execute(document, variables, context_value=Context(self.here.patchbay, self.viewer))
        return [(error.extensions or {}).get("code") for error in result.errors or []]


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """The statements with which this task, and those that it starts, reach the database meanwhile."""
    client: Any = require_context().db()
    statements: list[str] = []
    # What reads the log of events in the background asks at its own times.
    ours, within = ContextVar("ours", default=False), ContextVar("within", default=False)
    names = ("execute_query", "execute_query_dict", "execute_alike", "execute_insert", "execute_query_dict_with_affected")
    originals = {name: getattr(client, name) for name in names if hasattr(client, name)}

    def counting(original: Any) -> Any:
        async def execute(query: str, *args: Any, **kwargs: Any) -> Any:
            # One of these may be made of another.
            if within.get() or not ours.get():
                return await original(query, *args, **kwargs)
            statements.append(query)
            outermost = within.set(True)
            try:
                return await original(query, *args, **kwargs)
            finally:
                within.reset(outermost)

        return execute

    for name, original in originals.items():
        setattr(client, name, counting(original))
    token = ours.set(True)
    try:
        yield statements
    finally:
        ours.reset(token)
        for name in originals:
            delattr(client, name)
