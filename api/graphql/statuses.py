"""Why a status is what it is."""

from typing import Any

import strawberry

# Whoever comes first describes the words: an enumeration that a type names before is in the schema without a description.
import api.graphql.words  # noqa: F401
import models
from models import Fixer, StatusReasonCode
from models.database import read_json


@strawberry.type(description="Why a status is what it is. One code is one cause.")
class StatusReason:
    code: StatusReasonCode = strawberry.field(description="The cause, for programs.")
    message: str = strawberry.field(description="What happened, in words a person understands; never a secret.")
    remedy: str = strawberry.field(description="What to do about it.")
    fixable_by: Fixer = strawberry.field(description="Who can do something about it.")
    provider_error: str | None = strawberry.field(description="The provider's own error code, where it gave one.")

    @classmethod
    def of(cls, reason: models.StatusReason) -> "StatusReason":
        return cls(
            code=reason.code,
            message=reason.message,
            remedy=reason.remedy,
            fixable_by=reason.fixable_by,
            provider_error=reason.provider_error,
        )

    @classmethod
    def of_json(cls, value: Any) -> "StatusReason":
        """Of a column as the driver has it."""
        return cls.of(models.StatusReason.from_json(read_json(value)))

    @classmethod
    def of_optional(cls, reason: models.StatusReason | None) -> "StatusReason | None":
        return None if reason is None else cls.of(reason)
