"""How much of a document is read, and how it is refused."""

from typing import Any

from api.errors import InvalidInput

# What GitHub says of all its API takes 13 MB as JSON, and has 260,000 values; hardly any other takes a third of that.
LONGEST_DOCUMENT = 16_000_000
MOST_VALUES = 600_000
DEEPEST = 200
_LONGEST_NUMBER = 400

Table = dict[str, Any]


class NotReadable(InvalidInput):
    """The document cannot be read at all; `problem` goes on after “the document”."""

    def __init__(self, problem: str) -> None:
        super().__init__({"document": problem})


def check_length(text: str) -> None:
    """Raises NotReadable."""
    # Counting the bytes of a text copies it, which is not done for one that is too long by any count.
    if len(text) > LONGEST_DOCUMENT or len(text.encode("utf-8", "surrogatepass")) > LONGEST_DOCUMENT:
        raise NotReadable(
            f"must not be longer than {LONGEST_DOCUMENT:,} bytes. Take out what is not about authentication, such as most schemas, "
            "and give the rest"
        )


def read_integer(text: str) -> int:
    """Raises NotReadable for one that takes long to read."""
    if len(text) > _LONGEST_NUMBER:
        raise NotReadable(f"has a number of more than {_LONGEST_NUMBER} digits")
    return int(text)


def twice() -> NotReadable:
    return NotReadable("has a key twice in one object, so nobody can tell which is meant")


def too_deep() -> NotReadable:
    return NotReadable(f"is nested too deeply: at most {DEEPEST} levels")


def too_many() -> NotReadable:
    return NotReadable(f"has too many values: at most {MOST_VALUES:,}, with all that aliases repeat")
