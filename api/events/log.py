"""The event log: every change of a connection, appended in the transaction that makes it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import models
from api.clock import Clock
from api.events.wakeup import Wakeup
from models import ConnectionEventType, ConnectionStatus
from models.appending import Appended, Condition, Kept, Told
from models.changing import Change, change_held, change_if
from models.database import Callback, transaction
from models.notices import notify

CHANNEL = "patchbay"
_EVENTS = Appended(models.ConnectionEvent)
_STATE_AS_CHANGED = {"status": Kept.AS_CHANGED, "reason_json": Kept.AS_CHANGED}


class Record:
    """Appends to the log within one transaction."""

    # Whether anything was appended.
    has_told = False
    # Whether those who listen are told already, once all of it is committed.
    has_notified = False

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
        event = _event(connection, type, self._actor_id, self._clock())
        await _EVENTS.append(event | {"previous_status": previous_status, "previous_folder_id": previous_folder_id})

    async def change(self, change: Change, *, connection: models.Connection, type: ConnectionEventType, told: Told) -> None:
        """A change of a connection that is held, in one go with its event and with what else is told of it.

        Raises as `models.changing.change_held`.
        """
        event = _event(connection, type, self._actor_id, self._clock()) | _STATE_AS_CHANGED
        await change_held(change, [_EVENTS.told(event), told], channel=CHANNEL)
        self.has_told = self.has_notified = True


class EventLog:
    def __init__(self, clock: Clock, wakeup: Wakeup) -> None:
        self._clock = clock
        self._wakeup = wakeup

    @asynccontextmanager
    async def change(self, actor_id: UUID | None = None) -> AsyncIterator[Record]:
        """A transaction whose events reach the watchers once it is committed, and never otherwise. No actor: the refresh loop."""
        async with transaction() as after_commit:
            record = Record(self._clock, actor_id)
            yield record
            await self._wake(record, after_commit)

    @asynccontextmanager
    async def refresh(self, actor_id: UUID | None = None) -> AsyncIterator[Record]:
        """As `change`, for what concerns watchers only where there is an event."""
        async with transaction() as after_commit:
            record = Record(self._clock, actor_id)
            yield record
            if record.has_told:
                await self._wake(record, after_commit)

    async def change_if(
        self, change: Change, *conditions: Condition, connection: models.Connection, type: ConnectionEventType, told: Told, actor_id: UUID
    ) -> bool:
        """A change of a connection in one go with its event, and with what else is told of it, if all conditions hold; whether it was made.

        In what state the connection is, the event has from the row as it is then. Raises as `models.changing.change_if`.
        """
        event = _event(connection, type, actor_id, self._clock()) | _STATE_AS_CHANGED
        try:
            return await change_if(change, conditions, [_EVENTS.told(event), told], channel=CHANNEL)
        finally:
            # Also where a cancellation came while it was committed; to look for nothing does no harm.
            self._wakeup.signal()

    async def _wake(self, record: Record, after_commit: Callable[[Callback], None]) -> None:
        # On PostgreSQL other processes watch too; they are told when this transaction commits.
        if not record.has_notified:
            await notify(CHANNEL)
        after_commit(self._wakeup.signal)


def _event(connection: models.Connection, type: ConnectionEventType, actor_id: UUID | None, now: datetime) -> dict[str, object]:
    """What happened to a connection as it is now, and did not change its state or its folder."""
    return {
        "type": type,
        "connection_id": connection.id,
        "connection_name": connection.name,
        "connector_key": connection.connector_key,
        "folder_id": connection.folder_id,
        "previous_folder_id": None,
        "previous_status": None,
        "status": connection.status,
        "reason_json": connection.reason_json,
        "actor_id": actor_id,
        "at": now,
    }
