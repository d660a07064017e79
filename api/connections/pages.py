"""Pages of connections as statements: the columns that are asked, of the folders where to look, in order, and no row more than it takes.

Each folder's index has its connections in order. So a page of several folders is made of the beginnings of all of them, and its cost is
that of the page, however many connections there are. Asked for all folders at once, both databases would read whatever is in them, and
sort it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from typing import Any
from uuid import UUID

from tortoise.context import require_context

import models
from api.access import Actor
from api.connections.query import ConnectionQuery, OrderField, Position
from api.seeing import IS_SEEN, seen_by
from models import ConnectionStatus
from models.database import instance, records, records_alike, rows

# What is not a column of the connection by that name. Those that begin with "folder__" are the folder's.
_COMPUTED = {"next_refresh_at": "CASE WHEN {table}.renewable THEN {table}.due_at END"}
_OF_FOLDER = "folder__"
# What the driver of PostgreSQL would make objects of, to be made texts again, comes as a text: a time takes a tenth as long so.
_TEXTS_ON_POSTGRESQL = {"_at": "to_json(({value}) AT TIME ZONE 'UTC')", "id": "CAST({value} AS text)"}

# A page is work for the database and for the driver: of more, one waits for the other.
_PAGES_AT_ONCE = 4

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
WHERE listed.folder_id = {folder}{inside}{conditions} ORDER BY {listed_order} LIMIT {most}
"""
_AND_SEEN = " AND {folder} IN (SELECT seen.id FROM seen)"
# Only where it is one folder that is seen.
_AND_SOLE = ", sole(id) AS (SELECT max(id) FROM (SELECT id FROM seen LIMIT 2) HAVING count(*) = 1)"
_SOLE = "(SELECT sole.id FROM sole)"
_ONE = """{beginning}
SELECT {columns} FROM connection AS listed JOIN folder ON folder.id = listed.folder_id
WHERE listed.id = $2 AND {is_seen}
"""
# The folders whose ids are $1.
_NAMED = {
    "postgres": "WITH seen(id) AS (SELECT id::uuid FROM json_array_elements_text($1::json) AS named(id))",
    "sqlite": "WITH seen(id) AS (SELECT value FROM json_each($1))",
}


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Rows as the driver has them, with the columns that were asked, and with what the list is ordered by."""

    rows: Sequence[Any]
    has_next: bool


async def record_page(
    actor: Actor, query: ConnectionQuery, columns: Collection[str], *, first: int, after: Position | None
) -> RecordPage | None:
    """One page, in every folder that the actor can see or in one; None where it takes more than one statement to know what they see.

    Ids are texts, and times as `texts_of_times` reads them.
    """
    seen = seen_by(actor)
    if seen is None or not query.is_of_columns:
        return None
    shape = _shape(seen, query, first + 1, after, frozenset(columns) | {"id", query.order.column})
    values = [actor.user_id, *_values(query, after)]
    found = await records(_text_of_sole(shape), values) if shape.may_be_sole else ()
    found = found or await records_alike(_text(shape), values, at_most=_PAGES_AT_ONCE)
    return RecordPage(found[:first], len(found) > first)


async def page_of_folders(
    folder_ids: Sequence[UUID], query: ConnectionQuery, *, most: int, after: Position | None
) -> list[models.Connection]:
    """`most` connections in these folders, of a query that is plain."""
    return [instance(models.Connection, row) for row in await rows(*statement_of_folders(folder_ids, query, most=most, after=after))]


def statement_of_folders(
    folder_ids: Sequence[UUID], query: ConnectionQuery, *, most: int, after: Position | None
) -> tuple[str, list[object]]:
    """What `page_of_folders` asks, for `rows`."""
    anywhere = replace(query, folder_id=None)
    shape = _shape(_NAMED[_dialect()], anywhere, most, after, None)
    return _text(shape), [[str(id) for id in folder_ids], *_values(anywhere, after)]


async def record(actor: Actor, connection_id: object, columns: Collection[str]) -> Sequence[Any] | None:
    """One connection that the actor can see, or no row; None where it takes more than one statement to know what they see.

    Ids are texts, and times as `texts_of_times` reads them.
    """
    seen = seen_by(actor)
    if seen is None:
        return None
    return await records_alike(_text_of_one(seen, frozenset(columns), _dialect()), [actor.user_id, connection_id])


@dataclass(frozen=True, slots=True)
class _Shape:
    """All of a statement but the values in it."""

    seen: str
    # None: all, as models have them.
    columns: frozenset[str] | None
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

    @property
    def may_be_sole(self) -> bool:
        """Whether it is worth to ask first as if there were one folder: SQLite, which is asked in no time, then has its order at once."""
        return self.dialect == "sqlite" and not (self.is_of_folder or self.has_statuses)

    def text(self) -> str:
        place = map("${}".format, count(2))
        parts, states = self._parts(place)
        folder = next(place) if self.is_of_folder else None
        if folder is not None and not self.has_statuses:
            return self._of_one_folder(parts, self.seen, folder, _AND_SEEN.format(folder=folder))
        column, direction = self.order.column, self._direction
        return (_ON_SQLITE if self.dialect == "sqlite" else _ON_POSTGRESQL).format(
            **parts,
            beginning=self.seen,
            columns=_selected(self.columns, "connection", self.dialect),
            needed=_needed(self.columns),
            states=states,
            inside="" if folder is None else f" AND seen.id = {folder}",
            order=f"connection.{column} {direction}, connection.id {direction}",
        )

    def text_of_sole(self) -> str:
        """That of the one folder that is seen; of several, it finds nothing."""
        parts, _ = self._parts(map("${}".format, count(2)))
        return self._of_one_folder(parts, self.seen.rstrip() + _AND_SOLE, _SOLE)

    def _of_one_folder(self, parts: dict[str, object], beginning: str, folder: str, inside: str = "") -> str:
        columns = _selected(self.columns, "listed", self.dialect)
        return _OF_ONE_FOLDER.format(**parts, beginning=beginning, columns=columns, folder=folder, inside=inside)

    def _parts(self, place: Iterator[str]) -> tuple[dict[str, object], str]:
        """What is said of each connection, and of the states beside the folders."""
        each = self._each(self.order.column)
        conditions = [f" AND listed.{name} = {next(place)}" for name in self.equal]
        states = ""
        if self.has_statuses:
            states, condition = _STATES[self.dialect]
            states = states.format(place=next(place))
            conditions.append(condition)
        if self.goes_on:
            conditions.append(f" AND ({each}, listed.id) {'<' if self.descending else '>'} ({next(place)}, {next(place)})")
        order = f"{each} {self._direction}, listed.id {self._direction}"
        return {"conditions": "".join(conditions), "listed_order": order, "most": self.most}, states

    @property
    def _direction(self) -> str:
        return "DESC" if self.descending else "ASC"

    def _each(self, column: str) -> str:
        """What each folder is ordered by. Of statuses that few have, all are read and sorted where no index has them in that order."""
        by_all = self.are_few and self.order is not OrderField.NAME
        return f"coalesce(listed.{column}, listed.{column})" if by_all else f"listed.{column}"


_text = lru_cache(256)(_Shape.text)
_text_of_sole = lru_cache(256)(_Shape.text_of_sole)


@lru_cache(256)
def _text_of_one(seen: str, columns: frozenset[str], dialect: str) -> str:
    return _ONE.format(beginning=seen, is_seen=IS_SEEN, columns=_selected(columns, "listed", dialect))


def _dialect() -> str:
    return require_context().db().capabilities.dialect


def _shape(seen: str, query: ConnectionQuery, most: int, after: Position | None, columns: frozenset[str] | None) -> _Shape:
    return _Shape(
        seen,
        columns,
        query.order,
        query.descending,
        most,
        equal=tuple(_equal(query)),
        has_statuses=query.statuses is not None,
        are_few=query.statuses is not None and ConnectionStatus.CONNECTED not in query.statuses,
        goes_on=after is not None,
        is_of_folder=query.folder_id is not None,
        dialect=_dialect(),
    )


def _values(query: ConnectionQuery, after: Position | None) -> list[object]:
    """In the order of the places in a statement, behind what `seen` has."""
    statuses = () if query.statuses is None else (list(dict.fromkeys(query.statuses)),)
    place = () if after is None else (after.value, after.id)
    folder = () if query.folder_id is None else (query.folder_id,)
    return [*_equal(query).values(), *statuses, *place, *folder]


def _equal(query: ConnectionQuery) -> dict[str, object]:
    """The columns that must have one value each."""
    asked = {
        "connector_key": query.connector_key,
        "authentication_type": query.authentication_type,
        "is_default": query.is_default,
    }
    return {name: value for name, value in asked.items() if value is not None}


@lru_cache(256)
def _selected(columns: frozenset[str] | None, table: str, dialect: str) -> str:
    if columns is None:
        return f"{table}.*"
    return ", ".join(f'{_expression(name, table, dialect)} AS "{name}"' for name in sorted(columns))


@lru_cache(256)
def _needed(columns: frozenset[str] | None) -> str:
    """The connection's own columns that these are made of."""
    if columns is None:
        return "listed.*"
    plain = {name for name in columns if not name.startswith(_OF_FOLDER) and name not in _COMPUTED}
    computed = {"renewable", "due_at"} if "next_refresh_at" in columns else set[str]()
    return ", ".join(f"listed.{name}" for name in sorted(plain | computed))


def _expression(name: str, table: str, dialect: str) -> str:
    if name.startswith(_OF_FOLDER):
        found = f"folder.{name.removeprefix(_OF_FOLDER)}"
    else:
        found = _COMPUTED.get(name, f"{{table}}.{name}").format(table=table)
    if dialect == "postgres":
        for ending, text in _TEXTS_ON_POSTGRESQL.items():
            if name.endswith(ending):
                return text.format(value=found)
    return found
