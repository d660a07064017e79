from tortoise import fields

from models.base import StrictModel
from models.fields import UtcField


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
    # The data keys that it can open: a new one is not sealed with before all have it.
    data_keys: list[int] = fields.JSONField(default=list)

    class Meta:
        app = "patchbay"
        table = "replica"
