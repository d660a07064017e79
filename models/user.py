from enum import Flag

from tortoise import fields

from models.base import Row
from models.fields import UtcField


class OrganizationPermission(Flag):
    """What a user may do that has to do with no folder. Administrators may all of it."""

    MANAGE_CONNECTORS = 1

    @classmethod
    def every(cls) -> "OrganizationPermission":
        return ~cls(0)


class User(Row):
    """A person who may sign in."""

    name = fields.CharField(max_length=120)
    email = fields.CharField(max_length=254, null=True)
    # Folded, so that no two users differ by case alone.
    email_key = fields.CharField(max_length=254, null=True, unique=True)
    administrator = fields.BooleanField(default=False)
    # Of `OrganizationPermission`, as one number.
    organization_permissions = fields.IntField(default=0, db_default=0)
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
