"""Reads that are alike: one statement that several tasks ask for at once, on one way to PostgreSQL and back.

That way takes longer than to find a few rows. So whoever asks for a statement in the same turn of the event loop as another, or while that
one waits for a connection, comes along: it is executed once for each of them, with their parameters. Nobody waits for others to come, and
nothing is kept: whatever is read is read after it was asked for.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Rows = list[Any]
Values = Sequence[object]

_NUMBERED = "SELECT found.*, ${place}::int4 AS asked_as FROM ({query}) AS found"


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    values: Values
    # None: nothing came of asking together.
    answer: asyncio.Future[Rows | TimeoutError | None]


class Alike:
    """`lend` lends a connection for a while."""

    def __init__(self, lend: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._lend = lend
        # By statement, those who may still be joined.
        self._gathering: dict[str, list[_Asked]] = {}

    async def read(self, query: str, values: Values, *, at_most: int) -> Rows:
        """The rows of a statement that only reads. Behind what it selects, they have one more column.

        What fails together is asked for again by each alone, so that nobody hears of what was wrong with another's. But a database that
        does not answer in time is not asked again. Cancelled, it is nobody else's end.
        """
        asked = _Asked(values, asyncio.get_running_loop().create_future())
        if (gathered := self._gathering.get(query)) is None:
            self._gathering[query] = gathered = [asked]
            await self._read_together(query, gathered)
        else:
            gathered.append(asked)
            if len(gathered) == at_most:
                self._close(query, gathered)
        match await asked.answer:
            case None:
                async with self._lend() as connection:
                    [rows] = await _execute(connection, query, [values])
                    return rows
            case TimeoutError() as error:
                raise error
            case rows:
                return rows

    async def _read_together(self, query: str, gathered: list[_Asked]) -> None:
        """Answer all who gather until it begins. Raises what nobody but the first is to hear."""
        outcome: TimeoutError | None = None
        try:
            async with self._lend() as connection:
                # All who ask in this turn of the loop have asked by then.
                await asyncio.sleep(0)
                self._close(query, gathered)
                # Whoever was cancelled meanwhile wants nothing any more.
                wanted = [asked for asked in gathered if not asked.answer.done()]
                found = await _execute(connection, query, [asked.values for asked in wanted])
                for asked, rows in zip(wanted, found, strict=True):
                    _answer(asked, rows)
        except TimeoutError as error:
            outcome = error
        # Whatever it was may be one's alone: each asks again by itself, and hears of what is wrong with theirs.
        except Exception:
            if len(gathered) == 1:
                raise
        finally:
            self._close(query, gathered)
            for asked in gathered:
                _answer(asked, outcome)

    def _close(self, query: str, gathered: list[_Asked]) -> None:
        if self._gathering.get(query) is gathered:
            del self._gathering[query]


def _answer(asked: _Asked, answer: Rows | TimeoutError | None) -> None:
    if not asked.answer.done():
        asked.answer.set_result(answer)


async def _execute(connection: Any, query: str, several: Sequence[Values]) -> list[Rows]:
    """The rows for each of these values. Which they are for is said by each row, in its last column."""
    statement = _numbered(query, len(several[0]) + 1)
    found = await connection.fetchmany(statement, [(*values, number) for number, values in enumerate(several)])
    if len(several) == 1:
        return [found]
    rows: list[Rows] = [[] for _ in several]
    for row in found:
        rows[row[-1]].append(row)
    return rows


# As many as are written in this code, and more.
@lru_cache(256)
def _numbered(query: str, place: int) -> str:
    # allowed: made-statement: of a statement that goes to the database as it is
    return _NUMBERED.format(query=query, place=place)
