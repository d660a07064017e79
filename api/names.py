"""Texts that people give: what a name may be, the same on every database."""

import unicodedata
from collections.abc import Collection

from api.errors import InvalidInput
from models import fold

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def name_problem(text: str, *, longest: int = 120) -> str | None:
    """What is wrong with a name, or None: one to 120 characters that can be seen."""
    if not text.strip():
        return "must not be empty"
    if len(text) > longest:
        return f"must not be longer than {longest} characters"
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        return "must not contain control or invisible characters"
    return None


def scopes_problem(scopes: Collection[str]) -> str | None:
    """What is wrong with a list of OAuth scopes, or None: at most 200, each of 1 to 500 visible ASCII characters."""
    if any(not scope or not scope.isascii() or not scope.isprintable() or " " in scope or len(scope) > 500 for scope in scopes):
        return "must each be printable characters without spaces"
    return "must be at most 200" if len(scopes) > 200 else None


def tidy(text: str) -> str:
    """The form in which a name is kept: NFC, without space around it."""
    return unicodedata.normalize("NFC", text.strip())


def checked_name(text: str, *, field: str = "name", longest: int = 120) -> str:
    """A name as it is kept. Raises InvalidInput that names the field."""
    problem = name_problem(text, longest=longest)
    if problem is not None:
        raise InvalidInput({field: problem})
    return tidy(text)


def free_name(wished: str, taken: set[str]) -> str:
    """The name, or the first of `name 2`, `name 3`, … whose folded form is not taken."""
    name, number = wished, 1
    while fold(name) in taken:
        number += 1
        suffix = f" {number}"
        name = wished[: 120 - len(suffix)] + suffix
    return name
