"""Statements that the models cannot say, in one form for both databases."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

import orjson
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.context import require_context
from tortoise.models import Model

_SQLITE_NOW = "SELECT strftime('%Y-%m-%d %H:%M:%f+00:00', 'now') AS now"

# More at once save little more, and who comes first waits for the last.
_ALIKE = 16

ModelType = TypeVar("ModelType", bound=Model)


class _Alike(Protocol):
    async def execute_alike(self, query: str, values: Sequence[object], *, at_most: int) -> Sequence[Any]: ...


async def rows(sql: str, parameters: Sequence[object] = (), **types: type) -> list[dict[str, Any]]:
    """Run one statement, in the transaction if there is one, and hand back the rows that it selects or returns.

    Parameters are `$1`, `$2` and so on, each usable more than once; write no `$1` inside a literal. They may be None, bool, int,
    float, str (and so StrEnum), bytes, UUID, an aware datetime, a dict or list for a JSON column, and a tuple of ids for `= ANY($1)`.

    SQLite has only text for an id, a time and JSON, and a number for a truth; PostgreSQL has text for JSON. Name the columns to
    read as what they are, and both databases give the same: `rows(sql, [now], id=UUID, due_at=datetime, is_default=bool, site=dict)`.
    Times come in UTC. A column that is not named comes as its database has it.
    """
    client = require_context().db()
    statement, values = for_database(client, sql, parameters)
    # Not by execute_query, which on PostgreSQL drops the rows of RETURNING.
    found = await client.execute_query_dict(statement, values)
    return [_read(row, types) for row in found] if types else found


async def records(sql: str, parameters: Sequence[object] = ()) -> Sequence[Any]:
    """As `rows`, but the rows are as the driver gives them: read by the name of a column, or by its place; nothing in them is converted."""
    client = require_context().db()
    statement, values = for_database(client, sql, parameters)
    _, found = await client.execute_query(statement, values)
    return found


async def records_alike(sql: str, parameters: Sequence[object] = (), *, at_most: int = _ALIKE) -> Sequence[Any]:
    """As `records`, of a short statement that only reads and that many ask for: on PostgreSQL, up to so many at once go one way together.

    Each waits for all who went with it, and has one more column behind those that are selected. Within a transaction it goes by itself.
    """
    client = require_context().db()
    if client.capabilities.dialect == "sqlite" or isinstance(client, TransactionalDBClient):
        return await records(sql, parameters)
    statement, values = for_database(client, sql, parameters)
    return await cast(_Alike, client).execute_alike(statement, values, at_most=at_most)


async def for_each(sql: str, parameters: Sequence[Sequence[object]]) -> None:
    """Run one statement once with each of these parameters, all in one transaction."""
    if parameters:
        client = require_context().db()
        is_sqlite = client.capabilities.dialect == "sqlite"
        convert = _for_sqlite if is_sqlite else _for_both
        columns = [_column_for_database(column, convert) for column in zip(*parameters, strict=True)]
        values: list[Any] = list(zip(*columns, strict=True))
        await client.execute_many(_statement_for_sqlite(sql) if is_sqlite else sql, values)


async def database_time() -> datetime:
    """What time it is by the clock of the database: that of its server, or of this machine."""
    statement = "SELECT clock_timestamp() AS now" if is_postgresql() else _SQLITE_NOW
    now: datetime = (await rows(statement, now=datetime))[0]["now"]
    return now


def is_postgresql() -> bool:
    """Whether statements go to PostgreSQL, and not to SQLite."""
    return require_context().db().capabilities.dialect == "postgres"


def instance(model: type[ModelType], row: Mapping[str, Any]) -> ModelType:
    """The model of a row that `rows` gave without types and that has every column of its table, and maybe more."""
    return model._init_from_db(**row)


def for_database(client: BaseDBAsyncClient, sql: str, parameters: Sequence[object]) -> tuple[str, list[object]]:
    """A statement and its parameters, as for `rows`, in the words of the database."""
    if client.capabilities.dialect == "sqlite":
        return _statement_for_sqlite(sql), [_for_sqlite(value) for value in parameters]
    return sql, [_for_both(value) for value in parameters]


def _column_for_database(column: Sequence[object], convert: Callable[[object], object]) -> Iterable[object]:
    """The values of one parameter, in the order in which they come: most columns have one kind."""
    kinds = set(map(type, column))
    if kinds <= _AS_THEY_ARE:
        return column
    if all(issubclass(kind, UUID) for kind in kinds):
        return map(str, column) if convert is _for_sqlite else column
    if all(issubclass(kind, _OFTEN_THE_SAME) for kind in kinds):
        converted = {value: convert(value) for value in set(column)}
        return [converted[value] for value in column]
    return map(convert, column)


# As many as are written in this code, and more.
@lru_cache(1024)
def _statement_for_sqlite(sql: str) -> str:
    sql = re.sub(r"=\s+ANY\((\$\d+)\)", r"IN (SELECT value FROM json_each(\1))", sql)
    return re.sub(r"\$(\d+)", r"?\1", sql)


def _for_both(parameter: object) -> object:
    if type(parameter) in _AS_THEY_ARE:
        return parameter
    match parameter:
        case datetime():
            return _in_utc(parameter)
        case dict() | list():
            return json.dumps(parameter)
    return parameter


_AS_THEY_ARE = frozenset({str, int, float, bytes, bool, type(None)})
_OFTEN_THE_SAME = (datetime, StrEnum, type(None))


def _for_sqlite(parameter: object) -> object:
    if type(parameter) in _AS_THEY_ARE:
        return parameter
    match parameter:
        case UUID():
            return str(parameter)
        case datetime():
            # As Tortoise writes it. Without microseconds it has no fraction, and still sorts right: "+" is below ".".
            return _in_utc(parameter).isoformat(" ")
        case tuple():
            return json.dumps([str(id) for id in parameter])
    return _for_both(parameter)


def _in_utc(time: datetime) -> datetime:
    if time.tzinfo is UTC:
        return time
    if time.tzinfo is None:
        raise TypeError("a parameter that is a time has a time zone")
    return time.astimezone(UTC)


def texts_of_times(values: Sequence[Any]) -> Sequence[Any]:
    """Times of a column of `records`, none of them null, as JSON has them: datetimes where the driver gives those, else texts.

    On PostgreSQL `to_json(column AT TIME ZONE 'UTC')` is a text that the driver need not make a time of, to be made a text again.
    """
    if not values or not isinstance(values[0], str):
        return values
    # All at once: each has the one space, and no end of a line.
    texts = "\n".join(values)
    if not texts.startswith('"'):
        return texts.replace(" ", "T").split("\n")
    if _LENGTHS_OF_TIMES.issuperset(map(len, values)):
        return f"{texts[1:-1]}+00:00".replace('"\n"', "+00:00\n").split("\n")
    # PostgreSQL leaves out what is nothing at the end of a fraction.
    return [f"{value[1:-1]:0<26}+00:00" if "." in value else f"{value[1:-1]}+00:00" for value in values]


# With microseconds and without, in quotation marks.
_LENGTHS_OF_TIMES = frozenset({len('"2000-01-01T00:00:00.000001"'), len('"2000-01-01T00:00:00"')})


def read_json(value: Any) -> Any:
    """What a JSON column of `records` holds, or any JSON that was kept as text or bytes."""
    if not isinstance(value, str | bytes):
        return value
    try:
        return orjson.loads(value)
    # Half of a surrogate pair, which a person may have typed, is no Unicode: only the standard library reads it.
    except ValueError:
        return json.loads(value)


def read_jsons(values: Sequence[Any]) -> list[Any]:
    """As `read_json`, of a whole column of texts. What is alike is read once, and so is to be left as it is."""
    read = {value: read_json(value) for value in set(values)}
    return [read[value] for value in values]


def _read(row: dict[str, Any], types: Mapping[str, type]) -> dict[str, Any]:
    return row | {name: _READERS.get(kind, kind)(row[name]) for name, kind in types.items() if row[name] is not None}


def read_uuid(value: Any) -> UUID:
    """What a column of `records` holds that is an id."""
    return value if isinstance(value, UUID) else UUID(value)


def read_time(value: Any) -> datetime:
    """What a column of `records` holds that is a time, in UTC."""
    time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return time if time.tzinfo is UTC else time.astimezone(UTC)


_READERS: dict[type, Callable[[Any], Any]] = {UUID: read_uuid, datetime: read_time, dict: read_json, list: read_json}
