"""A page out of many folders is what one would get who read all of them and put them in order."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

import models
from api.access import Actor
from api.connections.pages import page_of_folders, record, record_page, statement_of_folders
from api.connections.query import ConnectionQuery, OrderField, Position
from models import ConnectionStatus, FolderKind
from models.database import Database, rows, texts_of_times
from tests.many import NOW, a_connection, a_folder, add

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

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


async def all_pages(folder_ids: Sequence[UUID], query: ConnectionQuery) -> list[UUID]:
    found: list[UUID] = []
    after: Position | None = None
    while some := await page_of_folders(folder_ids, query, most=7, after=after):
        found += [each.id for each in some]
        after = Position.of(some[-1], query.order)
    return found


async def expected(folder_ids: Sequence[UUID], query: ConnectionQuery) -> list[UUID]:
    found = [each for each in await models.Connection.all() if each.folder_id in folder_ids]
    some = [each for each in found if query.statuses is None or each.status in query.statuses]
    rank: Callable[[models.Connection], Any] = lambda each: (getattr(each, query.order.column), each.id)  # noqa: E731
    return [each.id for each in sorted(some, key=rank, reverse=query.descending)]


@pytest.mark.parametrize("statuses", [None, TROUBLE, (ConnectionStatus.CONNECTED, ConnectionStatus.DEGRADED)], ids=["all", "few", "some"])
@pytest.mark.parametrize("order", OrderField)
async def test_page_after_page_each_is_there_once_and_in_order(order: OrderField, statuses: tuple[ConnectionStatus, ...] | None) -> None:
    folder_ids = await three_folders()

    for asked in (folder_ids, folder_ids[1:], folder_ids[:1]):
        for descending in (False, True):
            query = ConnectionQuery(statuses=statuses, order=order, descending=descending)
            assert await all_pages(asked, query) == await expected(asked, query)


async def test_of_no_folder_and_of_no_status_there_is_nothing() -> None:
    folder_ids = await three_folders(6)

    assert await page_of_folders([], ConnectionQuery(), most=10, after=None) == []
    assert await page_of_folders([uuid4()], ConnectionQuery(), most=10, after=None) == []
    assert await page_of_folders(folder_ids, ConnectionQuery(statuses=()), most=10, after=None) == []


async def test_a_page_is_read_from_an_index_of_its_order(database: Database) -> None:
    """By the plan: in each folder from where the page begins, and no more than the page."""
    folder_ids = await three_folders(3000)
    # A folder is small beside all of them.
    await models.Connection.filter(folder_id=folder_ids[0]).update(status=ConnectionStatus.CONNECTED)
    if database.dialect == "postgresql":
        await rows("ANALYZE")
    word = "EXPLAIN" if database.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
    indexes = {
        OrderField.NAME: "connection_page",
        OrderField.CREATED_AT: "connection_page_created",
        OrderField.UPDATED_AT: "connection_page_updated",
        OrderField.STATUS_CHANGED_AT: "connection_page_changed",
    }

    for order, index in indexes.items():
        after = Position("name 5" if order is OrderField.NAME else NOW, UUID(int=0))
        sql, parameters = statement_of_folders(folder_ids, ConnectionQuery(order=order), most=5, after=after)
        told = "\n".join(str(list(row.values())) for row in await rows(f"{word} {sql}", parameters))
        assert f"{index} " in told, told


async def test_what_several_ask_for_at_once_is_for_each_what_they_may_see() -> None:
    folders = [await a_folder() for _ in range(6)]
    await add(a_connection(folders[number % 5], number) for number in range(30))
    viewers = [Actor(folder.owner_id, "Ada") for folder in folders if folder.owner_id is not None]
    asked = random.Random(8).choices([(viewer, UUID(int=number + 1)) for viewer in range(6) for number in range(30)], k=60)

    pages = await asyncio.gather(*(record_page(viewers[viewer], ConnectionQuery(), ["name"], first=50, after=None) for viewer, _ in asked))
    ones = await asyncio.gather(*(record(viewers[viewer], id, ["id"]) for viewer, id in asked))

    names = [sorted(f"Connection {number}" for number in range(30) if number % 5 == folder) for folder in range(6)]
    assert [page and [row["name"] for row in page.rows] for page in pages] == [names[viewer] for viewer, _ in asked]
    seen = [[str(id)] if (id.int - 1) % 5 == viewer else [] for viewer, id in asked]
    assert [rows and [str(row["id"]) for row in rows] for rows in ones] == seen


async def test_times_of_records_are_written_as_python_writes_them() -> None:
    """Whatever is nothing at the end of their fractions, alone and beside others."""
    folder = await a_folder()
    assert folder.owner_id is not None
    for some in ([0], [1], [123_450], [500_000, 0, 999_999, 10]):
        await models.Connection.all().delete()
        times = [NOW.replace(microsecond=micro) + timedelta(days=day) for day, micro in enumerate(some)]
        await add(a_connection(folder, number, created_at=time) for number, time in enumerate(times))
        query = ConnectionQuery(order=OrderField.CREATED_AT)

        found = await record_page(Actor(folder.owner_id, "Ada"), query, ["created_at"], first=10, after=None)

        assert found is not None
        assert list(texts_of_times([row["created_at"] for row in found.rows])) == [time.isoformat() for time in times]
        assert [Position.of_record(row, query.order).value for row in found.rows] == times
