"""Which request of a description shows that a credential works: the one about whoever is signed in, if there is one."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from api.catalog.descriptions.description import Operation

# The last words of a path, and how surely they mean whoever asks.
_PATHS = (
    (100, re.compile(r"(^|/)(me|self|myself|whoami|who-am-i|viewer|@me)$")),
    (
        95,
        re.compile(r"(^|/)(users?|accounts?|members?|people)[/_-](current|me|self|authenticated)$|(^|/)(current|authenticated)[/_-]?user$"),
    ),
    (90, re.compile(r"(^|/)(auth[./]test|userinfo|verify_credentials|tokens?/(verify|self|current)|key/info|api[-_]?key/info)$")),
    (80, re.compile(r"(^|/)(user|account|profile|users/me/profile|me/profile|account/info|accountinfo|identity)$")),
    (60, re.compile(r"(^|/)(organi[sz]ation|workspace|team|company|tenant|application|credits?|balance|usage|quota)$")),
)
_SURE = 60
# What most services answer to anybody.
_ANSWERS_ANYBODY = re.compile(
    r"(^|[/_.-])(health\w*|status|ping|live\w*|ready\w*|version|info|metrics|docs|openapi|swagger|robots|login|logout|oauth2?|authorize|"
    r"token|callback|webhooks?|events?|stream|public|search|export|download)([/_.-]|$)"
)
_MOST_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """The request to prove a credential with. Not sure: a list, for want of better."""

    operation: Operation | None
    is_sure: bool
    others: tuple[str, ...] = ()


def choose(operations: Iterable[Operation], schemes: Collection[str]) -> Choice:
    """`schemes`: those that the draft offers."""
    known = list(operations)
    # Where no operation says what it needs, all are taken to need what there is.
    says_nothing = all(operation.is_open for operation in known)
    closed = [each for each in known if says_nothing or (not each.is_open and not each.schemes.isdisjoint(schemes))]
    ranked = sorted(closed, key=lambda each: (-_score(each), *_length(each)))
    if not ranked or _score(ranked[0]) < 0:
        return Choice(None, is_sure=False)
    others = tuple(dict.fromkeys(each.path for each in ranked[1:] if _score(each) >= 0))[:_MOST_CANDIDATES]
    return Choice(ranked[0], _score(ranked[0]) >= _SURE, others)


def _score(operation: Operation) -> int:
    path = operation.path.lower().rstrip("/")
    sure = next((points for points, pattern in _PATHS if pattern.search(path)), 0)
    # That it names an account bears out what its path says, and raises no other above it.
    if sure:
        return sure + (5 if operation.account else 0)
    return -1 if not path or _ANSWERS_ANYBODY.search(path) else 0


def _length(operation: Operation) -> tuple[int, int]:
    return operation.path.count("/"), len(operation.path)
