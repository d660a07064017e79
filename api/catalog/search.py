"""Finding connectors as a person types: without regard to case, accents and punctuation, and forgiving of small slips."""

import difflib
import unicodedata
from collections.abc import Mapping

from api.catalog.connector import Connector

# Two swapped letters in a word of four are still found, another word of four is not.
_CLOSE = 0.75
_SHORTEST_SLIP = 4


def said_of(connector: Connector) -> str:
    """All that a connector is found by; its name also as one word, as some people write it."""
    name = _plain(connector.name)
    return " ".join((name, name.replace(" ", ""), _plain(connector.key), _plain(connector.vendor or ""), _plain(connector.category)))


def found(text: str, said: Mapping[str, str]) -> set[str]:
    """The keys of what is meant by a text: each of its words is part of what is said of it.

    Only where that finds nothing, words that are close count too.
    """
    asked = _plain(text).split()
    exactly = {key for key, words in said.items() if all(word in words for word in asked)}
    return exactly or {key for key, words in said.items() if all(_is_near(word, words.split()) for word in asked)}


def _is_near(asked: str, words: list[str]) -> bool:
    if any(asked in word for word in words):
        return True
    return len(asked) >= _SHORTEST_SLIP and bool(difflib.get_close_matches(asked, words, n=1, cutoff=_CLOSE))


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = (letter for letter in decomposed if not unicodedata.combining(letter))
    return "".join(letter if letter.isalnum() else " " for letter in letters)
