"""Who works on a connection: a lease in its row, so that one refresh of it runs at a time, in whichever process.

A lease saves double work. What keeps a late answer from overwriting a newer one is the comparison on saving, not the lease.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tortoise.context import require_context
from tortoise.expressions import F

from models.connection import Connection
from models.rows import rows

_CLAIM = """
UPDATE connection SET lease_holder = $2, lease_until = $3, lease_number = lease_number + 1
WHERE id = $1 AND (lease_until IS NULL OR lease_until <= $4)
RETURNING id, lease_number
"""
# The due time moves with the claim: if the holder dies, the connection is due again when its lease is over.
_CLAIM_DUE = """
UPDATE connection SET lease_holder = $1, lease_until = $2, lease_number = lease_number + 1, due_at = $2
WHERE id IN (
  SELECT id FROM connection WHERE due_at <= $3 AND (lease_until IS NULL OR lease_until <= $3) ORDER BY due_at LIMIT $4 {skip_locked}
)
RETURNING id, lease_number
"""
_TAKE_OVER = """
UPDATE connection SET lease_holder = $2, lease_until = $3, lease_number = lease_number + 1
WHERE id = $1 AND lease_number = $4
RETURNING id, lease_number
"""


@dataclass(frozen=True, slots=True)
class Lease:
    connection_id: UUID
    number: int
    # In seconds since boot: what is sent later than this might still be under way when the lease is over.
    send_before: float


@dataclass(frozen=True, slots=True)
class Term:
    """Who takes a lease, and for how long; `send_before` is as in Lease."""

    holder: str
    now: datetime
    until: datetime
    send_before: float


async def claim(connection_id: UUID, term: Term) -> Lease | None:
    """The lease of one connection; None while another holds it."""
    claimed = await rows(_CLAIM, [connection_id, term.holder, term.until, term.now], id=UUID)
    return Lease(claimed[0]["id"], claimed[0]["lease_number"], term.send_before) if claimed else None


async def take_over(connection_id: UUID, number: int, term: Term) -> Lease | None:
    """The lease that a holder who is gone has left; None where another has had one since."""
    claimed = await rows(_TAKE_OVER, [connection_id, term.holder, term.until, number], id=UUID)
    return Lease(claimed[0]["id"], claimed[0]["lease_number"], term.send_before) if claimed else None


async def claim_due(term: Term, *, limit: int) -> list[Lease]:
    """Leases of connections that are due, the longest waiting first. No two processes claim the same."""
    shared = require_context().db().capabilities.dialect == "postgres"
    statement = _CLAIM_DUE.format(skip_locked="FOR UPDATE SKIP LOCKED" if shared else "")
    claimed = await rows(statement, [term.holder, term.until, term.now, limit], id=UUID)
    return [Lease(row["id"], row["lease_number"], term.send_before) for row in claimed]


async def release(lease: Lease) -> None:
    """Give a lease back, if it is still this one."""
    await Connection.filter(id=lease.connection_id, lease_number=lease.number).update(lease_holder=None, lease_until=None)


async def postpone(lease: Lease, due_at: datetime) -> None:
    """Give a lease back, with nothing done: what was due is due then. Whoever has set another time meanwhile knew better."""
    held = Connection.filter(id=lease.connection_id, lease_number=lease.number)
    await held.filter(due_at=F("lease_until")).update(due_at=due_at)
    await release(lease)


async def end_lease(connection_id: UUID, number: int, *, due_at: datetime) -> None:
    """End the lease of a holder who is gone: what it held is due then, if anything is. Where another has had one since, nothing."""
    held = Connection.filter(id=connection_id, lease_number=number)
    await held.filter(due_at__not_isnull=True).update(due_at=due_at)
    await held.update(lease_holder=None, lease_until=None)
