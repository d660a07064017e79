"""Where an answer names the account, guessed from its schema or its example."""

from collections.abc import Iterator
from typing import Any

from api.catalog.descriptions.bounds import Table
from api.catalog.descriptions.document import Document, listed

# The best first: a person knows themselves by their address.
_NAMES = ("email", "emailAddress", "email_address", "login", "username", "userName", "user_name", "handle", "display_name", "displayName")
_LAST_NAMES = ("full_name", "fullName", "name", "sub")
# What an answer may wrap its account in.
_WRAPPERS = ("data", "user", "account", "me", "result", "viewer", "profile", "owner")
_LOOKED_FOR = (*_NAMES, *_LAST_NAMES, *_WRAPPERS)
_MOST_PARTS = 20
_DEEPEST = 3


def account_in(document: Document, operation: Table) -> str | None:
    """The dotted path to the account in the answer of an operation, or None."""
    responses = document.table(operation.get("responses"))
    answer = document.table(responses.get("200", responses.get("2XX", responses.get("default"))))
    for shape in _shapes(document, answer):
        for names in (_NAMES, _LAST_NAMES):
            if (path := _path_in(document, shape, names, _DEEPEST)) is not None:
                return path
    return None


def _shapes(document: Document, answer: Table) -> Iterator["_Shape"]:
    content = document.table(answer.get("content"))
    media = document.table(content.get("application/json")) or next((each for _, each in document.tables_in(content)), {})
    for schema in (media.get("schema"), answer.get("schema")):
        if schema is not None:
            yield _Shape.of_schema(document, schema)
    examples = [media.get("example"), document.table(answer.get("examples")).get("application/json")]
    examples += [document.table(each).get("value") for each in document.table(media.get("examples")).values()]
    yield from (_Shape(example) for example in examples if isinstance(example, dict))


class _Shape:
    """The members that an answer has, and what is in each: of a schema, or of an example."""

    def __init__(self, members: Table, *, is_schema: bool = False) -> None:
        self.members = members
        self.is_schema = is_schema

    @classmethod
    def of_schema(cls, document: Document, schema: Any, depth: int = _DEEPEST) -> "_Shape":
        """The members of an object, with those of all that it is made of."""
        table = document.table(schema)
        properties = document.table(table.get("properties"))
        members = {name: properties[name] for name in _LOOKED_FOR if name in properties}
        for key in ("allOf", "oneOf", "anyOf"):
            for part in listed(table.get(key), most=_MOST_PARTS) if depth else ():
                members = cls.of_schema(document, part, depth - 1).members | members
        return cls(members, is_schema=True)

    def inner(self, document: Document, name: str) -> "_Shape":
        value = self.members.get(name)
        if self.is_schema:
            return self.of_schema(document, value, 1)
        return _Shape(value if isinstance(value, dict) else {})

    def holds_text(self, document: Document, name: str) -> bool:
        if name not in self.members:
            return False
        value = self.members[name]
        if not self.is_schema:
            return isinstance(value, str)
        kinds = document.table(value).get("type")
        return "string" in kinds if isinstance(kinds, str | list) else False


def _path_in(document: Document, shape: _Shape, names: tuple[str, ...], depth: int) -> str | None:
    for name in names:
        if shape.holds_text(document, name):
            return name
    for wrapper in _WRAPPERS if depth > 1 else ():
        if wrapper in shape.members:
            path = _path_in(document, shape.inner(document, wrapper), names, depth - 1)
            if path is not None:
                return f"{wrapper}.{path}"
    return None
