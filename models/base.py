"""What all rows share."""

import unicodedata
import uuid
from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.fields import SealedField, UtcField


class StrictModel(Model):
    """A model that takes just what its columns hold: a name that is unknown, a plain secret, a time without a zone raise TypeError.

    Values are looked at as they come, because Tortoise converts those of a new instance before a field could refuse them.
    """

    class Meta:
        abstract = True

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
