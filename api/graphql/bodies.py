"""What a request or a frame says, read with nothing taken for granted: JSON objects of bounded size and depth, or a refusal."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from api.catalog.descriptions.bounds import LONGEST_DOCUMENT
from api.graphql.refusals import Code, Refusal
from api.graphql.waiting import within

_MAX_LENGTH = 100_000
# With one text that is a document. In JSON, a quotation mark or the end of a line takes two bytes.
_MAX_LENGTH_WITH_DOCUMENT = LONGEST_DOCUMENT * 5 // 4
# A comma stands between values, or in the document: so many values are made of a body at the most, before anybody looks at it.
_MOST_COMMAS = 2_000_000
_DOCUMENT = "document"
_MAX_NESTING = 32
# The longest list that clients have reason to send is everybody in a group.
_LONGEST_LIST = 1_000
_READING_SECONDS = 10.0
_LONGEST_NAME = 200
# PostgreSQL stores no such character, so that it is refused before anyone tries.
_NULL_CHARACTER = re.compile(r"\x00|\\u(0000|\{0+\})")


class NotExecuted(Exception):
    """A request that is not executed, with the HTTP status that says why."""

    def __init__(self, status: int, message: str, code: Code = Code.BAD_REQUEST, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.refusal = Refusal(code, message)
        self.headers = headers or {}


async def read_body(request: Request, enter_as_long: Callable[[], Awaitable[bool]]) -> bytes:
    """The body, however it arrives. Raises NotExecuted where it is too long, or takes too long.

    `enter_as_long`: asked once, as soon as the body is longer than all but those with a document; whether it may be.
    """
    try:
        return await within(_READING_SECONDS, _arrived(request, enter_as_long))
    except TimeoutError:
        raise NotExecuted(408, "The request did not arrive in time.") from None
    except ClientDisconnect:
        raise NotExecuted(400, "The request ended before it was complete.") from None


async def _arrived(request: Request, enter_as_long: Callable[[], Awaitable[bool]]) -> bytes:
    body = bytearray()
    most = _MAX_LENGTH
    is_complete = False
    while not is_complete:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        is_complete = not message.get("more_body", False)
        if len(body) > _MAX_LENGTH == most and await enter_as_long():
            most = _MAX_LENGTH_WITH_DOCUMENT
        _check_length(body, most)
    return bytes(body)


def read_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises NotExecuted."""
    _check_length(text, _MAX_LENGTH)
    return _read_object(text)


def read_object_with_document(text: bytes) -> dict[str, Any]:
    """As `read_object`. Where one of the variables is a document, or has one, that may be long. Raises NotExecuted."""
    if len(text) <= _MAX_LENGTH:
        return _read_object(text)
    if text.count(b",") > _MOST_COMMAS:
        raise _too_long()
    value = _read_object(text)
    _check_length(orjson.dumps(_without_document(value)), _MAX_LENGTH)
    return value


def _read_object(text: str | bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        raise NotExecuted(400, "The request is not valid JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise NotExecuted(400, "The request must be one JSON object; several at once are not taken.")
    _check_shape(value)
    return value


def check_operation(asked: dict[str, Any]) -> None:
    """Raises NotExecuted where an object does not ask for an operation."""
    query = asked.get("query")
    if not isinstance(query, str) or not query.strip():
        raise NotExecuted(400, "The request needs a “query”: a GraphQL document as a text.")
    for name in ("variables", "extensions"):
        if not isinstance(asked.get(name), dict | None):
            raise NotExecuted(400, f"“{name}” must be an object, or null.")
    chosen = asked.get("operationName")
    if not isinstance(chosen, str | None) or len(chosen or "") > _LONGEST_NAME:
        raise NotExecuted(400, "“operationName” must be a name, or null.")
    if _NULL_CHARACTER.search(query):
        raise NotExecuted(400, "The null character is not taken.")


def _check_length(data: str | bytes | bytearray, most: int) -> None:
    if len(data) > most:
        raise _too_long()


def _too_long() -> NotExecuted:
    return NotExecuted(
        413, f"The request is too long: it may have at most {_MAX_LENGTH:,} bytes, and a document of {LONGEST_DOCUMENT:,} in a variable."
    )


def _without_document(value: dict[str, Any]) -> dict[str, Any]:
    """What a request is besides a document."""
    variables = value.get("variables")
    if not isinstance(variables, dict):
        return value
    shortened = {name: _shortened(each) for name, each in variables.items()}
    return {**value, "variables": {name: each for name, each in shortened.items() if name != _DOCUMENT or not isinstance(each, str)}}


def _shortened(variable: Any) -> Any:
    if isinstance(variable, dict) and isinstance(variable.get(_DOCUMENT), str):
        return {name: each for name, each in variable.items() if name != _DOCUMENT}
    return variable


def _check_shape(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    for _ in range(_MAX_NESTING):
        inside: list[Any] = []
        for each in level:
            match each:
                case str() if "\x00" in each:
                    raise NotExecuted(400, "The null character is not taken.")
                case list() if len(each) > _LONGEST_LIST:
                    raise NotExecuted(400, f"A list is too long: it may have at most {_LONGEST_LIST:,} items.", Code.LIMIT_EXCEEDED)
                case list():
                    inside += each
                case dict():
                    inside += [*each, *each.values()]
        if not inside:
            return
        level = inside
    raise NotExecuted(400, f"The request is nested too deeply: at most {_MAX_NESTING} levels.")
