"""What is to be seen of a connection."""

import models
from models import ConnectionEventType, ConnectionStatus, StatusReasonCode


async def found(connection: models.Connection) -> models.Connection:
    """The row as it is now."""
    return await models.Connection.get(id=connection.id)


async def state_of(connection: models.Connection) -> tuple[ConnectionStatus, StatusReasonCode | None]:
    now = await found(connection)
    return now.status, now.reason.code if now.reason else None


async def told(connection: models.Connection) -> list[tuple[ConnectionEventType, ConnectionStatus]]:
    """What watchers of a connection were told since it was made."""
    events = await models.ConnectionEvent.filter(connection_id=connection.id).order_by("id")
    return [(event.type, event.status) for event in events][1:]
