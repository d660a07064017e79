"""Ids and keys, as clients write them."""

from uuid import UUID

import strawberry

from api.errors import NotFound

_LONGEST_KEY = 64


def id_of(text: strawberry.ID, noun: str) -> UUID:
    """The id; what is none names nothing. Raises NotFound."""
    found = find_id(text)
    if found is None:
        raise NotFound(noun)
    return found


def find_id(text: strawberry.ID | None) -> UUID | None:
    try:
        return None if text is None else UUID(str(text))
    except ValueError:
        return None


def key_of(text: str) -> str:
    """The key of a connector. What is too long for one names none, as the empty text does."""
    return text if len(text) <= _LONGEST_KEY else ""


def find_key(text: str | None) -> str | None:
    return None if text is None else key_of(text)


def graph_id(id: object) -> strawberry.ID:
    return strawberry.ID(str(id))
