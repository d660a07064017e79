"""Rows of several tables as models, by a statement that is written once.

To have the query builder write such a statement anew takes longer than to execute it. This is for what is asked with every call.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from tortoise.models import Model

from models.rows import instance, rows


class Joined:
    """A statement with `{name}` in the place of all columns of a table, which it calls by that name."""

    def __init__(self, statement: str, tables: Mapping[str, type[Model]]) -> None:
        self._text = statement
        self._tables = tables

    async def read(self, parameters: Sequence[object]) -> list[dict[str, Any]]:
        """The models of each row, by the names of their tables; parameters as for `rows`."""
        return [self._models(row) for row in await rows(self._statement, parameters)]

    def _models(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: instance(model, {column: row[f"{name}_{column}"] for column in self._columns[name]})
            for name, model in self._tables.items()
        }

    # Once the models know each other, which is later than this is made.
    @cached_property
    def _columns(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(model._meta.fields_db_projection.values()) for name, model in self._tables.items()}

    @cached_property
    def _statement(self) -> str:
        selected = {
            name: ", ".join(f'{name}."{column}" AS {name}_{column}' for column in columns) for name, columns in self._columns.items()
        }
        return self._text.format(**selected)
