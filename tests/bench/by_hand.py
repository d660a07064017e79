"""The statements of the ceiling, for both databases, and the drivers that run them."""

import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import orjson

# Read by place and by name, whichever driver it is of.
Row = Any

CONNECTORS = {"measured": "Measured"}

# Times are wrapped: on SQLite they are texts, which have a space where GraphQL has a T.
_COLUMNS = """
CAST(connection.id AS text), connection.name, connection.status, time(connection.status_changed_at), connection.is_default,
connection.account, connection.scopes, time(connection.expires_at), CASE WHEN connection.renewable THEN time(connection.due_at) END,
time(connection.last_refreshed_at), time(connection.created_at), time(connection.updated_at), connection.connector_key,
CAST(folder.id AS text) AS folder_id, folder.name
"""

LIST = f"""
SELECT {_COLUMNS} FROM connection JOIN folder ON folder.id = connection.folder_id
WHERE connection.folder_id = $1 ORDER BY connection.name_key, connection.id LIMIT 51
"""

_PERMITTED = """
CASE WHEN folder.kind = 'PERSONAL' THEN folder.owner_id = owner.id ELSE owner.administrator OR EXISTS (
  WITH RECURSIVE above(id, parent_id) AS (
    SELECT id, parent_id FROM folder AS lowest WHERE lowest.id = connection.folder_id
    UNION ALL
    SELECT higher.id, higher.parent_id FROM folder AS higher JOIN above ON higher.id = above.parent_id
  ), granted(folder_id, permissions) AS (
    SELECT folder_id, permissions FROM folder_grant WHERE user_id = owner.id
    UNION ALL
    SELECT given.folder_id, given.permissions
    FROM folder_group_grant AS given JOIN group_member ON group_member.group_id = given.group_id WHERE group_member.user_id = owner.id
  )
  SELECT 1 FROM above JOIN granted ON granted.folder_id = above.id WHERE granted.permissions & $4 <> 0
) END AS permitted
"""
_FROM_TOKEN = """
FROM api_token AS token JOIN user_account AS owner ON owner.id = token.user_id
JOIN connection ON connection.id = $2 JOIN folder ON folder.id = connection.folder_id
"""
_ALIVE = """
WHERE token.public_id = $1 AND token.revoked_at IS NULL AND (token.expires_at IS NULL OR token.expires_at > $3)
AND token.permissions IS NULL AND token.folder_ids IS NULL AND owner.deactivated_at IS NULL
"""

CHECKED = f"SELECT {_COLUMNS}, token.secret_hash, {_PERMITTED} {_FROM_TOKEN} {_ALIVE}"

# The row of whoever acts is held on PostgreSQL, so that a right that is taken away is taken before or after.
_WHO = "CAST(owner.id AS text) AS user_id, owner.name AS user_name, CAST(token.id AS text) AS token_id"
ISSUED = f"""
SELECT {_COLUMNS}, token.secret_hash, {_PERMITTED}, {_WHO},
  credential.secrets, CAST(credential.id AS text) AS credential_id, credential.generation,
  connection.expires_at IS NOT NULL AND connection.expires_at <= $3 AS is_over,
  connection.last_used_at IS NULL OR minutes(connection.last_used_at, $3) >= 1 AS is_unused
{_FROM_TOKEN} JOIN credential ON credential.connection_id = connection.id {_ALIVE} held(owner)
"""
NOTE_USE = "UPDATE connection SET last_used_at = $2 WHERE id = $1"
HELD = f"""
SELECT {_COLUMNS}, token.secret_hash, {_PERMITTED}, {_WHO}, connection.reason_json
{_FROM_TOKEN} {_ALIVE} held(owner) changed(connection)
"""
RENAME = "UPDATE connection SET name = $2, name_key = $3, updated_at = $4 WHERE id = $1"
EVENT = """
INSERT INTO connection_event (type, connection_id, connection_name, connector_key, folder_id, status, reason_json, actor_id, at)
VALUES ('RENAMED', $1, $2, $3, $4, $5, $6, $7, $8)
"""
AUDIT = """
INSERT INTO audit_entry (at, actor_id, actor_name, source, token_id, action, outcome, subject_id, subject_name, folder_id, detail)
VALUES ($1, $2, $3, $4, $5, $6, 'DONE', $7, $8, $9, $10)
"""


