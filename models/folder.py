from enum import IntFlag, StrEnum
from uuid import UUID

from tortoise import fields

from models.base import Row
from models.fields import UtcField, WordField
from models.user import User


class FolderKind(StrEnum):
    PERSONAL = "PERSONAL"
    SHARED = "SHARED"


class Permission(IntFlag):
    """What may be done in a folder, and with the connections in it. Kept as one number a grant."""

    VIEW = 1
    USE = 2
    CREATE = 4
    EDIT = 8
    DELETE = 16
    MANAGE = 32

    @classmethod
    def every(cls) -> "Permission":
        return cls(63)


class Folder(Row):
    """A place for connections. A personal workspace is its owner's alone; a shared one inherits the grants above it."""

    name = fields.CharField(max_length=120)
    name_key = fields.CharField(max_length=240)
    kind = WordField(FolderKind, max_length=8)
    parent: fields.ForeignKeyNullableRelation["Folder"] = fields.ForeignKeyField(
        "patchbay.Folder", related_name="children", null=True, on_delete=fields.RESTRICT
    )
    owner: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "patchbay.User", related_name="workspaces", null=True, on_delete=fields.RESTRICT
    )
    created_at = UtcField()

    parent_id: UUID | None
    owner_id: UUID | None

    class Meta:
        app = "patchbay"
        table = "folder"


class FolderGrant(Row):
    """What one user may do in one folder and in those below it."""

    folder: fields.ForeignKeyRelation[Folder] = fields.ForeignKeyField("patchbay.Folder", related_name="grants")
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("patchbay.User", related_name="grants")
    permissions = fields.IntField()

    folder_id: UUID
    user_id: UUID

    class Meta:
        app = "patchbay"
        table = "folder_grant"
        unique_together = (("folder", "user"),)
