"""A page out of many folders is what one would get who read all of them and put them in order."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

import models
from models import ConnectionStatus, FolderKind
from models.database import Database, instance, rows
from models.ordered import OrderedPage
from tests.many import NOW, a_connection, a_folder, add

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

COLUMNS = ("name_key", "created_at", "updated_at", "status_changed_at")
TROUBLE = (ConnectionStatus.ACTION_REQUIRED, ConnectionStatus.DEGRADED)


async def three_folders(count: int = 60) -> list[UUID]:
    """Connections in three folders, in another order by each column, several of the same rank."""
    chance = random.Random(8)
    first = await a_folder()
    others = [
        await models.Folder.create(id=uuid4(), name=name, name_key=name, kind=FolderKind.SHARED, created_at=NOW)
        for name in ("two", "three")
    ]
    folders = [first, *others]

    def some_time() -> datetime:
        return NOW + timedelta(seconds=chance.randrange(count // 3), microseconds=chance.choice([0, 1]))

    await add(
        a_connection(
            first,
            number,
            folder_id=folders[number % 3].id,
            connector_key=f"connector-{number}",
            name_key=f"name {chance.randrange(count // 3)}",
            status=chance.choice([ConnectionStatus.CONNECTED, *TROUBLE]),
            created_at=some_time(),
            updated_at=some_time(),
            status_changed_at=some_time(),
        )
        for number in range(count)
    )
    return [folder.id for folder in folders]


async def page(page: OrderedPage) -> list[models.Connection]:
    return [instance(models.Connection, row) for row in await rows(*page.statement())]


async def all_pages(folder_ids: Sequence[UUID], column: str, descending: bool, statuses: Sequence[ConnectionStatus] | None) -> list[UUID]:
    found: list[UUID] = []
    after: tuple[Any, UUID] | None = None
    while some := await page(OrderedPage(folder_ids, column, descending, 7, statuses, after)):
        found += [each.id for each in some]
        after = getattr(some[-1], column), some[-1].id
    return found


async def expected(folder_ids: Sequence[UUID], column: str, descending: bool, statuses: Sequence[ConnectionStatus] | None) -> list[UUID]:
    found = [each for each in await models.Connection.all() if each.folder_id in folder_ids]
    some = [each for each in found if statuses is None or each.status in statuses]
    rank: Callable[[models.Connection], Any] = lambda each: (getattr(each, column), each.id)  # noqa: E731
    return [each.id for each in sorted(some, key=rank, reverse=descending)]


@pytest.mark.parametrize("statuses", [None, TROUBLE, (ConnectionStatus.CONNECTED, ConnectionStatus.DEGRADED)], ids=["all", "few", "some"])
@pytest.mark.parametrize("column", COLUMNS)
async def test_page_after_page_each_is_there_once_and_in_order(column: str, statuses: Sequence[ConnectionStatus] | None) -> None:
    folder_ids = await three_folders()

    for asked in (folder_ids, folder_ids[1:], folder_ids[:1]):
        for descending in (False, True):
            assert await all_pages(asked, column, descending, statuses) == await expected(asked, column, descending, statuses)


async def test_of_no_folder_and_of_no_status_there_is_nothing() -> None:
    folder_ids = await three_folders(6)

    assert await page(OrderedPage([], "name_key", False, 10)) == []
    assert await page(OrderedPage([uuid4()], "name_key", False, 10)) == []
    assert await page(OrderedPage(folder_ids, "name_key", False, 10, [])) == []


async def test_a_page_is_read_from_an_index_of_its_order(database: Database) -> None:
    """By the plan: in each folder from where the page begins, and no more than the page."""
    folder_ids = await three_folders(3000)
    # A folder is small beside all of them.
    await models.Connection.filter(folder_id=folder_ids[0]).update(status=ConnectionStatus.CONNECTED)
    if database.dialect == "postgresql":
        await rows("ANALYZE")
    word = "EXPLAIN" if database.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
    indexes = {
        "name_key": "connection_page",
        "created_at": "connection_page_created",
        "updated_at": "connection_page_updated",
        "status_changed_at": "connection_page_changed",
    }

    for column, index in indexes.items():
        value = "name 5" if column == "name_key" else NOW
        sql, parameters = OrderedPage(folder_ids, column, False, 5, None, (value, UUID(int=0))).statement()
        told = "\n".join(str(list(row.values())) for row in await rows(f"{word} {sql}", parameters))
        assert f"{index} " in told, told
