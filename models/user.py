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
    created_at = UtcField()

    class Meta:
        app = "patchbay"
        table = "user_account"
