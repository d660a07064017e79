from tortoise import fields

from models.base import Row
from models.fields import SealedField, UtcField


class TokenJournal(Row):
    """One exchange with a provider: written before the request as an intent, completed with the sealed answer, deleted once saved.

    What is left behind by a crash is read at the next start, so that an answer that was received is never lost.
    """

    # No foreign key: an answer is kept even if its connection is deleted meanwhile.
    connection_id = fields.UUIDField(db_index=True)
    folder_id = fields.UUIDField()
    fingerprint = fields.CharField(max_length=64)
    generation = fields.IntField()
    lease_number = fields.BigIntField()
    started_at = UtcField()
    answer = SealedField(null=True)
    answered_at = UtcField(null=True)
    # The courier that carries the exchange, which keeps the answer until it is saved; null: none does.
    courier_id = fields.CharField(max_length=64, null=True)
    # Nobody has an answer, and none can come any more: the token may be tried once more.
    is_unanswered = fields.BooleanField(default=False, db_default=False)

    class Meta:
        app = "patchbay"
        table = "token_journal"
