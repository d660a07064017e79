"""Reading TOML with every mistake told: a table whose keys are taken by type, and which complains about the rest."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, TypeVar

T = TypeVar("T")
D = TypeVar("D")

_DURATION = re.compile(r"([1-9][0-9]{0,8}) (second|minute|hour|day)s?")
_MISSING = object()
_SCALAR: Any = (str, int)


@dataclass(frozen=True, slots=True)
class Mistake:
    """`path` is the dotted key path in the file; empty: the file as a whole."""

    file: str
    path: str
    reason: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.path, self.reason) if part)


class Mistakes:
    """The mistakes of one file, each once, in the order in which they were found."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: dict[Mistake, None] = {}

    def add(self, path: str, reason: str) -> None:
        self._found[Mistake(self._file, path, reason)] = None

    def __iter__(self) -> Iterator[Mistake]:
        return iter(self._found)

    def __bool__(self) -> bool:
        return bool(self._found)


class Table:
    """One table of a file.

    A key that is missing or wrong is complained about, and a harmless value stands in for it, so that reading goes on to the
    next mistake: what was read is worth something only where there were none. Keys may be read more than once.
    """

    def __init__(self, data: Mapping[str, Any], mistakes: Mistakes, path: str = "") -> None:
        self._data = data
        self._mistakes = mistakes
        self._path = path
        self._known: set[str] = set()
        self._children: dict[str, Table] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def path_of(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def has(self, path: str) -> bool:
        """Whether there is something at a dotted path."""
        at: Any = self._data
        for key in path.split("."):
            if not isinstance(at, dict) or key not in at:
                return False
            at = at[key]
        return True

    def complain(self, key: str, reason: str) -> None:
        """Note a mistake at a key; at the table itself where the key is empty."""
        self._known.add(key)
        self._mistakes.add(self.path_of(key) if key else self._path, reason)

    def complain_about_the_rest(self) -> None:
        """Name every key that nobody has read, here and in all tables below."""
        for key in self._data:
            if key not in self._known:
                close = difflib.get_close_matches(key, self._known, n=1)
                self.complain(key, "is not a key of this table" + (f"; is “{close[0]}” meant?" if close else ""))
        for child in self._children.values():
            child.complain_about_the_rest()

    def text(self, key: str) -> str:
        if self._take(key) is _MISSING:
            self.complain(key, "is missing")
        return self.find_text(key) or ""

    def find_text(self, key: str, default: str | None = None) -> str | None:
        return self._value(key, str, "a text", default)

    def flag(self, key: str, default: bool) -> bool:
        return self._value(key, bool, "true or false", default)

    def find_flag(self, key: str) -> bool | None:
        return self._value(key, bool, "true or false", None)

    def choice(self, key: str, choices: Mapping[str, T], default: str) -> T:
        """The value that a word stands for."""
        word = self._value(key, str, "a text", default)
        if word not in choices:
            self.complain(key, "must be one of " + ", ".join(choices))
            word = default
        return choices[word]

    def find_choice(self, key: str, choices: Mapping[str, T]) -> T | None:
        """As `choice`, without a default."""
        self._known.add(key)
        return self.choice(key, choices, next(iter(choices))) if key in self else None

    def find_number(self, key: str) -> int | None:
        return self._value(key, int, "a whole number", None)

    def find_duration(self, key: str) -> timedelta | None:
        text = self.find_text(key)
        if text is None:
            return None
        match = _DURATION.fullmatch(text)
        if match is None:
            self.complain(key, "must be a duration such as “30 minutes” or “90 days”")
            return None
        return timedelta(**{match[2] + "s": int(match[1])})

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        return self._list(key, str, "texts", default)

    def numbers(self, key: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        return self._list(key, int, "whole numbers", default)

    def mapping(self, key: str) -> dict[str, str]:
        """A table of texts."""
        table = self.table(key)
        return {name: table.text(name) for name in table}

    def scalars(self, key: str) -> dict[str, str | int | bool]:
        """A table of texts, whole numbers, and true or false."""
        table = self.table(key)
        return {name: table._value(name, _SCALAR, "a text, a whole number, true or false", "") for name in table}

    def choices(self, key: str) -> dict[str, tuple[str | int | bool, ...]]:
        """As `scalars`, where each may be a list of several."""
        table = self.table(key)
        return {
            name: table._list(name, _SCALAR, "texts, whole numbers, true or false", ())
            if isinstance(table.find_any(name), list)
            else (table._value(name, _SCALAR, "a text, a whole number, true or false", ""),)
            for name in table
        }

    def find_any(self, key: str) -> Any:
        """What stands there, whatever it is; None where nothing does."""
        self._known.add(key)
        return self._data.get(key)

    def table(self, key: str) -> Self:
        """The table of that name; an empty one where there is none."""
        if key not in self._children:
            data = self._value(key, dict, "a table", {})
            self._children[key] = type(self)(data, self._mistakes, self.path_of(key))
        return self._children[key]  # type: ignore[return-value]

    def find_table(self, key: str) -> Self | None:
        self._known.add(key)
        return self.table(key) if key in self else None

    def tables(self, key: str) -> list[Self]:
        """A list of tables; their paths count from 0."""
        found = []
        for number, data in enumerate(self._list(key, dict, "tables", ())):
            name = f"{key}.{number}"
            if name not in self._children:
                self._children[name] = type(self)(data, self._mistakes, self.path_of(name))
            found.append(self._children[name])
        return found  # type: ignore[return-value]

    def _take(self, key: str) -> Any:
        self._known.add(key)
        return self._data.get(key, _MISSING)

    def _value(self, key: str, kind: type[T], called: str, default: D) -> T | D:
        value = self._take(key)
        if value is _MISSING:
            return default
        if not _is_a(value, kind):
            self.complain(key, f"must be {called}")
            return default
        found: T = value
        return found

    def _list(self, key: str, kind: type[T], called: str, default: tuple[T, ...]) -> tuple[T, ...]:
        values: Any = self._value(key, list, f"a list of {called}", default)
        if not all(_is_a(value, kind) for value in values):
            self.complain(key, f"must be a list of {called}")
            return default
        return tuple(values)


def _is_a(value: object, kind: Any) -> bool:
    # In Python a bool is an int; in TOML it is not.
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def words(*names: str) -> dict[str, str]:
    """Choices that stand for themselves."""
    return {name: name for name in names}
