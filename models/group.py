from uuid import UUID

from tortoise import fields

from models.base import Row
from models.fields import UtcField
from models.folder import Folder
from models.user import User


class Group(Row):
    """People who are given access together. Who is in it comes from the identity provider, or was said here."""

    name = fields.CharField(max_length=120)
    name_key = fields.CharField(max_length=240, unique=True)
    # As the identity provider calls it: then it says who is in it. Null: it is kept here.
    external_name = fields.CharField(max_length=255, null=True, unique=True)
    created_at = UtcField()

    class Meta:
        app = "patchbay"
        table = "user_group"


class GroupMember(Row):
    """A user who is in a group."""

    group: fields.ForeignKeyRelation[Group] = fields.ForeignKeyField("patchbay.Group", related_name="members")
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("patchbay.User", related_name="memberships")

    group_id: UUID
    user_id: UUID

    class Meta:
        app = "patchbay"
        table = "group_member"
        unique_together = (("group", "user"),)


class FolderGroupGrant(Row):
    """What everybody in one group may do in one folder and in those below it."""

    folder: fields.ForeignKeyRelation[Folder] = fields.ForeignKeyField("patchbay.Folder", related_name="group_grants")
    group: fields.ForeignKeyRelation[Group] = fields.ForeignKeyField("patchbay.Group", related_name="grants")
    permissions = fields.IntField()

    folder_id: UUID
    group_id: UUID

    class Meta:
        app = "patchbay"
        table = "folder_group_grant"
        unique_together = (("folder", "group"),)
