"""Patterns that somebody else wrote, and that cannot take for ever on any value.

Python matches by trying out, and a pattern such as `(a+)+b` has it try more ways than there is time for. So what may repeat, and what
may repeat inside of that, is bounded here before the pattern is ever used: by the number of ways in which a value of the longest
length can be divided among its parts. A group may repeat without a bound only where each round is set off from the next, as
`(/[a-z]+)*` is by its slash: then there is one way to divide a value into rounds.
"""

import math
import re
from collections.abc import Sequence

# What Python itself makes of a pattern, which no public module tells; another reading of it might differ in just what matters here.
from re import _constants as words  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

# A field with such a pattern takes no longer values: the number of ways grows with their length.
LONGEST_VALUE = 256

_LONGEST_PATTERN = 200
# Three parts of any length, one behind the other, on a value of the longest length: a few hundredths of a second.
_MOST_WAYS = 3_000_000
_WIDE = 128
# So often a group may repeat without being set off.
_FEW = 10

_OTHERS = 128
_ALL = frozenset(range(_OTHERS + 1))
_CATEGORIES = {
    words.CATEGORY_DIGIT: re.compile(r"\d", re.ASCII),
    words.CATEGORY_NOT_DIGIT: re.compile(r"\D", re.ASCII),
    words.CATEGORY_SPACE: re.compile(r"\s", re.ASCII),
    words.CATEGORY_NOT_SPACE: re.compile(r"\S", re.ASCII),
    words.CATEGORY_WORD: re.compile(r"\w", re.ASCII),
    words.CATEGORY_NOT_WORD: re.compile(r"\W", re.ASCII),
}
_REPEATS = (words.MAX_REPEAT, words.MIN_REPEAT)

Node = tuple[Any, Any]


class _Refused(Exception):
    """`str()` says what is wrong with the pattern."""


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with a pattern, or None."""
    if len(pattern) > _LONGEST_PATTERN:
        return f"must not be longer than {_LONGEST_PATTERN} characters"
    try:
        if _ways(list(parser.parse(pattern, re.ASCII.value))) > _MOST_WAYS:
            return "could take for ever on some values: it has too many parts whose length may vary"
    except _Refused as refused:
        return str(refused)
    except (re.error, OverflowError, RecursionError):
        return "is not a regular expression"
    return None


def _ways(nodes: Sequence[Node]) -> int:
    """In how many ways these can match one text, at most."""
    return math.prod(_ways_of(node) for node in nodes)


def _ways_of(node: Node) -> int:
    kind, value = node
    if kind in _REPEATS:
        return _ways_to_repeat(*value)
    if kind is words.SUBPATTERN:
        return _ways(_inner(value))
    if kind is words.BRANCH:
        return sum(_ways(list(branch)) for branch in value[1])
    if kind is words.AT:
        return 1
    _characters(node)
    return 1


def _ways_to_repeat(least: int, most: int, body: Any) -> int:
    nodes = _flat(list(body))
    if len(nodes) == 1 and _is_character(nodes[0]):
        return min(most - least + 1, _WIDE)
    if most <= 1:
        return 1 + _ways(nodes)
    # A round may also not be there.
    each = _ways(nodes) + (0 if least == most else 1)
    if most <= _FEW:
        return int(each**most)
    if not _is_set_off(nodes):
        raise _Refused(
            "could take for ever on some values: a group that repeats begins or ends with one character that nothing else in it takes"
        )
    return _WIDE


def _is_set_off(nodes: Sequence[Node]) -> bool:
    """Whether a character in front or behind shows where a round ends, and each round then matches in one way."""
    for edge, rest in ((nodes[:1], nodes[1:]), (nodes[-1:], nodes[:-1])):
        if edge and _is_character(edge[0]) and _characters(edge[0]).isdisjoint(_all_characters(rest)) and _is_determined(rest):
            return True
    return False


def _is_determined(nodes: Sequence[Node]) -> bool:
    """Whether the length of what they match says which part matches what: at most one of them varies."""
    varying = [node for node in nodes if not _is_character(node)]
    if not varying:
        return True
    kind, value = varying[0]
    if len(varying) > 1 or kind not in _REPEATS:
        return False
    inner = _flat(list(value[2]))
    if len(inner) == 1 and _is_character(inner[0]):
        return True
    return bool(value[1] <= 1) and _is_determined(inner) and any(_is_character(node) for node in inner)


def _flat(nodes: Sequence[Node]) -> list[Node]:
    """Without groups that are there for nothing but brackets."""
    found: list[Node] = []
    for node in nodes:
        found += _flat(_inner(node[1])) if node[0] is words.SUBPATTERN else [node]
    return found


def _inner(group: Any) -> list[Node]:
    _, added, removed, body = group
    if added or removed:
        raise _Refused("has flags, which a pattern here cannot have")
    return list(body)


def _is_character(node: Node) -> bool:
    return node[0] in (words.LITERAL, words.NOT_LITERAL, words.ANY, words.IN)


def _all_characters(nodes: Sequence[Node]) -> frozenset[int]:
    found: frozenset[int] = frozenset()
    for kind, value in nodes:
        if kind in _REPEATS:
            found |= _all_characters(_flat(list(value[2])))
        elif kind is words.BRANCH:
            found = found.union(*(_all_characters(_flat(list(branch))) for branch in value[1]))
        elif kind is not words.AT:
            found |= _characters((kind, value))
    return found


def _characters(node: Node) -> frozenset[int]:
    """What one character may be: codes of ASCII, and `_OTHERS` for all others."""
    kind, value = node
    if kind is words.LITERAL:
        return frozenset({min(value, _OTHERS)})
    if kind is words.NOT_LITERAL:
        return _ALL - {value}
    if kind is words.ANY:
        return _ALL
    if kind is words.RANGE:
        return frozenset(range(min(value[0], _OTHERS), min(value[1], _OTHERS) + 1))
    if kind is words.CATEGORY:
        taken = _CATEGORIES[value]
        return frozenset(code for code in _ALL if taken.match(chr(code)))
    if kind is words.IN:
        members = frozenset[int]().union(*(_characters(member) for member in value if member[0] is not words.NEGATE))
        return (_ALL - members) | {_OTHERS} if value[0][0] is words.NEGATE else members
    raise _Refused("has a part that looks ahead, looks back or repeats what was matched, which a pattern here cannot have")
