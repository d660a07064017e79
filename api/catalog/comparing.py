"""What differs between two definitions, field by field."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from api.catalog.defining import camel
from api.catalog.definition import ConnectorDefinition


@dataclass(frozen=True, slots=True)
class Change:
    """`field` is its path in the input; None: it was not there, or is not there any more."""

    field: str
    before: str | None
    after: str | None


def changes_between(before: ConnectorDefinition, after: ConnectorDefinition) -> tuple[Change, ...]:
    """Every field that differs, in the order of the input."""
    former, later = dict(_said(asdict(before))), dict(_said(asdict(after)))
    fields = dict.fromkeys([*former, *later])
    return tuple(Change(field, former.get(field), later.get(field)) for field in fields if former.get(field) != later.get(field))


def _said(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case bool():
            yield path, "true" if value else "false"
        case dict():
            for name, member in value.items():
                yield from _said(member, f"{path}.{name if path.endswith('Params') else camel(name)}".removeprefix("."))
        case list() | tuple() if all(isinstance(member, dict) for member in value):
            for member in value:
                yield from _said({name: said for name, said in member.items() if name != "name"}, f"{path}.{member['name']}")
        case list() | tuple():
            yield path, ", ".join(value)
        case _:
            yield path, str(value)
