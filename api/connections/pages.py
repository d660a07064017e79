"""Pages of connections as statements: the columns that are asked, of what the actor can see, in order, and no row more than it takes.

Each folder's index has its connections in order. So a page of several folders is made of the beginnings of all of them, and its cost is
that of the page, however many connections there are.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, islice
from typing import Any
from uuid import UUID

from tortoise.context import require_context

from api.access import Actor
from api.connections.query import ConnectionQuery, OrderField, Position
from api.seeing import Seen, seen_by
from models.database import records

# What is not a column of the connection by that name. Those that begin with "folder__" are the folder's.
_COMPUTED = {"next_refresh_at": "CASE WHEN {table}.renewable THEN {table}.due_at END"}
_OF_FOLDER = "folder__"

_ON_POSTGRESQL = """{beginning}
SELECT {columns} FROM seen CROSS JOIN LATERAL (
  SELECT {needed} FROM connection AS listed WHERE listed.folder_id = seen.id{conditions} ORDER BY {listed_order} LIMIT {most}
) AS connection JOIN folder ON folder.id = seen.id ORDER BY {order} LIMIT {most}
"""
_ON_SQLITE = """{beginning}
SELECT {columns} FROM seen CROSS JOIN connection ON connection.id IN (
  SELECT listed.id FROM connection AS listed WHERE listed.folder_id = seen.id{conditions} ORDER BY {listed_order} LIMIT {most}
) JOIN folder ON folder.id = seen.id ORDER BY {order} LIMIT {most}
"""
# Of one folder, or of most of what there is.
_IN_ORDER = """{beginning}
SELECT {columns} FROM connection AS listed JOIN folder ON folder.id = listed.folder_id
WHERE {permitted}{conditions} ORDER BY {listed_order} LIMIT {most}
"""
_IS_SEEN = " IN (SELECT seen.id FROM seen)"
_FOLDERS = "{beginning} SELECT id FROM seen LIMIT 2"
_ONE = """{beginning}
SELECT {columns} FROM connection AS listed JOIN folder ON folder.id = listed.folder_id WHERE listed.id = $2 AND {seen_folder}
"""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Rows as the driver has them, with the columns that were asked, and with what the list is ordered by."""

    rows: Sequence[Any]
    has_next: bool


async def record_page(
    actor: Actor, query: ConnectionQuery, columns: Collection[str], *, first: int, after: Position | None
) -> RecordPage | None:
    """One page, in every folder that the actor can see or in one; None where it takes more than one statement to know what they see."""
    seen = seen_by(actor)
    if seen is None or not query.is_of_columns:
        return None
    if query.folder_id is None and seen.seen_folder is None and _is_sqlite():
        query = await _where_there_is_one(actor, seen, query)
    statement, parameters = _statement(seen, query, frozenset(columns) | {"id", query.order.column}, first + 1, after)
    found = await records(statement, [actor.user_id, *parameters])
    return RecordPage(found[:first], len(found) > first)


async def record(actor: Actor, connection_id: object, columns: Collection[str]) -> Sequence[Any] | None:
    """One connection that the actor can see, or no row; None where it takes more than one statement to know what they see."""
    seen = seen_by(actor)
    if seen is None:
        return None
    return await records(_text_of_one(seen, frozenset(columns)), [actor.user_id, connection_id])


@lru_cache(256)
def _text_of_one(seen: Seen, columns: frozenset[str]) -> str:
    condition = seen.seen_folder or "folder.id IN (SELECT id FROM seen)"
    return _ONE.format(beginning=seen.beginning, columns=_selected(columns, "listed"), seen_folder=condition)


@dataclass(frozen=True, slots=True)
class _Shape:
    """All of a statement but the values in it."""

    seen: Seen
    columns: frozenset[str]
    order: OrderField
    descending: bool
    most: int
    # The columns that have a value each, how many statuses there are to choose from, and whether this goes on, and is of one folder.
    equal: tuple[str, ...]
    statuses: int | None
    goes_on: bool
    is_of_folder: bool
    is_sqlite: bool

    def text(self) -> str:
        place = map("${}".format, count(2))
        column, direction = self.order.column, "DESC" if self.descending else "ASC"
        conditions = [f" AND listed.{name} = {next(place)}" for name in self.equal]
        if self.statuses is not None:
            conditions.append(f" AND listed.status IN ({', '.join(islice(place, self.statuses)) or 'NULL'})")
        if self.goes_on:
            conditions.append(f" AND (listed.{column}, listed.id) {'<' if self.descending else '>'} ({next(place)}, {next(place)})")
        folder = next(place) if self.is_of_folder else None
        parts = {
            "conditions": "".join(conditions),
            "listed_order": f"listed.{column} {direction}, listed.id {direction}",
            "order": f"connection.{column} {direction}, connection.id {direction}",
            "most": self.most,
        }
        if folder is not None or self.seen.seen_folder is not None:
            permitted = self.seen.seen_folder or f"{folder}{_IS_SEEN}"
            inside = "" if folder is None else f" AND listed.folder_id = {folder}"
            return _IN_ORDER.format(
                **parts,
                beginning=self.seen.beginning,
                columns=_selected(self.columns, "listed"),
                permitted=permitted + inside,
            )
        return (_ON_SQLITE if self.is_sqlite else _ON_POSTGRESQL).format(
            **parts, beginning=self.seen.beginning, columns=_selected(self.columns, "connection"), needed=_needed(self.columns)
        )


_text = lru_cache(256)(_Shape.text)


async def _where_there_is_one(actor: Actor, seen: Seen, query: ConnectionQuery) -> ConnectionQuery:
    """The query within the folder that the actor can see, if it is one: SQLite, which is asked in no time, then has its order at once."""
    folders = await records(_FOLDERS.format(beginning=seen.beginning), [actor.user_id])
    return replace(query, folder_id=UUID(folders[0]["id"])) if len(folders) == 1 else query


def _is_sqlite() -> bool:
    return require_context().db().capabilities.dialect == "sqlite"


def _statement(seen: Seen, query: ConnectionQuery, columns: frozenset[str], most: int, after: Position | None) -> tuple[str, list[object]]:
    equal = {
        "connector_key": query.connector_key,
        "authentication_type": query.authentication_type,
        "is_default": query.is_default,
    }
    given = {name: value for name, value in equal.items() if value is not None}
    shape = _Shape(
        seen,
        columns,
        query.order,
        query.descending,
        most,
        equal=tuple(given),
        statuses=None if query.statuses is None else len(query.statuses),
        goes_on=after is not None,
        is_of_folder=query.folder_id is not None,
        is_sqlite=_is_sqlite(),
    )
    place = () if after is None else (after.value, after.id)
    folder = () if query.folder_id is None else (query.folder_id,)
    return _text(shape), [*given.values(), *(query.statuses or ()), *place, *folder]


@lru_cache(256)
def _selected(columns: frozenset[str], table: str) -> str:
    return ", ".join(f'{_expression(name, table)} AS "{name}"' for name in sorted(columns))


@lru_cache(256)
def _needed(columns: frozenset[str]) -> str:
    """The connection's own columns that these are made of."""
    plain = {name for name in columns if not name.startswith(_OF_FOLDER) and name not in _COMPUTED}
    computed = {"renewable", "due_at"} if "next_refresh_at" in columns else set[str]()
    return ", ".join(f"listed.{name}" for name in sorted(plain | computed))


def _expression(name: str, table: str) -> str:
    if name.startswith(_OF_FOLDER):
        return f"folder.{name.removeprefix(_OF_FOLDER)}"
    return _COMPUTED.get(name, f"{{table}}.{name}").format(table=table)
