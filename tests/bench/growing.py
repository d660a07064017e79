"""Lists as the number of connections grows: first pages and deep ones, filtered, ordered, and counted, asked of Patchbay as it runs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any, ClassVar, cast
from uuid import UUID, uuid4

import models
from api.connections.query import ConnectionQuery, OrderField
from api.graphql.context import Context
from api.graphql.listing import _binding
from api.graphql.page import Cursors
from api.opening import open_patchbay
from api.patchbay import Patchbay
from api.settings import Settings
from models import FolderKind, Permission, fold
from models.database import rows
from tests import many
from tests.bench.filling import grow
from tests.bench.ground import Ground, on_each
from tests.bench.load import Load, Order
from tests.bench.measuring import loaded
from tests.bench.rows import Options
from tests.bench.servers import Server, served
from tests.bench.works import LIST_FIELDS, Question

# Besides the workspace; the owner of that sees all of them.
_SHARED_FOLDERS = 9
_DEPTH = 0.9
_PAGE = f"""
query Page($folder: ID, $after: String, $filter: ConnectionFilter, $order: ConnectionOrder) {{
  connections(folderId: $folder, first: 50, after: $after, filter: $filter, orderBy: $order) {{
    nodes {{ {LIST_FIELDS} }} pageInfo {{ hasNextPage }}
  }}
}}
"""
_COUNT = "query Count($folder: ID, $filter: ConnectionFilter) { connections(folderId: $folder, first: 1, filter: $filter) { totalCount } }"
_TROUBLE: Mapping[str, Any] = {"filter": {"status": ["ACTION_REQUIRED"]}}
_NEWEST: Mapping[str, Any] = {"order": {"field": "CREATED_AT", "direction": "DESC"}}


@dataclass(frozen=True, slots=True)
class Growth:
    """What one list takes, in milliseconds, for one client; by processor, of the server alone."""

    heading: ClassVar[str] = ""

    work: str
    database: str
    connections: int
    list: str
    requests: int
    failures: int
    median: float
    p99: float
    processor: float
    # The median by that with the fewest connections: 1 is flat.
    growth: float

    def __str__(self) -> str:
        failed = f", {self.failures} failed" if self.failures else ""
        return (
            f"{self.work:10}  {self.database:10}  {self.connections:9}  {self.list:26}  median {self.median:8.1f} ms, p99 {self.p99:8.1f}, "
            f"processor {self.processor:6.1f}; {self.growth:6.2f} times that with the fewest{failed}"
        )


async def measure_all_growth(options: Options) -> AsyncIterator[Growth]:
    """`measure_growth` on each of these databases."""
    async for ground in on_each(options.kinds):
        async for growth in measure_growth(ground, options.counts, seconds=options.seconds):
            yield growth


async def measure_growth(ground: Ground, counts: Sequence[int], *, seconds: float) -> AsyncIterator[Growth]:
    """The same database with more and more connections, in ten folders."""
    await _add_folders(ground)
    fewest: dict[str, float] = {}
    for count in counts:
        await grow(ground.environment["PATCHBAY_DATABASE_URL"], to=count)
        questions = await _questions(ground, count)
        async with served("patchbay", ground) as server:
            for name, question in questions.items():
                await server.ask(question)
                found = await _growth(ground, server, count, name, question, seconds)
                yield replace(found, growth=found.median / fewest.setdefault(name, found.median))


async def _growth(ground: Ground, server: Server, count: int, name: str, question: Question, seconds: float) -> Growth:
    before = server.processor_seconds()
    load: Load = await loaded(Order(server.port, [server.request(question)], question.expected, seconds))
    spent = server.processor_seconds() - before
    return Growth(
        work="growth",
        database=ground.kind,
        connections=count,
        list=name,
        requests=load.requests,
        failures=load.failures,
        median=load.median_milliseconds,
        p99=load.p99_milliseconds,
        processor=1000 * spent / load.requests,
        growth=1,
    )


async def _add_folders(ground: Ground) -> None:
    async with _opened(ground):
        owner = await models.User.get(name="Ada")
        for number in range(_SHARED_FOLDERS):
            name = f"Team {number}"
            folder = await models.Folder.create(id=uuid4(), name=name, name_key=fold(name), kind=FolderKind.SHARED, created_at=many.NOW)
            await models.FolderGrant.create(id=uuid4(), folder_id=folder.id, user_id=owner.id, permissions=int(Permission.every()))


def _opened(ground: Ground) -> Any:
    return open_patchbay(Settings.from_environment(ground.environment), serves=False, refreshes=False)


async def _questions(ground: Ground, count: int) -> dict[str, Question]:
    """By what the list is."""
    async with _opened(ground) as patchbay:
        owner = await models.User.get(name="Ada")
        folder = await models.Folder.get(owner_id=owner.id, kind=FolderKind.PERSONAL)
        cursors = _CursorsOf(patchbay, owner.id)
        here = {"folder": str(folder.id)}
        everywhere, inside = ConnectionQuery(), ConnectionQuery(folder_id=folder.id)
        newest = ConnectionQuery(order=OrderField.CREATED_AT, descending=True)
        return {
            "first page": _page({}),
            "deep page": _page({"after": await cursors.deep(everywhere, count)}),
            "first page of a folder": _page(here),
            "deep page of a folder": _page(here | {"after": await cursors.deep(inside, count // (_SHARED_FOLDERS + 1))}),
            "first page with a status": _page(_TROUBLE),
            "newest first": _page(_NEWEST),
            "deep page, newest first": _page({**_NEWEST, "after": await cursors.deep(newest, count)}),
            "count": _counted({}),
            "count of a folder": _counted(here),
            "count with a status": _counted(_TROUBLE),
        }


def _page(variables: Mapping[str, Any]) -> Question:
    return Question("/graphql", {"query": _PAGE, "variables": dict(variables)}, '"nodes":[{')


def _counted(variables: Mapping[str, Any]) -> Question:
    return Question("/graphql", {"query": _COUNT, "variables": dict(variables)}, '"totalCount":')


@dataclass(frozen=True, slots=True)
class _CursorsOf:
    """Cursors as Patchbay writes them for a viewer, without all the pages before."""

    patchbay: Patchbay
    viewer_id: UUID

    async def deep(self, query: ConnectionQuery, count: int) -> str:
        column, direction = query.order.column, "DESC" if query.descending else "ASC"
        place = "" if query.folder_id is None else "WHERE folder_id = $2"
        parameters = [int(count * _DEPTH)] if query.folder_id is None else [int(count * _DEPTH), query.folder_id]
        # allowed: made-statement: the column and the direction are of enums
        statement = f"SELECT {column} AS value, id FROM connection {place} ORDER BY {column} {direction}, id {direction} LIMIT 1 OFFSET $1"
        value, id = (await rows(statement, parameters))[0].values()
        context = SimpleNamespace(patchbay=self.patchbay, actor=SimpleNamespace(user_id=self.viewer_id))
        written = value if isinstance(value, str) else cast(datetime, value).isoformat()
        return Cursors(cast(Context, context), "connections", _binding(query)).write([written, str(id)])
