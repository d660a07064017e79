"""What the paths of OpenAPI and Swagger say: which requests need nothing but a credential, and how often each scheme is asked for."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from api.catalog.descriptions.accounts import account_in
from api.catalog.descriptions.bounds import Table
from api.catalog.descriptions.description import Operation
from api.catalog.descriptions.document import Document, listed, text

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_PATH = re.compile(r"/[!\"$->@-z|~]{0,500}", re.ASCII)
_MOST_PATHS = 20_000
_MOST_ALTERNATIVES = 20
_MOST_TOGETHER = 10
# What every client sends, whatever a description calls it.
_SENT_ANYWAY = frozenset({"accept", "authorization", "content-type", "user-agent"})


@dataclass(slots=True)
class Operations:
    """Requests to prove a credential with, and the uses of each scheme and of each group that must come together."""

    proofs: list[Operation] = field(default_factory=list)
    uses: Counter[str] = field(default_factory=Counter)
    together: Counter[frozenset[str]] = field(default_factory=Counter)
    count: int = 0

    @property
    def usually_together(self) -> tuple[frozenset[str], ...]:
        """The group that at least half of the operations need. Where only a few do, the others are worth a connector without it."""
        return tuple(group for group, count in self.together.most_common(1) if 2 * count >= self.count)


@dataclass(frozen=True, slots=True)
class _Requirement:
    """One of the ways past an operation: all of these schemes, with these scopes."""

    schemes: frozenset[str]
    scopes: frozenset[str]


def read_operations(document: Document, key_parameters: frozenset[str]) -> Operations:
    """`key_parameters`: names under which the schemes send a credential, so that no operation needs them besides."""
    found = Operations()
    usual = document.root.get("security")
    for path, item in _paths(document):
        for method in _METHODS:
            if method not in item:
                continue
            operation = document.table(item[method])
            requirements = _requirements(document, operation.get("security", usual))
            _count(found, requirements)
            if method == "get" and _needs_nothing(document, path, item, operation, key_parameters):
                found.proofs.append(_proof(document, path, operation, requirements))
    return found


def _paths(document: Document) -> Iterator[tuple[str, Table]]:
    for path, item in islice(document.table(document.root.get("paths")).items(), _MOST_PATHS):
        if path.startswith("/"):
            yield path, document.table(item)


def _requirements(document: Document, security: Any) -> list[_Requirement]:
    found = []
    for entry in listed(security, most=_MOST_ALTERNATIVES):
        alternative = dict(islice(document.table(entry).items(), _MOST_TOGETHER))
        scopes = [text(scope) for named in alternative.values() for scope in listed(named)]
        found.append(_Requirement(frozenset(alternative), frozenset(filter(None, scopes))))
    return found


def _count(found: Operations, requirements: list[_Requirement]) -> None:
    found.count += 1
    found.uses.update({name for requirement in requirements for name in requirement.schemes})
    # Where one scheme alone is enough as well, nobody needs several.
    if requirements and all(len(requirement.schemes) > 1 for requirement in requirements):
        found.together[requirements[0].schemes] += 1


def _needs_nothing(document: Document, path: str, item: Table, operation: Table, key_parameters: frozenset[str]) -> bool:
    if _PATH.fullmatch(path) is None or operation.get("deprecated") is True:
        return False
    parameters = [*document.tables(item.get("parameters")), *document.tables(operation.get("parameters"))]
    ignored = key_parameters | _SENT_ANYWAY
    return not any(each.get("required") is True and text(each.get("name")).lower() not in ignored for each in parameters)


def _proof(document: Document, path: str, operation: Table, requirements: list[_Requirement]) -> Operation:
    return Operation(
        path=path,
        schemes=frozenset(name for requirement in requirements for name in requirement.schemes),
        scopes=min((requirement.scopes for requirement in requirements if requirement.scopes), key=len, default=frozenset()),
        is_open=not requirements or any(not requirement.schemes for requirement in requirements),
        account=account_in(document, operation),
    )
