"""Rows of several tables as models, by a statement that is written once.

To have the query builder write such a statement anew takes longer than to execute it. This is for what is asked with every call.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Any

from tortoise import fields
from tortoise.fields.base import Field
from tortoise.models import Model

from models.rows import read_json, read_uuid, records, records_alike

_Conversion = Callable[[Any], Any]


class Joined:
    """A statement with `{name}` in the place of all columns of a table, which it calls by that name.

    What it selects behind the last table is handed back by these names of `others`, as the database has it.
    """

    def __init__(self, statement: str, tables: Mapping[str, type[Model]], others: Sequence[str] = ()) -> None:
        self._text = statement
        self._tables = tables
        self._others = others

    async def read(self, parameters: Sequence[object]) -> list[dict[str, Any]]:
        """The models of each row, by the names of their tables; parameters as for `rows`."""
        return [self._models(row) for row in await records(self._statement, parameters)]

    async def read_alike(self, parameters: Sequence[object]) -> list[dict[str, Any]]:
        """As `read`, together with others who do so at this moment: `records_alike`."""
        return [self._models(row) for row in await records_alike(self._statement, parameters)]

    def _models(self, row: Any) -> dict[str, Any]:
        start, found = 0, {}
        for name, table in self._places.items():
            found[name] = table.model_of(row[start : start + len(table)])
            start += len(table)
        # A row that was read alike has one column more.
        return found | dict(zip(self._others, row[start : start + len(self._others)], strict=True)) if self._others else found

    # Once the models know each other, which is later than this is made.
    @cached_property
    def _places(self) -> "dict[str, _Table]":
        return {name: _Table(model) for name, model in self._tables.items()}

    @cached_property
    def _statement(self) -> str:
        selected = {
            name: ", ".join(f'{name}."{column}" AS {name}_{column}' for column in table.columns) for name, table in self._places.items()
        }
        return self._text.format(**selected)


class _Table:
    """The columns of a model, in one order, and how a row of them becomes one: alike, whichever database gave them."""

    def __init__(self, model: type[Model]) -> None:
        meta = model._meta
        names = meta.fields_db_projection
        self._model = model
        self._names = tuple(names)
        self.columns = tuple(names.values())
        conversions = {name: _conversion(meta.fields_map[name]) for name in names}
        self._conversions = [(name, convert) for name, convert in conversions.items() if convert is not None]
        # What Tortoise notes of a row that it has read.
        is_generated = meta.db_pk_column in meta.generated_db_fields
        self._notes = {"_partial": False, "_saved_in_db": True, "_custom_generated_pk": not is_generated}

    def __len__(self) -> int:
        return len(self.columns)

    def model_of(self, row: Sequence[Any]) -> Model:
        model = self._model.__new__(self._model)
        values = model.__dict__
        values.update(zip(self._names, row, strict=True))
        for name, convert in self._conversions:
            if (value := values[name]) is not None:
                values[name] = convert(value)
        values.update(self._notes, _await_when_save={})
        return model


def _conversion(field: Field[Any]) -> _Conversion | None:
    """How a value that is not null is read; None: it is what the driver gives."""
    if isinstance(field, fields.UUIDField):
        return read_uuid
    if isinstance(field, fields.JSONField):
        return read_json
    words = getattr(field, "enum_type", None)
    if isinstance(words, type) and issubclass(words, StrEnum):
        return {word.value: word for word in words}.__getitem__
    if field.field_type is bool:
        return bool
    as_it_is = type(field).to_python_value is Field.to_python_value and field.field_type in (str, int, float)
    return None if as_it_is else field.to_python_value
