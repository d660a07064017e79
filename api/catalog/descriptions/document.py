"""Looking things up in a document of which nothing is certain but that it is bounded."""

import re
import unicodedata
from itertools import islice
from typing import Any
from urllib.parse import unquote

from api.catalog.descriptions.bounds import Table

# A reference may lead to another one, and that back to it.
_LONGEST_CHAIN = 20
# Many places may refer to one that is long. So often something is looked up in a document, and no more; GitHub takes 3,000.
_MOST_LOOKUPS = 200_000
# Of what a document lists in one place.
_MOST_LISTED = 100

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class Document:
    """References (`$ref`) are followed within the document. What is not what it should be is as if it were not there."""

    def __init__(self, root: Table) -> None:
        self.root = root
        self._lookups = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether so much was looked up that nothing is found any more."""
        return self._lookups > _MOST_LOOKUPS

    def table(self, value: Any) -> Table:
        """The object that a value is or refers to; an empty one where it is none."""
        for _ in range(_LONGEST_CHAIN):
            self._lookups += 1
            if not isinstance(value, dict) or self.is_exhausted:
                return {}
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return value
            value = self._lookup(reference)
        return {}

    def tables(self, value: Any) -> list[Table]:
        """The objects of a list, the first hundred."""
        return [self.table(each) for each in listed(value)]

    def tables_in(self, value: Any) -> list[tuple[str, Table]]:
        """The objects of an object, by name, the first hundred."""
        return [(name, self.table(each)) for name, each in islice(self.table(value).items(), _MOST_LISTED)]

    def _lookup(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return None
        at: Any = self.root
        for step in unquote(reference[2:]).split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(at, dict) and name in at:
                at = at[name]
            elif isinstance(at, list) and re.fullmatch(r"[0-9]{1,6}", name, re.ASCII) and int(name) < len(at):
                at = at[int(name)]
            else:
                return None
        return at


def listed(value: Any, *, most: int = _MOST_LISTED) -> list[Any]:
    """What is in a list, as far as that is looked at; nothing for what is none."""
    return value[:most] if isinstance(value, list) else []


def text(value: Any) -> str:
    """A text as it is; an empty one for anything else."""
    return value if isinstance(value, str) else ""


def line(value: Any, *, longest: int = 120) -> str:
    """A text as one line that can be seen, cut where it is too long; empty for anything else."""
    # No more is looked at than could be kept.
    kept = text(value)[: 4 * longest]
    seen = "".join(" " if unicodedata.category(character) in _UNSEEN else character for character in kept)
    whole = unicodedata.normalize("NFC", " ".join(seen.split()))
    return whole if len(whole) <= longest else whole[: longest - 1].rstrip() + "…"
