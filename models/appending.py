"""Rows that are appended with every call, by a statement that is written once.

To make a model of each, and have the query builder write its statement anew, takes longer than to execute it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


class Appended:
    """The table of a model whose id is counted by the database. All other columns are given."""

    def __init__(self, model: type[Model]) -> None:
        self._model = model
        self._statements: dict[tuple[str, ...], str] = {}

    async def append(self, row: Mapping[str, object]) -> None:
        """Append a row."""
        await self._execute(row, ())

    async def append_if(self, row: Mapping[str, object], *conditions: Condition) -> bool:
        """Append a row if all of this is so, found by the very statement that appends it; whether it was."""
        return await self._execute(row, conditions)

    async def _execute(self, row: Mapping[str, object], conditions: Sequence[Condition]) -> bool:
        parameters = [value for condition in conditions for value in condition.parameters]
        statement = self._statement(_dialect(), *[condition.statement for condition in conditions])
        return bool(await rows(statement, [*parameters, *[row[column] for column in self._kinds]]))

    def _statement(self, *key: str) -> str:
        if key not in self._statements:
            self._statements[key] = self._written(*key)
        return self._statements[key]

    def _written(self, dialect: str, *conditions: str) -> str:
        count, numbered = _numbered(conditions)
        # What stands in a SELECT is text to PostgreSQL, unless it is said to be something else.
        casts = {column: f"CAST({{}} AS {kind})" for column, kind in self._kinds.items() if kind and dialect == "postgres"}
        values = ", ".join(casts.get(column, "{}").format(f"${number}") for number, column in enumerate(self._kinds, count + 1))
        # allowed: made-statement: of conditions, which are constants, and the names of columns
        insert = f"INSERT INTO {self._model._meta.db_table} ({', '.join(self._kinds)}) SELECT {values}"
        found = ", ".join(f"({condition}) AS condition_{number}" for number, condition in enumerate(numbered))
        # allowed: made-statement: of the same
        return f"{insert}{f' FROM {found}' if found else ''} RETURNING id"

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


def _numbered(statements: Sequence[str]) -> tuple[int, list[str]]:
    """The statements with their parameters numbered through, and how many those are."""
    count, numbered = 0, []
    for statement in statements:
        marks = [int(number) for number in re.findall(r"\$(\d+)", statement)]
        numbered.append(re.sub(r"\$(\d+)", partial(_later, by=count), statement))
        count += max(marks, default=0)
    return count, numbered


def _later(mark: re.Match[str], *, by: int) -> str:
    return f"${int(mark[1]) + by}"


def _dialect() -> str:
    found: str = require_context().db().capabilities.dialect
    return found
