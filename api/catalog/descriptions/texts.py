"""A document as a text, read into plain values: JSON or YAML, whole in itself."""

import json
from typing import Any

from api.catalog.descriptions.bounds import DEEPEST, MOST_VALUES, NotReadable, Table, check_length, read_integer, too_deep, too_many, twice
from api.catalog.descriptions.yaml_text import read_yaml

# What a reference would not be one in: words of the author's own.
_NOT_READ = frozenset({"example", "examples", "default", "enum", "const", "value"})


def read_document(text: str) -> Table:
    """The object that a JSON or YAML text is. Raises NotReadable."""
    text = text.removeprefix("\ufeff")
    check_length(text)
    if not text.strip():
        raise NotReadable("is empty: give the text of an API description")
    value = _read_json(text) if text.lstrip()[0] in "{[" else read_yaml(text)
    if not isinstance(value, dict):
        raise NotReadable("must be one object, as OpenAPI, Swagger and Postman have it")
    _refuse_outside_references(value)
    return value


def _read_json(text: str) -> Any:
    # Before they are made: a comma stands between values, or in a text.
    if text.count(",") > 3 * MOST_VALUES:
        raise too_many()
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=read_integer)
    except json.JSONDecodeError as error:
        raise NotReadable(f"is not JSON: line {error.lineno}, column {error.colno} is not what it should be") from None
    except RecursionError:
        raise too_deep() from None
    _check_shape(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> Table:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise twice()
    return found


def _check_shape(value: Any) -> None:
    """As reading YAML does on its way. Raises NotReadable."""
    level, count = [value], 0
    for _ in range(DEEPEST):
        count += len(level)
        if count > MOST_VALUES:
            raise too_many()
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise too_deep()


def _inside(value: Any) -> Any:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()


def _refuse_outside_references(document: Table) -> None:
    """Raises NotReadable where the document refers to another one: such a reference is never followed, and half a document misleads."""
    stack: list[Any] = [document]
    while stack:
        at = stack.pop()
        match at:
            case list():
                stack += at
            case dict():
                reference = at.get("$ref")
                if isinstance(reference, str) and not reference.startswith("#"):
                    raise NotReadable(
                        "refers to another document ($ref), and those are never fetched. Bundle it into one document first, "
                        "as the tools of OpenAPI do, and give that"
                    )
                stack += [inner for key, inner in at.items() if key not in _NOT_READ and not key.startswith("x-")]
