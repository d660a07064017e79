from uuid import UUID

from tortoise import fields

from models.base import StrictModel


class FormerFolder(StrictModel):
    """Where a folder was that is deleted: what happened in it may still have to be told to who listens above."""

    id = fields.UUIDField(primary_key=True)
    parent_id: UUID | None = fields.UUIDField(null=True)

    class Meta:
        app = "patchbay"
        table = "former_folder"
