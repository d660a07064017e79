"""Who works on a connection: a lease in its row, so that one refresh of it runs at a time, in whichever process.

A lease saves double work. What keeps a late answer from overwriting a newer one is the comparison on saving, not the lease.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tortoise.context import require_context

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


@dataclass(frozen=True, slots=True)
class Lease:
    connection_id: UUID
    number: int


async def claim(connection_id: UUID, *, holder: str, until: datetime, now: datetime) -> Lease | None:
    """The lease of one connection; None while another holds it."""
    claimed = await rows(_CLAIM, [connection_id, holder, until, now], id=UUID)
    return Lease(claimed[0]["id"], claimed[0]["lease_number"]) if claimed else None


async def claim_due(now: datetime, *, holder: str, until: datetime, limit: int) -> list[Lease]:
    """Leases of connections that are due, the longest waiting first. No two processes claim the same."""
    shared = require_context().db().capabilities.dialect == "postgres"
    statement = _CLAIM_DUE.format(skip_locked="FOR UPDATE SKIP LOCKED" if shared else "")
    return [Lease(row["id"], row["lease_number"]) for row in await rows(statement, [holder, until, now, limit], id=UUID)]


async def release(lease: Lease) -> None:
    """Give a lease back, if it is still this one."""
    await Connection.filter(id=lease.connection_id, lease_number=lease.number).update(lease_holder=None, lease_until=None)
