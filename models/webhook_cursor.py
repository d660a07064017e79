from tortoise import fields
from tortoise.context import require_context

from models.base import StrictModel
from models.rows import rows

THE_CURSOR = 1

_BEGIN = "INSERT INTO webhook_cursor (id, writer, event_id) VALUES ($1, 0, 0) ON CONFLICT (id) DO NOTHING"


class WebhookCursor(StrictModel):
    """How far in the log of events messages for webhooks were made. There is one row, from the first message on."""

    id = fields.IntField(primary_key=True)
    # The transaction that wrote the last event, by its number; 0 on SQLite.
    writer = fields.BigIntField()
    event_id = fields.BigIntField()

    class Meta:
        app = "patchbay"
        table = "webhook_cursor"

    @classmethod
    async def hold(cls) -> "WebhookCursor | None":
        """The cursor, nobody else's until the transaction ends; None while another process has it."""
        await rows(_BEGIN, [THE_CURSOR])
        if require_context().db().capabilities.dialect == "sqlite":
            return await cls.get(id=THE_CURSOR)
        return await cls.select_for_update(skip_locked=True).get_or_none(id=THE_CURSOR)
