"""The errors at the top of an answer: what no client can plan for. Each has a code, and never repeats a value that was sent."""

from collections.abc import Collection
from enum import StrEnum
from typing import Any

from graphql import GraphQLError, Node
from strawberry.types import ExecutionResult


class Code(StrEnum):
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    BAD_REQUEST = "BAD_REQUEST"
    INVALID_DOCUMENT = "INVALID_DOCUMENT"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    NOT_FOUND = "NOT_FOUND"
    STREAM_LAGGED = "STREAM_LAGGED"
    TIMEOUT = "TIMEOUT"
    THROTTLED = "THROTTLED"
    INTERNAL = "INTERNAL"


class Refusal(GraphQLError):
    """An error in words that the client may read."""

    def __init__(
        self,
        code: Code,
        message: str,
        nodes: Collection[Node] | Node | None = None,
        *,
        path: Collection[str | int] | None = None,
        at: GraphQLError | None = None,
        **more: Any,
    ) -> None:
        """`at`: an error whose place in the document and in the answer this one takes over."""
        extensions = {"code": code.value} | more
        if at is None:
            super().__init__(message, nodes, path=path, extensions=extensions)
        else:
            super().__init__(message, at.nodes, at.source, at.positions, at.path, extensions=extensions)
        self.code = code


def was_executed(result: ExecutionResult) -> bool:
    """Whether any resolver was asked. What was not executed has no data, not even null: that is how a client can tell."""
    return result.data is not None or any(error.path is not None for error in result.errors or ())


class TookTooLong(Exception):
    """An operation that was stopped because its time was over."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"stopped after {seconds:g} seconds")
        self.seconds = seconds
