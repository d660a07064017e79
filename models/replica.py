from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from tortoise import fields

from models.base import StrictModel
from models.fields import UtcField
from models.rows import rows

# Four beats and more; who does not tell for so long is gone, or no longer reaches the database.
GONE_AFTER = timedelta(seconds=75)
_FORGOTTEN_AFTER = timedelta(days=1)

_TELL = """
INSERT INTO replica (id, started_at, seen_at, version, refreshes, courier_id, data_keys) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE SET
  seen_at = excluded.seen_at, version = excluded.version, refreshes = excluded.refreshes,
  courier_id = excluded.courier_id, data_keys = excluded.data_keys
"""


class Replica(StrictModel):
    """A process that works on this database, as it last told of itself. Who does not tell for minutes is gone."""

    id = fields.CharField(max_length=64, primary_key=True)
    started_at = UtcField()
    seen_at = UtcField()
    version = fields.CharField(max_length=32)
    # Whether it refreshes, or only answers.
    refreshes = fields.BooleanField()
    # The journal in which its exchanges are, by the id that is in the journal's folder; null: it has none.
    courier_id = fields.CharField(max_length=64, null=True)
    # The data keys that it can open; first the one that it seals with. A new one is not sealed with before all have it.
    data_keys: list[int] = fields.JSONField(default=list)

    class Meta:
        app = "patchbay"
        table = "replica"

    @classmethod
    async def alive(cls, now: datetime) -> Sequence[Self]:
        """Those that told of themselves lately, by their own clocks."""
        return await cls.filter(seen_at__gt=now - GONE_AFTER).order_by("id")

    @classmethod
    async def forget_gone(cls, now: datetime) -> None:
        """Forget those that were not seen for a day."""
        await cls.filter(seen_at__lte=now - _FORGOTTEN_AFTER).delete()

    async def tell(self) -> None:
        """Write the row, whether or not it is there."""
        told: list[Any] = [self.id, self.started_at, self.seen_at, self.version, self.refreshes, self.courier_id, self.data_keys]
        await rows(_TELL, told)
