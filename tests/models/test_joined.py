"""Models of several tables by a statement of our own, against those that the query builder reads, on each database."""

from datetime import UTC, datetime

import pytest

import models
from models import FolderKind
from models.database import Database
from models.joined import Joined

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 5, 12, 0, 0, 123456, tzinfo=UTC)
OWNED = Joined(
    "SELECT {folder}, {owner} FROM folder JOIN user_account AS owner ON owner.id = folder.owner_id WHERE folder.name = $1",
    {"folder": models.Folder, "owner": models.User},
)


def values_of(row: models.Folder | models.User) -> dict[str, object]:
    return {name: getattr(row, name) for name in row._meta.fields_db_projection}


async def test_each_table_of_a_row_is_the_model_that_the_builder_reads(database: Database) -> None:
    owner = await models.User.create(name="Ada", administrator=True, created_at=NOW)
    await models.Folder.create(name="Mine", name_key="mine", kind=FolderKind.PERSONAL, owner_id=owner.id, created_at=NOW)

    [row] = await OWNED.read(["Mine"])
    folder = await models.Folder.get(name="Mine").select_related("owner")

    assert values_of(row["folder"]) == values_of(folder)
    assert values_of(row["owner"]) == values_of(await models.User.get(id=owner.id))
    assert (row["folder"].kind, row["owner"].administrator, row["owner"].created_at) == (FolderKind.PERSONAL, True, NOW)
    assert await OWNED.read(["Yours"]) == []


async def test_a_model_that_was_read_so_is_saved_like_any_other(database: Database) -> None:
    owner = await models.User.create(name="Ada", administrator=False, created_at=NOW)
    await models.Folder.create(name="Mine", name_key="mine", kind=FolderKind.PERSONAL, owner_id=owner.id, created_at=NOW)
    [row] = await OWNED.read(["Mine"])

    row["owner"].name = "Ada L."
    await row["owner"].save()

    assert [user.name for user in await models.User.all()] == ["Ada L."]
