"""A text that must not be seen: the one type in which credentials travel.

What this protects against: a secret that slips into a log line, an error message, a traceback, a JSON answer or a pickle.
What it does not: Python cannot wipe memory, so a reader of the process's memory sees it.
"""

import hmac
from typing import Never


class Secret:
    """A secret that prints as `Secret(***)` and is read only by `reveal()`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself. Call it where it is used, and keep no copy."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> Never:
        raise TypeError("a secret is not pickled")
