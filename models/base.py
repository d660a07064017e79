"""What all rows share."""

import unicodedata
import uuid
from typing import Any, Self

from tortoise import fields
from tortoise.models import Model

from models.fields import SealedField, UtcField


class StrictModel(Model):
    """A model that takes just what its columns hold: a name that is unknown, a plain secret, a time without a zone raise TypeError.

    Values are looked at as they come, because Tortoise converts those of a new instance before a field could refuse them.
    """

    class Meta:
        abstract = True

    @classmethod
    def _init_from_db(cls, **columns: Any) -> Self:
        """As Tortoise makes an instance of a row, without a call for every attribute; a row without all columns is left to Tortoise."""
        instance, meta = cls.__new__(cls), cls._meta
        values = instance.__dict__
        try:
            for column, name, _ in meta.db_native_fields:
                values[name] = columns[column]
            for column, name, field in meta.db_default_fields:
                value = columns[column]
                values[name] = None if value is None else field.field_type(value)
            for column, name, field in meta.db_complex_fields:
                value = columns[column]
                values[name] = None if value is None else field.to_python_value(value)
        except KeyError:
            return super()._init_from_db(**columns)
        is_generated = meta.db_pk_column in meta.generated_db_fields
        values |= {"_partial": False, "_saved_in_db": True, "_custom_generated_pk": not is_generated, "_await_when_save": {}}
        return instance

    def _set_kwargs(self, kwargs: dict[str, Any]) -> set[str]:
        for name, value in kwargs.items():
            field = self._meta.fields_map.get(name)
            if field is None:
                raise TypeError(f"{type(self).__name__} has no {name}")
            if isinstance(field, SealedField | UtcField):
                field.check(value)
        return super()._set_kwargs(kwargs)


class Row(StrictModel):
    """A row with a random id. An id is a name, never a permission."""

    id = fields.UUIDField(primary_key=True, default=uuid.uuid4)

    class Meta:
        abstract = True


def fold(name: str) -> str:
    """The form in which names are compared: NFKC, then without regard to case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
