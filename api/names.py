"""Texts that people give: what a name may be, the same on every database."""

import unicodedata

from api.errors import InvalidInput

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


def tidy(text: str) -> str:
    """The form in which a name is kept: NFC, without space around it."""
    return unicodedata.normalize("NFC", text.strip())


def checked_name(text: str, *, field: str = "name", longest: int = 120) -> str:
    """A name as it is kept. Raises InvalidInput that names the field."""
    problem = name_problem(text, longest=longest)
    if problem is not None:
        raise InvalidInput({field: problem})
    return tidy(text)
