from tortoise.models import Model

import models
from models.fields import SealedField
from models.sealed_values import SEALED_COLUMNS


def test_every_sealed_column_of_the_models_is_among_those_that_a_rotation_seals_anew() -> None:
    kinds = [kind for kind in map(vars(models).get, models.__all__) if isinstance(kind, type) and issubclass(kind, Model)]
    found = {(kind, name) for kind in kinds for name, field in kind._meta.fields_map.items() if isinstance(field, SealedField)}

    assert {(column.model, column.name) for column in SEALED_COLUMNS} == found
