"""Every sealed value of the database, looked at as a backup is: does it open?"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from api.vault.vault import Place, Unreadable, Vault
from models import Sealed
from models.database import rows
from models.sealed_values import BEFORE_ALL, SEALED_COLUMNS

_AT_ONCE: Final = 500
_NEXT: Final = "SELECT id, {folder} AS folder, {column} AS sealed FROM {table} WHERE {column} IS NOT NULL AND id > $1 ORDER BY id LIMIT $2"


@dataclass(frozen=True, slots=True)
class Opened:
    """How many sealed values there are, and where those are that do not open."""

    values: int
    unreadable: list[Place]


async def open_all(vault: Vault) -> Opened:
    """Open every sealed value at its place, and forget it."""
    values, unreadable = 0, []
    async for place, sealed in _all_values():
        values += 1
        try:
            vault.open(sealed, place)
        except Unreadable:
            unreadable.append(place)
    return Opened(values, unreadable)


async def _all_values() -> AsyncIterator[tuple[Place, Sealed]]:
    for column in SEALED_COLUMNS:
        # allowed: made-statement: names of tables and columns of our own models
        statement = _NEXT.format(table=column.table, column=column.name, folder=column.folder)
        after = BEFORE_ALL
        while found := await rows(statement, [after, _AT_ONCE], id=UUID, folder=UUID):
            for row in found:
                yield Place(column.table, column.name, row["id"], row["folder"]), _sealed(row["sealed"])
            after = found[-1]["id"]


def _sealed(value: object) -> Sealed:
    # In a damaged SQLite file a value may be of any type.
    return Sealed(value) if isinstance(value, bytes) else Sealed(b"")
