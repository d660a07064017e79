"""The event log: every change of a connection, appended in the transaction that makes it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import models
from api.clock import Clock
from api.events.wakeup import Wakeup
from models import ConnectionEventType, ConnectionStatus
from models.appending import Appended
from models.database import Callback, transaction
from models.notices import notify

CHANNEL = "patchbay"
_EVENTS = Appended(models.ConnectionEvent)


class Record:
    """Appends to the log within one transaction."""

    # Whether anything was appended.
    has_told = False

    def __init__(self, clock: Clock, actor_id: UUID | None) -> None:
        self._clock = clock
        self._actor_id = actor_id

    async def append(
        self,
        connection: models.Connection,
        type: ConnectionEventType,
        *,
        previous_status: ConnectionStatus | None = None,
        previous_folder_id: UUID | None = None,
    ) -> None:
        """Tell what happened to a connection, as it is now."""
        self.has_told = True
        await _EVENTS.append(
            {
                "type": type,
                "connection_id": connection.id,
                "connection_name": connection.name,
                "connector_key": connection.connector_key,
                "folder_id": connection.folder_id,
                "previous_folder_id": previous_folder_id,
                "previous_status": previous_status,
                "status": connection.status,
                "reason_json": connection.reason_json,
                "actor_id": self._actor_id,
                "at": self._clock(),
            }
        )


class EventLog:
    def __init__(self, clock: Clock, wakeup: Wakeup) -> None:
        self._clock = clock
        self._wakeup = wakeup

    @asynccontextmanager
    async def change(self, actor_id: UUID | None = None) -> AsyncIterator[Record]:
        """A transaction whose events reach the watchers once it is committed, and never otherwise. No actor: the refresh loop."""
        async with transaction() as after_commit:
            yield Record(self._clock, actor_id)
            await self._wake(after_commit)

    @asynccontextmanager
    async def refresh(self, actor_id: UUID | None = None) -> AsyncIterator[Record]:
        """As `change`, for what concerns watchers only where there is an event."""
        async with transaction() as after_commit:
            record = Record(self._clock, actor_id)
            yield record
            if record.has_told:
                await self._wake(after_commit)

    async def _wake(self, after_commit: Callable[[Callback], None]) -> None:
        # On PostgreSQL other processes watch too; they are told when this transaction commits.
        await notify(CHANNEL)
        after_commit(self._wakeup.signal)