class Session(Protocol):
    async def rows(self, statement: str, *values: object) -> Sequence[Row]: ...

    async def notify(self) -> None:
        """Tell other processes to look for events, once this is committed; on SQLite there are none."""


class Database(Session, Protocol):
    # The id of the one that holds the connections.
    workspace: str

    def transaction(self) -> AbstractAsyncContextManager[Session]: ...

    def now(self) -> object:
        """What time it is, as the driver takes it."""


@cache
def _for_postgresql(statement: str) -> str:
    statement = re.sub(r"minutes\(([^,]+), (\$\d)\)", r"EXTRACT(EPOCH FROM \2 - \1) / 60", statement)
    statement = re.sub(r"held\((\w+)\)", r"FOR SHARE OF \1", re.sub(r"changed\((\w+)\)", r"FOR UPDATE OF \1", statement))
    return re.sub(r"\btime\(([^)]+)\)", r"\1", statement)


@cache
def _for_sqlite(statement: str) -> str:
    statement = re.sub(r"minutes\(([^,]+), (\$\d)\)", r"(julianday(\2) - julianday(\1)) * 1440", statement)
    statement = re.sub(r"(held|changed)\(\w+\)", "", re.sub(r"\btime\(([^)]+)\)", r"replace(\1, ' ', 'T')", statement))
    return re.sub(r"\$(\d+)", r"?\1", statement)


class _PostgresqlSession:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def rows(self, statement: str, *values: object) -> Sequence[Row]:
        found: list[Row] = await self._connection.fetch(_for_postgresql(statement), *values)
        return found

    async def notify(self) -> None:
        await self.rows("SELECT pg_notify('patchbay', '')")


class _Postgresql(_PostgresqlSession):
    """A pool as it comes."""

    workspace: str

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self._connection.acquire() as connection, connection.transaction():
            yield _PostgresqlSession(connection)

    def now(self) -> object:
        return datetime.now(UTC)


class _Sqlite:
    """One connection, as durable as Patchbay's."""

    workspace: str

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def rows(self, statement: str, *values: object) -> Sequence[Row]:
        return self._connection.execute(_for_sqlite(statement), values).fetchall()

    async def notify(self) -> None:
        pass

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def now(self) -> object:
        return datetime.now(UTC).isoformat(" ")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """The database of this URL."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(urlsplit(url).path, isolation_level=None, timeout=10)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        with closing(connection):
            yield await _at_home(_Sqlite(connection))
        return
    async with asyncpg.create_pool(url, max_size=20) as pool:
        yield await _at_home(_Postgresql(pool))


async def _at_home(database: "_Postgresql | _Sqlite") -> Database:
    [row] = await database.rows("SELECT CAST(folder_id AS text) FROM connection LIMIT 1")
    database.workspace = row[0]
    return database


async def opener(environment: Mapping[str, str]) -> Callable[[bytes, str, str], dict[str, Any]]:
    """A function that opens the sealed secrets of a credential, by its id and its folder's, with the vault of the installation."""
    # Not at the top: they take a second, and a server that only lists needs none of them.
    from api.clock import utc_now
    from api.connections.secrets import credential_place
    from api.master_keys import master_keys
    from api.settings import Settings
    from api.vault.opening import open_vault
    from models import Sealed
    from models.database import open_database

    settings = Settings.from_environment(environment)
    async with open_database(settings.database_url.reveal()):
        vault = await open_vault(master_keys(settings), utc_now)

    def open(sealed: bytes, row: str, folder: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(vault.open(Sealed(sealed), credential_place(UUID(row), UUID(folder))))
        return found

    return open
