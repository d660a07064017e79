"""Positions in the event log as texts that a client keeps: signed, so that only what came from here is taken back."""

import json

from api.events.order import EventPosition
from api.vault.signing import read_signed, write_signed
from api.vault.vault import Vault

_PURPOSE = "event cursor"


def write_cursor(position: EventPosition, vault: Vault) -> str:
    payload = json.dumps([position.transaction, position.id], separators=(",", ":")).encode()
    return write_signed(payload, vault, purpose=_PURPOSE)


def read_cursor(cursor: str, vault: Vault) -> EventPosition | None:
    """The position, or None where this is not the cursor of an event."""
    payload = read_signed(cursor, vault, purpose=_PURPOSE)
    if payload is None:
        return None
    transaction, id = json.loads(payload)
    return EventPosition(transaction, id)
