"""Pages of connections as statements: the columns that are asked, of what the actor can see, in order, and no row more than it takes.

Each folder's index has its connections in order. So a page of several folders is made of the beginnings of all of them, and its cost is
that of the page, however many connections there are.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from typing import Any
from uuid import UUID

from tortoise.context import require_context

from api.access import Actor
from api.connections.query import ConnectionQuery, OrderField, Position
from api.seeing import seen_by
from models import ConnectionStatus
from models.database import records

# What is not a column of the connection by that name. Those that begin with "folder__" are the folder's.
_COMPUTED = {"next_refresh_at": "CASE WHEN {table}.renewable THEN {table}.due_at END"}
_OF_FOLDER = "folder__"

_ON_POSTGRESQL = """{beginning}
SELECT {columns} FROM seen{states} CROSS JOIN LATERAL (
  SELECT {needed} FROM connection AS listed WHERE listed.folder_id = seen.id{conditions} ORDER BY {listed_order} LIMIT {most}
) AS connection JOIN folder ON folder.id = seen.id{inside} ORDER BY {order} LIMIT {most}
"""
# The same, where no subquery may look to its side.
_ON_SQLITE = """{beginning}
SELECT {columns} FROM seen{states} CROSS JOIN connection ON connection.id IN (
  SELECT listed.id FROM connection AS listed WHERE listed.folder_id = seen.id{conditions} ORDER BY {listed_order} LIMIT {most}
) JOIN folder ON folder.id = seen.id{inside} ORDER BY {order} LIMIT {most}
"""
# Each status has its place in the index of a folder, too.
_STATES = {
    "postgres": (" CROSS JOIN json_array_elements_text({place}::json) AS state(status)", " AND listed.status = state.status"),
    "sqlite": (" CROSS JOIN json_each({place}) AS state", " AND listed.status = state.value"),
}
_OF_ONE_FOLDER = """{beginning}
SELECT {columns} FROM connection AS listed JOIN folder ON folder.id = listed.folder_id
WHERE listed.folder_id = {folder} AND {folder}{seen}{conditions} ORDER BY {listed_order} LIMIT {most}
"""
_IS_SEEN = " IN (SELECT seen.id FROM seen)"
_FOLDERS = "{beginning} SELECT id FROM seen LIMIT 2"
_ONE = """{beginning}
SELECT {columns} FROM connection AS listed JOIN folder ON folder.id = listed.folder_id
WHERE listed.id = $2 AND folder.id IN (SELECT seen.id FROM seen)
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
    if query.folder_id is None and query.statuses is None and _dialect() == "sqlite":
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
def _text_of_one(seen: str, columns: frozenset[str]) -> str:
    return _ONE.format(beginning=seen, columns=_selected(columns, "listed"))


@dataclass(frozen=True, slots=True)
class _Shape:
    """All of a statement but the values in it."""

    seen: str
    columns: frozenset[str]
    order: OrderField
    descending: bool
    most: int
    # The columns that have a value each; whether it is of some statuses, and whether of few that are asked for; whether this goes on.
    equal: tuple[str, ...]
    has_statuses: bool
    are_few: bool
    goes_on: bool
    is_of_folder: bool
    dialect: str

    def text(self) -> str:
        place = map("${}".format, count(2))
        column, direction = self.order.column, "DESC" if self.descending else "ASC"
        each = self._each(column)
        conditions = [f" AND listed.{name} = {next(place)}" for name in self.equal]
        states = ""
        if self.has_statuses:
            states, condition = _STATES[self.dialect]
            states = states.format(place=next(place))
            conditions.append(condition)
        if self.goes_on:
            conditions.append(f" AND ({each}, listed.id) {'<' if self.descending else '>'} ({next(place)}, {next(place)})")
        folder = next(place) if self.is_of_folder else None
        parts = {
            "beginning": self.seen,
            "conditions": "".join(conditions),
            "listed_order": f"{each} {direction}, listed.id {direction}",
            "most": self.most,
        }
        if folder is not None and not self.has_statuses:
            return _OF_ONE_FOLDER.format(**parts, columns=_selected(self.columns, "listed"), folder=folder, seen=_IS_SEEN)
        return (_ON_SQLITE if self.dialect == "sqlite" else _ON_POSTGRESQL).format(
            **parts,
            columns=_selected(self.columns, "connection"),
            needed=_needed(self.columns),
            states=states,
            inside="" if folder is None else f" AND seen.id = {folder}",
            order=f"connection.{column} {direction}, connection.id {direction}",
        )

    def _each(self, column: str) -> str:
        """What each folder is ordered by. Of statuses that few have, all are read and sorted where no index has them in that order."""
        by_all = self.are_few and self.order is not OrderField.NAME
        return f"coalesce(listed.{column}, listed.{column})" if by_all else f"listed.{column}"


_text = lru_cache(256)(_Shape.text)


async def _where_there_is_one(actor: Actor, seen: str, query: ConnectionQuery) -> ConnectionQuery:
    """The query within the folder that the actor can see, if it is one: SQLite, which is asked in no time, then has its order at once."""
    folders = await records(_FOLDERS.format(beginning=seen), [actor.user_id])
    return replace(query, folder_id=UUID(folders[0]["id"])) if len(folders) == 1 else query


def _dialect() -> str:
    return require_context().db().capabilities.dialect


def _statement(seen: str, query: ConnectionQuery, columns: frozenset[str], most: int, after: Position | None) -> tuple[str, list[object]]:
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
        has_statuses=query.statuses is not None,
        are_few=query.statuses is not None and ConnectionStatus.CONNECTED not in query.statuses,
        goes_on=after is not None,
        is_of_folder=query.folder_id is not None,
        dialect=_dialect(),
    )
    place = () if after is None else (after.value, after.id)
    folder = () if query.folder_id is None else (query.folder_id,)
    statuses = () if query.statuses is None else (list(dict.fromkeys(query.statuses)),)
    return _text(shape), [*given.values(), *statuses, *place, *folder]


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
