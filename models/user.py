from tortoise import fields

from models.base import Row
from models.fields import UtcField


class User(Row):
    """A person who may sign in."""

    name = fields.CharField(max_length=120)
    email = fields.CharField(max_length=254, null=True)
    # Folded, so that no two users differ by case alone.
    email_key = fields.CharField(max_length=254, null=True, unique=True)
    administrator = fields.BooleanField(default=False)
    # Who they are at the identity provider: its issuer and the subject there, as one text.
    subject = fields.CharField(max_length=512, null=True)
    # When the identity provider made its last statement about them: an older one changes nothing.
    described_at = UtcField(null=True)
    # Since when they may not sign in any more; null: they may.
    deactivated_at = UtcField(null=True)
    created_at = UtcField()

    class Meta:
        app = "patchbay"
        table = "user_account"
