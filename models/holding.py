"""Connections with their folders, held or only read."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from tortoise.context import require_context

from models.connection import Connection
from models.folder import Folder
from models.joined import Joined

# The id of no folder: what is not there is asked about like what is, so that the two take equally long.
_NOWHERE = UUID(int=0)
_SELECT = "SELECT {connection} FROM connection WHERE connection.id = $1"
_READ = Joined(_SELECT, {"connection": Connection})
_HELD = Joined(f"{_SELECT} FOR UPDATE", {"connection": Connection})
_BOTH = "SELECT {connection}, {folder} FROM connection JOIN folder ON folder.id = connection.folder_id WHERE connection.id"
_WITH_FOLDER = Joined(f"{_BOTH} = $1", {"connection": Connection, "folder": Folder})
_WITH_FOLDERS = Joined(f"{_BOTH} = ANY($1)", {"connection": Connection, "folder": Folder})
_FOLDER = Joined("SELECT {folder} FROM folder WHERE folder.id = $1", {"folder": Folder})
_FOLDERS = Joined("SELECT {folder} FROM folder WHERE folder.id = ANY($1)", {"folder": Folder})


async def hold_connection(connection_id: UUID) -> Connection | None:
    """The connection, held until the transaction ends, with its folder as it is then; on SQLite a transaction holds everything."""
    is_shared = require_context().db().capabilities.dialect == "postgres"
    found = await (_HELD if is_shared else _READ).read([connection_id])
    connection: Connection | None = found[0]["connection"] if found else None
    # By a statement of its own: the connection may have been moved while it was waited for.
    folders = await _FOLDER.read([_NOWHERE if connection is None else connection.folder_id])
    if connection is None or not folders:
        return None
    connection.folder = folders[0]["folder"]
    return connection


async def find_connection(connection_id: UUID) -> Connection | None:
    """The connection with its folder, as of now."""
    return next(iter(_connections(await _WITH_FOLDER.read_alike([connection_id]))), None)


async def find_connections(connection_ids: Collection[UUID]) -> list[Connection]:
    """Those of these connections that there are, each with its folder, as of now."""
    return _connections(await _WITH_FOLDERS.read([tuple(connection_ids)]))


async def find_folders(folder_ids: Collection[UUID]) -> dict[UUID, Folder]:
    """Those of these folders that there are."""
    found: list[Folder] = [row["folder"] for row in await _FOLDERS.read([tuple(folder_ids)])] if folder_ids else []
    return {folder.id: folder for folder in found}


def _connections(found: Collection[Mapping[str, Any]]) -> list[Connection]:
    connections: list[Connection] = []
    for row in found:
        row["connection"].folder = row["folder"]
        connections.append(row["connection"])
    return connections
