"""A row that is changed, and told of in other tables, in one go: all of it if everything is still so as it was read, else nothing.

On PostgreSQL that is one statement. SQLite has none that writes to two tables: there its statements take one way to the thread of the
connection, and are one transaction, or part of one (`models.engines.together`), or of the one that is under way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast

from tortoise.context import require_context

from models.appending import Condition, Told, numbered
from models.database import in_own_transaction
from models.rows import for_database, rows

_IN_ONE = "WITH changed AS ({change} RETURNING *){steps} SELECT pg_notify({channel}, '') FROM changed"
_STEP = "WITH changed AS (SELECT * FROM {table} WHERE id = $1) {telling}"


@dataclass(frozen=True, slots=True)
class Change:
    """An UPDATE of the row whose id is `$1`, if that is as it is expected to be: a constant of the code that ends with its WHERE.

    It names each of the parameters, as for `rows`.
    """

    table: str
    statement: str
    parameters: tuple[object, ...]


class _Units(Protocol):
    async def execute_unit(self, *statements: tuple[str, Sequence[object]]) -> int: ...


async def change_if(change: Change, conditions: Sequence[Condition], told: Sequence[Told], *, channel: str) -> bool:
    """Change a row and append what is told of it if all conditions hold at that moment, and notify who listens; whether it was.

    What a condition holds is held before the row that is changed. Never within a transaction: it is one. Raises IntegrityError where
    the row as it would be must not be, and then nothing is done.
    """
    assert not in_own_transaction()
    return await _changed(change, conditions, told, channel)


async def change_held(change: Change, told: Sequence[Told], *, channel: str) -> None:
    """Change a row that is held as it is expected to be, within a transaction, and append what is told of it; who listens is notified then.

    Raises IntegrityError where the row as it would be must not be; the transaction is to be undone then.
    """
    assert in_own_transaction()
    if not await _changed(change, (), told, channel):
        raise RuntimeError("what is held was changed")


async def _changed(change: Change, conditions: Sequence[Condition], told: Sequence[Told], channel: str) -> bool:
    texts = (change.table, change.statement, tuple(each.statement for each in conditions), tuple(each.statement for each in told))
    asked = [*change.parameters, *[value for condition in conditions for value in condition.parameters]]
    client = require_context().db()
    if client.capabilities.dialect == "postgres":
        return bool(await rows(_in_one(*texts), [*asked, *[value for each in told for value in each.parameters], channel]))
    parameters = [asked, *[[change.parameters[0], *each.parameters] for each in told]]
    statements = [for_database(client, text, values) for text, values in zip(_one_by_one(*texts), parameters, strict=True)]
    return bool(await cast(_Units, client).execute_unit(*statements))


@lru_cache(64)
def _in_one(_: str, change: str, conditions: tuple[str, ...], told: tuple[str, ...]) -> str:
    last, [change, *rest] = numbered([change, *conditions, *told])
    asked, telling = rest[: len(conditions)], rest[len(conditions) :]
    steps = "".join(f", told_{number} AS ({each})" for number, each in enumerate(telling))
    # allowed: made-statement: of constants, and the names of columns
    return _IN_ONE.format(change=_conditional(change, asked), steps=steps, channel=f"${last + 1}")


@lru_cache(64)
def _one_by_one(table: str, change: str, conditions: tuple[str, ...], told: tuple[str, ...]) -> list[str]:
    _, [change, *asked] = numbered([change, *conditions])
    # allowed: made-statement: of constants, and the names of columns
    steps = [_STEP.format(table=table, telling=numbered([each], after=1)[1][0]) for each in told]
    return [_conditional(change, asked), *steps]


def _conditional(change: str, conditions: Sequence[str]) -> str:
    return change + "".join(f" AND EXISTS ({condition})" for condition in conditions)
