"""Reads of SQLite in the event loop itself, for what is there in less time than a thread takes to be asked.

Beside the connection that writes there is one that only reads. A statement has so many steps of SQLite's machine, which are a millisecond
or two; one that is not through by then is left to the thread. And after so many statements in one turn of the loop, the next one waits for
the next turn. So nobody waits for a long read, and a short one waits for nobody: not for the thread, and not for a transaction that is
under way, of which it sees nothing.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_STEPS = 20_000
# How often the count of steps is looked at. It is not begun anew with each statement, so that the first look may come early.
_LOOK = 2_000
_STATEMENTS_IN_A_TURN = 16


class Reader:
    """Opened once the database is there, and closed before it is. It never writes, and makes no checkpoint."""

    def __init__(self, file: Path) -> None:
        # Without waiting: who waits in the loop keeps everybody waiting.
        self._connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=0)
        self._connection.row_factory = sqlite3.Row
        self._connection.set_progress_handler(self._goes_too_far, _LOOK)
        self._looks = 0
        self._in_this_turn = 0

    async def turn(self) -> None:
        """To be waited for before each statement: who reads and reads lets others have their turn in between."""
        if self._in_this_turn >= _STATEMENTS_IN_A_TURN:
            await asyncio.sleep(0)
        if not self._in_this_turn:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self._in_this_turn += 1

    def read(self, query: str, values: Sequence[Any] | None) -> list[sqlite3.Row] | None:
        """The rows; None where they are not to be had at once."""
        self._looks = 0
        try:
            return self._connection.execute(query, values or ()).fetchall()
        # Too long, or the file is held, or whatever else: the thread meets it too, and says it.
        except sqlite3.Error:
            return None

    def close(self) -> None:
        self._connection.close()

    def _goes_too_far(self) -> bool:
        self._looks += 1
        return self._looks * _LOOK > _STEPS

    def _begin_turn(self) -> None:
        self._in_this_turn = 0
