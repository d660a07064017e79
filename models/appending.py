"""Rows that are appended with every call, by a statement that is written once.

To make a model of each, and have the query builder write its statement anew, takes longer than to execute it.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, partial

from tortoise.context import require_context
from tortoise.models import Model

from models.rows import rows


@dataclass(frozen=True, slots=True)
class Condition:
    """A statement that selects one row where something is so, and none where it is not.

    The statement is a constant of the code. It names each of the parameters, as for `rows`.
    """

    statement: str
    parameters: tuple[object, ...]


class Kept(Enum):
    """In the place of a value: what the changed row has in its column of that name."""

    AS_CHANGED = "as changed"


@dataclass(frozen=True, slots=True)
class Told:
    """A statement that appends a row because of another that was changed, which it selects from by the name `changed`.

    It names each of the parameters, as for `rows`.
    """

    statement: str
    parameters: tuple[object, ...]


class Appended:
    """The table of a model whose id is counted by the database. All other columns are given."""

    def __init__(self, model: type[Model]) -> None:
        self._model = model
        self._statements: dict[tuple[str, ...], str] = {}
        self._told: dict[tuple[str, ...], str] = {}

    async def append(self, row: Mapping[str, object]) -> None:
        """Append a row."""
        await self._execute(row, ())

    async def append_if(self, row: Mapping[str, object], *conditions: Condition) -> bool:
        """Append a row if all of this is so, found by the very statement that appends it; whether it was."""
        return await self._execute(row, conditions)

    def told(self, row: Mapping[str, object]) -> Told:
        """A row to be appended with a change (`models.changing`); some of it may be as in the row that is changed."""
        key = (_dialect(), *[column for column in self._kinds if row[column] is Kept.AS_CHANGED])
        if key not in self._told:
            dialect, *kept = key
            self._told[key] = f"{self._insert(dialect, kept=kept)} FROM changed"
        return Told(self._told[key], tuple(row[column] for column in self._kinds if column not in key[1:]))

    async def _execute(self, row: Mapping[str, object], conditions: Sequence[Condition]) -> bool:
        parameters = [value for condition in conditions for value in condition.parameters]
        statement = self._statement(_dialect(), *[condition.statement for condition in conditions])
        return bool(await rows(statement, [*parameters, *[row[column] for column in self._kinds]]))

    def _statement(self, *key: str) -> str:
        if key not in self._statements:
            self._statements[key] = self._written(*key)
        return self._statements[key]

    def _written(self, dialect: str, *conditions: str) -> str:
        count, numbers = numbered(conditions)
        found = ", ".join(f"({condition}) AS condition_{number}" for number, condition in enumerate(numbers))
        # allowed: made-statement: of conditions, which are constants, and the names of columns
        return f"{self._insert(dialect, after=count)}{f' FROM {found}' if found else ''} RETURNING id"

    def _insert(self, dialect: str, *, after: int = 0, kept: Collection[str] = ()) -> str:
        """The statement as far as to what it selects from, its parameters numbered after those that come before."""
        # What stands in a SELECT is text to PostgreSQL, unless it is said to be something else.
        casts = {column: f"CAST({{}} AS {kind})" for column, kind in self._kinds.items() if kind and dialect == "postgres"}
        given = {column: f"${number}" for number, column in enumerate((each for each in self._kinds if each not in kept), after + 1)}
        values = (f"changed.{column}" if column in kept else casts.get(column, "{}").format(given[column]) for column in self._kinds)
        # allowed: made-statement: of the names of columns
        return f"INSERT INTO {self._model._meta.db_table} ({', '.join(self._kinds)}) SELECT {', '.join(values)}"

    # Once the models know each other, which is later than this is made.
    @cached_property
    def _kinds(self) -> dict[str, str]:
        """The columns that are given, each with its type on PostgreSQL; "" for text, which is not to be cut to its length."""
        kinds: dict[str, str] = {}
        for name, column in self._model._meta.fields_db_projection.items():
            if name != self._model._meta.pk_attr:
                kind = str(self._model._meta.fields_map[name].get_for_dialect("postgres", "SQL_TYPE"))
                kinds[column] = "" if kind.startswith(("VARCHAR", "TEXT")) else kind
        return kinds


def numbered(statements: Iterable[str], *, after: int = 0) -> tuple[int, list[str]]:
    """The statements with their parameters numbered through, after those that come before, and the last of the numbers."""
    last, found = after, []
    for statement in statements:
        marks = [int(number) for number in re.findall(r"\$(\d+)", statement)]
        found.append(re.sub(r"\$(\d+)", partial(_later, by=last), statement))
        last += max(marks, default=0)
    return last, found


def _later(mark: re.Match[str], *, by: int) -> str:
    return f"${int(mark[1]) + by}"


def _dialect() -> str:
    found: str = require_context().db().capabilities.dialect
    return found
