"""A connection with its folder, held or only read."""

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
_WITH_FOLDER = Joined(
    "SELECT {connection}, {folder} FROM connection JOIN folder ON folder.id = connection.folder_id WHERE connection.id = $1",
    {"connection": Connection, "folder": Folder},
)
_FOLDER = Joined("SELECT {folder} FROM folder WHERE folder.id = $1", {"folder": Folder})


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
    for row in await _WITH_FOLDER.read_alike([connection_id]):
        connection: Connection = row["connection"]
        connection.folder = row["folder"]
        return connection
    return None
