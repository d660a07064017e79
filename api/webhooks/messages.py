"""What a receiver is told, in the form of Standard Webhooks 1.0: `type`, `timestamp` and `data`; never a secret, and below 20 kB."""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import models
from api.events.cursors import write_cursor
from api.events.order import PlacedEvent
from api.vault.vault import Vault
from models import ConnectionEventType, StatusReason

# What is told where nobody chose: all that says whether a connection is there and works.
USUAL_EVENTS = (
    ConnectionEventType.CREATED,
    ConnectionEventType.RECONNECTED,
    ConnectionEventType.STATUS_CHANGED,
    ConnectionEventType.DELETED,
)
# Three such texts of the widest characters, and the rest, are below 20 kB.
_LONGEST_TEXT = 1_000


def new_message_id() -> str:
    return f"msg_{secrets.token_hex(16)}"


def type_of(event: ConnectionEventType) -> str:
    """The type of a message, such as `connection.status_changed`."""
    return f"connection.{event.lower()}"


def message_of(placed: PlacedEvent, *, sees: set[UUID], vault: Vault) -> str:
    """The message about an event. A folder that is not among those which the receiver `sees` is not named."""
    event = placed.event
    data: dict[str, Any] = {
        "cursor": write_cursor(placed.position, vault),
        "sequence": event.id,
        "connectionId": str(event.connection_id),
        "connectionName": event.connection_name,
        "connectorKey": event.connector_key,
        "folderId": _shown(event.folder_id, sees),
        "previousFolderId": _shown(event.previous_folder_id, sees),
        "previousStatus": event.previous_status,
        "status": event.status,
        "reason": _reason(event),
        "actorId": None if event.actor_id is None else str(event.actor_id),
        "at": _moment(event.at),
    }
    return _written(type_of(event.type), event.at, data)


def ping_of(webhook_id: UUID, now: datetime) -> str:
    """A message about nothing, to see whether it arrives."""
    return _written("webhook.test", now, {"webhookId": str(webhook_id)})


def _written(type: str, timestamp: datetime, data: Mapping[str, Any]) -> str:
    message = {"type": type, "timestamp": _moment(timestamp), "data": data}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _reason(event: models.ConnectionEvent) -> dict[str, Any] | None:
    reason: StatusReason | None = event.reason
    if reason is None:
        return None
    return {
        "code": reason.code,
        "message": reason.message[:_LONGEST_TEXT],
        "remedy": reason.remedy[:_LONGEST_TEXT],
        "fixableBy": reason.fixable_by,
        "providerError": None if reason.provider_error is None else reason.provider_error[:_LONGEST_TEXT],
    }


def _shown(folder_id: UUID | None, sees: set[UUID]) -> str | None:
    return str(folder_id) if folder_id in sees else None


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
