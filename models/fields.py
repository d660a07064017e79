"""Columns of our own: sealed bytes that never print, times that are always UTC, and words of a fixed set.

Migrations name each by the plain column that it is to the database, so that an old migration never imports what has changed since.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, TypeVar, overload

from tortoise import fields
from tortoise.fields.base import Field
from tortoise.fields.data import CharEnumFieldInstance
from tortoise.models import Model

Value = TypeVar("Value")
Time = TypeVar("Time", datetime, datetime | None)
Word = TypeVar("Word", bound=StrEnum)


class Sealed(bytes):
    """Ciphertext of the vault, which alone can open it."""

    def __repr__(self) -> str:
        return f"Sealed({len(self)} bytes)"

    __str__ = __repr__


class SealedField(Field[Value], bytes):  # type: ignore[misc]  # Field and bytes each have a __get__ or __new__ of their own
    """Holds `Sealed` bytes; refuses anything else, so that no plain secret is stored by mistake."""

    indexable = False
    SQL_TYPE = "BLOB"

    class _db_postgres:
        SQL_TYPE = "BYTEA"

    @overload
    def __init__(self: "SealedField[Sealed]", *, null: Literal[False] = False) -> None: ...

    @overload
    def __init__(self: "SealedField[Sealed | None]", *, null: Literal[True]) -> None: ...

    def __init__(self, *, null: bool = False) -> None:
        super().__init__(null=null)

    def to_db_value(self, value: Any, instance: type[Model] | Model) -> bytes | None:
        self.check(value)
        return None if value is None else bytes(value)

    def check(self, value: Any) -> None:
        if value is not None and not isinstance(value, Sealed):
            raise TypeError(f"{self.model_field_name} takes Sealed bytes, not {type(value).__name__}")

    def to_python_value(self, value: Any) -> Sealed | None:
        return None if value is None else Sealed(value)

    def describe(self, serializable: bool) -> dict[str, Any]:
        types = fields.BinaryField().get_db_field_types()
        return _as_plain(super().describe(serializable), "BinaryField") | {"db_field_types": types}

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return _plainly(super().deconstruct(), "BinaryField")


class UtcField(fields.DatetimeField[Time]):
    """A time in UTC. SQLite compares times as text, so every value is converted before it is stored or compared."""

    @overload
    def __init__(self: "UtcField[datetime]", *, null: Literal[False] = False, db_index: bool = False) -> None: ...

    @overload
    def __init__(self: "UtcField[datetime | None]", *, null: Literal[True], db_index: bool = False) -> None: ...

    def __init__(self, *, null: bool = False, db_index: bool = False) -> None:
        Field.__init__(self, null=null, db_index=db_index)
        self.auto_now = self.auto_now_add = False

    def to_db_value(self, value: Any, instance: type[Model] | Model) -> Any:
        self.check(value)
        return None if value is None else super().to_db_value(value.astimezone(UTC), instance)

    def to_python_value(self, value: Any) -> Any:
        # PostgreSQL's driver gives times, SQLite's the text that was stored, which Python reads ten times as fast as any library.
        if value is None or (value.__class__ is datetime and value.tzinfo is UTC):
            return value
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
        return time.astimezone(UTC) if isinstance(time, datetime) and time.tzinfo is not None else super().to_python_value(value)

    def check(self, value: Any) -> None:
        if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
            raise TypeError(f"{self.model_field_name} takes a datetime with a time zone")

    def describe(self, serializable: bool) -> dict[str, Any]:
        return _as_plain(super().describe(serializable), "DatetimeField")

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return _plainly(super().deconstruct(), "DatetimeField")


class _WordField(CharEnumFieldInstance):
    def __init__(self, enum_type: type[StrEnum], *, max_length: int, **options: Any) -> None:
        super().__init__(enum_type, max_length=max_length, **options)
        self.description = None

    def describe(self, serializable: bool) -> dict[str, Any]:
        return _as_plain(super().describe(serializable), "CharField")

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return _plainly(super().deconstruct(), "CharField")


@overload
def WordField(words: type[Word], *, max_length: int, null: Literal[False] = False, default: Word | None = None) -> Field[Word]: ...


@overload
def WordField(words: type[Word], *, max_length: int, null: Literal[True]) -> Field[Word | None]: ...


def WordField(words: type[Word], *, max_length: int, null: bool = False, default: Word | None = None) -> Field[Any]:
    """A word of an enumeration. To the database it is text: which words there are is for the code to say."""
    return _WordField(words, max_length=max_length, null=null, default=default)


def _as_plain(description: dict[str, Any], plain: str) -> dict[str, Any]:
    # Compared only in this form, in which it must equal what the field of the migration says.
    return description | {"field_type": plain}


def _plainly(deconstructed: tuple[str, list[Any], dict[str, Any]], plain: str) -> tuple[str, list[Any], dict[str, Any]]:
    _, arguments, options = deconstructed
    options = {name: value for name, value in options.items() if name not in ("enum_type", "auto_now", "auto_now_add")}
    if isinstance(default := options.get("default"), StrEnum):
        options["default"] = default.value
    return f"tortoise.fields.data.{plain}", arguments, options
