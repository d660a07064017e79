"""Ids, as clients write them."""

from uuid import UUID

import strawberry

from api.errors import NotFound


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


def graph_id(id: object) -> strawberry.ID:
    return strawberry.ID(str(id))
