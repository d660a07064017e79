"""What a client is told of an error, and what the log is.

The client gets a code and words of ours. The log gets a fault's kind and where it was raised, under the id that the client was told:
never a variable, a document, a local value or the message of an exception, because any of them may hold a secret.
"""

import logging
from typing import Any

from graphql import FieldNode, GraphQLError, GraphQLSchema, GraphQLSyntaxError, OperationDefinitionNode, VariableDefinitionNode
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionContext

from api.errors import InvalidInput, NotFound, PatchbayError, PermissionDenied, StreamLagged, Unauthenticated
from api.faults import log_fault
from api.graphql.coercion import variable_mistakes
from api.graphql.limits import MAX_TOKENS
from api.graphql.refusals import Code, Refusal, TookTooLong

logger = logging.getLogger(__name__)

MOST_ERRORS = 3
_LONGEST_MESSAGE = 300

_CODES: dict[type[PatchbayError], Code] = {
    Unauthenticated: Code.UNAUTHENTICATED,
    PermissionDenied: Code.FORBIDDEN,
    InvalidInput: Code.BAD_USER_INPUT,
    NotFound: Code.NOT_FOUND,
    StreamLagged: Code.STREAM_LAGGED,
}


def reported(errors: list[GraphQLError], schema: GraphQLSchema, context: ExecutionContext | None) -> list[GraphQLError]:
    """What the client is told: at most three errors, each with a code."""
    if context is not None and any(_is_about_variables(error) for error in errors):
        mistakes = _variable_mistakes(schema, context)
        return mistakes[:MOST_ERRORS] or [Refusal(Code.BAD_USER_INPUT, "A variable does not fit its type.")]
    # Faults are logged as they are worded: no more of them than are answered.
    return [error if isinstance(error, Refusal) else _refusal_of(error) for error in errors[:MOST_ERRORS]]


def _is_about_variables(error: GraphQLError) -> bool:
    """Said by the execution itself, before any resolver."""
    if error.path is not None or isinstance(error, Refusal) or not error.nodes:
        return False
    return isinstance(error.nodes[0], VariableDefinitionNode) and isinstance(error.original_error, GraphQLError | None)


def _variable_mistakes(schema: GraphQLSchema, context: ExecutionContext) -> list[GraphQLError]:
    assert context.graphql_document is not None
    operations = [each for each in context.graphql_document.definitions if isinstance(each, OperationDefinitionNode)]
    chosen = [each for each in operations if len(operations) == 1 or (each.name and each.name.value == context.operation_name)]
    return [mistake for each in chosen for mistake in variable_mistakes(schema, each, context.variables or {})]


def _refusal_of(error: GraphQLError) -> Refusal:
    cause = _cause(error)
    match cause:
        case Refusal():
            return Refusal(cause.code, cause.message, at=error)
        case PatchbayError() if (code := _code_of(cause)) is not None:
            return Refusal(code, cause.message, at=error, **_details(cause))
        case TookTooLong():
            logger.warning("operation stopped", extra={"code": Code.TIMEOUT, "seconds": cause.seconds})
            return Refusal(
                Code.TIMEOUT, f"This took longer than {cause.seconds:g} seconds and was stopped; ask for less at once.", at=error
            )
        case InvalidOperationTypeError():
            return Refusal(Code.BAD_REQUEST, f"A {cause.operation_type.value} is not possible over this transport.")
        case CannotGetOperationTypeError():
            return no_such_operation()
        case GraphQLSyntaxError():
            return _syntax_refusal(cause)
        case GraphQLError() if error.path is None:
            return Refusal(Code.INVALID_DOCUMENT, error.message[:_LONGEST_MESSAGE], at=error)
        case GraphQLError() if error.message.startswith("Argument '"):
            return Refusal(Code.BAD_USER_INPUT, "An argument does not fit its type.", at=error)
    return fault(cause, at=error)


def _code_of(error: PatchbayError) -> Code | None:
    """None for one that belongs into the answer of a mutation, and is a fault of ours where it gets out of it."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)


def _details(error: PatchbayError) -> dict[str, Any]:
    remedy = {"remedy": error.remedy} if error.remedy else {}
    return remedy | ({"fields": error.fields} if isinstance(error, InvalidInput) else {})


def no_such_operation() -> Refusal:
    return Refusal(Code.BAD_REQUEST, "The document has no operation of that name, or none at all.")


def _cause(error: GraphQLError) -> Exception:
    """What was raised, beneath the errors that only say where."""
    cause: Exception = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def _syntax_refusal(error: GraphQLSyntaxError) -> Refusal:
    if "Document contains more than" in error.message:
        return Refusal(
            Code.LIMIT_EXCEEDED, f"The document is too long: it may have at most {MAX_TOKENS:,} tokens.", limit="tokens", allowed=MAX_TOKENS
        )
    if "nested too deeply" in error.message:
        return Refusal(Code.LIMIT_EXCEEDED, "The document is nested too deeply.", limit="nesting")
    # The token at that place may be a value, so only its place is told.
    place = error.locations[0] if error.locations else None
    where = f" from line {place.line}, column {place.column} on" if place else ""
    return Refusal(Code.INVALID_DOCUMENT, f"The document is not GraphQL: it cannot be read{where}.", at=error)


def fault(cause: BaseException, *, at: GraphQLError | None = None) -> Refusal:
    """A fault of ours: logged under an id, which is all that the client is told."""
    node = at.nodes[0] if at is not None and at.nodes else None
    field = node.name.value if isinstance(node, FieldNode) else None
    request = log_fault(logger, "operation failed", cause, code=Code.INTERNAL, field=field)
    return Refusal(Code.INTERNAL, f"Something went wrong here; mention request {request}.", at=at, requestId=request)
