"""Every sealed value of the database, in whatever row it is: counted by key, and replaced some at a time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tortoise.context import require_context
from tortoise.models import Model

from models.authorization import Authorization
from models.credential import Credential
from models.fields import Sealed
from models.oauth_app import OAuthApp
from models.rows import for_each, rows
from models.token_journal import TokenJournal
from models.webhook import Webhook

# How a sealed value begins: its form, and the key that sealed it.
HEADER_BYTES: Final = 6
# No row has this id, and all have a higher one.
BEFORE_ALL: Final = UUID(int=0)

_COUNT = "SELECT substr({column}, 1, {bytes}) AS header, count(*) AS number FROM {table} WHERE {column} IS NOT NULL GROUP BY 1"
_OTHERS = """
SELECT id, {folder} AS folder, {column} AS sealed FROM {table}
WHERE {column} IS NOT NULL AND substr({column}, 1, {bytes}) <> $1 AND id > $2 ORDER BY id LIMIT $3 {skip_locked}
"""
_REPLACE = "UPDATE {table} SET {column} = $3 WHERE id = $1 AND {column} = $2"


@dataclass(frozen=True, slots=True)
class SealedValue:
    row: UUID
    # The one that it is sealed for.
    folder: UUID | None
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class SealedColumn:
    model: type[Model]
    name: str
    # What is, in SQL, the folder that a value of this column is sealed for.
    folder: str = "folder_id"

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    async def count(self) -> Counter[bytes]:
        """How many values begin with each header."""
        # allowed: made-statement: names of tables and columns of our own models
        found = await rows(_COUNT.format(table=self.table, column=self.name, bytes=HEADER_BYTES))
        return Counter({bytes(row["header"]): row["number"] for row in found})

    async def hold_others(self, header: bytes, *, after: UUID, limit: int) -> Sequence[SealedValue]:
        """The next values that do not begin with this header, held until the transaction ends; without those that others hold now."""
        shared = require_context().db().capabilities.dialect == "postgres"
        skip_locked = f"FOR NO KEY UPDATE OF {self.table} SKIP LOCKED" if shared else ""
        # allowed: made-statement: names of tables and columns of our own models
        statement = _OTHERS.format(table=self.table, column=self.name, folder=self.folder, bytes=HEADER_BYTES, skip_locked=skip_locked)
        found = await rows(statement, [header, after, limit], id=UUID, folder=UUID, sealed=Sealed)
        return [SealedValue(row["id"], row["folder"], row["sealed"]) for row in found]

    async def replace(self, changes: Sequence[tuple[SealedValue, Sealed]]) -> None:
        """Put other values in their places, each only where the one that was seen is still there."""
        # allowed: made-statement: names of tables and columns of our own models
        statement = _REPLACE.format(table=self.table, column=self.name)
        await for_each(statement, [(seen.row, bytes(seen.sealed), bytes(other)) for seen, other in changes])


# All of them: a test compares them with the models.
SEALED_COLUMNS: Final = (
    SealedColumn(Credential, "secrets", "(SELECT folder_id FROM connection WHERE connection.id = credential.connection_id)"),
    SealedColumn(OAuthApp, "client_secret"),
    SealedColumn(OAuthApp, "previous_secret"),
    SealedColumn(Authorization, "secrets"),
    SealedColumn(TokenJournal, "answer"),
    SealedColumn(Webhook, "secret"),
    SealedColumn(Webhook, "previous_secret"),
)
