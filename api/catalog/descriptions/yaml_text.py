"""YAML 1.2, as far as JSON goes (OpenAPI 3.1 section 4.3), read from its events and not into objects of Python.

So a tag makes nothing, an alias counts as much as what it repeats, and every bound holds while the text is read: a hostile document costs
no more than a long one.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from api.catalog.descriptions.bounds import DEEPEST, MOST_VALUES, NotReadable, Table, read_integer, too_deep, too_many, twice

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_WORDS: Mapping[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_PLAIN_TAGS = {None, "!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp"))}


def read_yaml(text: str) -> Any:
    """What a text says. Raises NotReadable."""
    reader = _YamlReader()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        where = "" if error.problem_mark is None else f": line {error.problem_mark.line + 1} is not what it should be"
        raise NotReadable(f"is neither JSON nor YAML{where}") from None
    # Characters that YAML does not have, and texts that are not Unicode.
    except (yaml.YAMLError, UnicodeError):
        raise NotReadable("is neither JSON nor YAML: it holds characters that neither has") from None
    return reader.value


class _Open:
    """A list or an object that is not complete."""

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.count = 1
        # Of an object: the key whose value comes next, and what `<<` brings.
        self.key: str | None = None
        self.merged: list[Table] = []


class _YamlReader:
    """Builds values from events, one after another."""

    def __init__(self) -> None:
        self.value: Any = None
        self._is_done = False
        self._open: list[_Open] = []
        # What stands at an anchor, and how many values that is with all it repeats.
        self._anchored: dict[str, tuple[Any, int]] = {}
        self._count = 0

    def take(self, event: yaml.Event) -> None:
        """Raises NotReadable."""
        match event:
            case yaml.DocumentStartEvent() if self._is_done:
                raise NotReadable("has several YAML documents: give one")
            case yaml.MappingStartEvent():
                self._begin({}, event)
            case yaml.SequenceStartEvent():
                self._begin([], event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case yaml.AliasEvent():
                self._repeat(event.anchor)
            case yaml.ScalarEvent():
                self._scalar(event)

    def _begin(self, value: Any, event: yaml.CollectionStartEvent) -> None:
        self._check_tag(event.tag)
        self._refuse_as_key()
        if len(self._open) >= DEEPEST:
            raise too_deep()
        self._open.append(_Open(value, event.anchor))

    def _end(self) -> None:
        closed = self._open.pop()
        for merged in closed.merged:
            closed.count += len(merged)
            self._spend(len(merged))
            for key, value in merged.items():
                closed.value.setdefault(key, value)
        self._put(closed.value, closed.anchor, closed.count)

    def _repeat(self, anchor: str | None) -> None:
        if anchor is None or anchor not in self._anchored:
            raise NotReadable("has an alias of YAML that names nothing, or itself")
        self._refuse_as_key()
        value, count = self._anchored[anchor]
        self._spend(count)
        self._put(value, None, count)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_tag(event.tag)
        inside = self._open[-1] if self._open else None
        if inside is not None and isinstance(inside.value, dict) and inside.key is None:
            # A status such as 200 is a name as well.
            self._name(inside, event.value)
            return
        self._put(_plain(event.value) if event.implicit[0] else event.value, event.anchor, 1)

    def _name(self, inside: _Open, key: str) -> None:
        if key in inside.value:
            raise twice()
        inside.key = key

    def _put(self, value: Any, anchor: str | None, count: int) -> None:
        """Put a complete value where it belongs. `count`: how many values it is, with all inside of it."""
        self._spend(1)
        if anchor is not None:
            self._anchored[anchor] = (value, count)
        if not self._open:
            self.value, self._is_done = value, True
            return
        inside = self._open[-1]
        inside.count += count
        if isinstance(inside.value, list):
            inside.value.append(value)
            return
        key, inside.key = inside.key, None
        assert key is not None
        if key == "<<":
            inside.merged += _tables(value)
        else:
            inside.value[key] = value

    def _spend(self, count: int) -> None:
        self._count += count
        if self._count > MOST_VALUES:
            raise too_many()

    def _refuse_as_key(self) -> None:
        if self._open and isinstance(self._open[-1].value, dict) and self._open[-1].key is None:
            raise NotReadable("has a YAML key that is not a text")

    def _check_tag(self, tag: str | None) -> None:
        if tag not in _PLAIN_TAGS:
            raise NotReadable("has a tag of YAML, such as !!python, which stands for nothing here. Take it out")


def _tables(value: Any) -> Iterator[Table]:
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            raise NotReadable("merges (<<) what is not an object")
        yield each


def _plain(text: str) -> Any:
    """What an unquoted scalar means, by the rules of JSON and no more: neither `no` nor a date is anything but a text."""
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text) is None:
        return text
    read: Callable[[str], int | float] = read_integer if text.lstrip("-").isdigit() else float
    return read(text)
