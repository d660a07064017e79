"""A connection with its folder, in one statement."""

from uuid import UUID

from tortoise.context import require_context

from models.connection import Connection
from models.folder import Folder
from models.joined import Joined

_WITH_FOLDER = "SELECT {connection}, {folder} FROM connection JOIN folder ON folder.id = connection.folder_id WHERE connection.id = $1"
_TABLES = {"connection": Connection, "folder": Folder}
_READ = Joined(_WITH_FOLDER, _TABLES)
_HELD = Joined(f"{_WITH_FOLDER} FOR UPDATE OF connection", _TABLES)


async def hold_connection(connection_id: UUID) -> Connection | None:
    """The connection with its folder, held until the transaction ends; on SQLite that holds everything."""
    is_shared = require_context().db().capabilities.dialect == "postgres"
    for row in await (_HELD if is_shared else _READ).read([connection_id]):
        connection: Connection = row["connection"]
        connection.folder = row["folder"]
        return connection
    # Moved while it was waited for: then it fits its former folder no more, and is found by itself.
    moved = await Connection.select_for_update().get_or_none(id=connection_id) if is_shared else None
    if moved is not None:
        moved.folder = await Folder.get(id=moved.folder_id)
    return moved
