"""Who works on a connection: a lease in its row, so that one refresh of it runs at a time, in whichever process.

The database keeps a queue of the connections beside them: the place of each is when it is due or, while it is leased, when the lease is
over. So a claim leaves nothing behind that others would have to pass over, and what nobody gives back is due again by itself.

A lease saves double work. What keeps a late answer from overwriting a newer one is the comparison on saving, not the lease.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from models.connection import AuthenticationType, Connection
from models.rows import is_postgresql, read_jsons, read_time, read_uuid, records, rows
from models.status import ConnectionStatus

_CLAIM = """
UPDATE connection SET lease_holder = $2, lease_until = $3, lease_number = lease_number + 1
WHERE id = $1 AND (lease_until IS NULL OR lease_until <= $4)
RETURNING id, lease_number
"""
# The queue tells where to look, the connection whether that is so: another may have claimed it since this statement began.
_IS_FREE = "connection.due_at <= $3 AND (lease_until IS NULL OR lease_until <= $3)"
_NEXT = """
SELECT * FROM (
  SELECT connection.{place} AS place
  FROM (SELECT * FROM connection_queue WHERE priority = {priority} AND due_at BETWEEN {first} AND $3 {at_most}) AS queued
  JOIN connection ON id = connection_id WHERE id NOT IN (SELECT id FROM late) AND {is_free}
  ORDER BY queued.due_at LIMIT $4 {skip_locked}
) AS next_{priority}
"""
# Of the queue alone, and twice as many: some may be another's by now.
_WAITING = """
SELECT * FROM (
  SELECT connection_id, due_at FROM connection_queue WHERE priority = {priority} AND due_at BETWEEN {first} AND $5
  ORDER BY due_at LIMIT $6 * 2
) AS waiting_{priority}
"""
# Of each priority the first: what to expect of a condition, and so how to read, PostgreSQL may have learnt from a backlog that is gone.
# Before it may stand what was claimed lately, until PostgreSQL sweeps it away: this passes over that once, and no piece does it again.
_FIRST = """
WITH first AS MATERIALIZED (
  SELECT (SELECT min(due_at) FROM connection_queue WHERE priority = 0) AS first_0,
    (SELECT min(due_at) FROM connection_queue WHERE priority = 1) AS first_1,
    (SELECT min(due_at) FROM connection_queue WHERE priority = 2) AS first_2
)
SELECT * FROM first WHERE first_0 <= $1 OR first_1 <= $1 OR first_2 <= $1
"""
# Whoever has waited for long is found first, and then one priority after the other until that are enough: no more are read, or locked.
_FIND = """
WITH late AS (
  SELECT id, connection.{place} AS place
  FROM (SELECT * FROM ({waiting}) AS waiting ORDER BY due_at LIMIT $6 * 2) AS longest JOIN connection ON id = connection_id
  WHERE {is_free} ORDER BY longest.due_at LIMIT $6 {skip_locked}
),
others AS (SELECT place FROM ({others}) AS following LIMIT $4 - (SELECT count(*) FROM late))
"""
# Where its row is needs no index to be found again.
_CLAIM_FOUND = """
UPDATE connection SET lease_holder = $1, lease_until = $2, lease_number = lease_number + 1{moving}
WHERE {among}(SELECT place FROM late UNION ALL SELECT place FROM others){end}
RETURNING id, lease_number, due_at, connector_key, connector_version, authentication_type, option_key, oauth_app_id, site,
  status, renewable, expires_at, last_used_at, created_at, priority
"""
# On PostgreSQL the places of all are moved at once, for a third of what the trigger takes for one after the other. `claimed_until` tells it
# that this is done; one whose last lease was never given back stands where that was over, and is left to it.
_MOVING = ", claimed_until = CASE WHEN lease_until IS NULL THEN $2 ELSE claimed_until END"
_MOVED = """
UPDATE connection_queue AS queued SET due_at = $2 FROM claimed
WHERE queued.priority = claimed.priority AND queued.due_at = claimed.due_at AND queued.connection_id = claimed.id
"""
_CLAIM_AND_MOVE = "{find}, claimed AS ({claim_found}), moved AS ({moved}) SELECT * FROM claimed"
_TAKE_OVER = """
UPDATE connection SET lease_holder = $2, lease_until = $3, lease_number = lease_number + 1
WHERE id = $1 AND lease_number = $4
RETURNING id, lease_number
"""
_GIVE_BACK = """
UPDATE connection SET due_at = CASE WHEN due_at = $3 THEN {later} ELSE due_at END, lease_holder = NULL, lease_until = NULL
WHERE id = $1 AND lease_number = $2
"""
_PUT_OFF = """
UPDATE connection SET due_at = later.column3, priority = later.column4, lease_holder = NULL, lease_until = NULL
FROM (VALUES {rows}) AS later
WHERE connection.id = later.column1 AND lease_number = later.column2 AND due_at IS NOT NULL
"""
_PUT_OFF_AT_ONCE = 500
_BRING_BACK = """
UPDATE connection SET lease_holder = NULL, lease_until = NULL, due_at = CASE WHEN due_at > $1 THEN $1 ELSE due_at END
WHERE lease_until > $2 OR (due_at > $1 AND (last_refreshed_at > $2 OR last_verified_at > $2))
"""
# Clocks of several machines differ, and a lease is of the next minute.
_FUTURE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Lease:
    connection_id: UUID
    number: int
    # In seconds since boot: what is sent later than this might still be under way when the lease is over.
    send_before: float
    # Of one that was due: since when. None: it is another reason for which it is held.
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """Who takes a lease, and for how long; `send_before` is as in Lease."""

    holder: str
    now: datetime
    until: datetime
    send_before: float


@dataclass(frozen=True, slots=True)
class Due:
    """A connection that was due, with what says whether it can be looked after now."""

    lease: Lease
    connector_key: str
    connector_version: int | None
    authentication_type: AuthenticationType
    option_key: str | None
    oauth_app_id: UUID | None
    site: Mapping[str, str]
    status: ConnectionStatus
    renewable: bool
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    priority: int


@dataclass(frozen=True, slots=True)
class Postponed:
    lease: Lease
    due_at: datetime
    priority: int


async def claim(connection_id: UUID, term: Term) -> Lease | None:
    """The lease of one connection; None while another holds it."""
    claimed = await rows(_CLAIM, [connection_id, term.holder, term.until, term.now], id=UUID)
    return Lease(claimed[0]["id"], claimed[0]["lease_number"], term.send_before) if claimed else None


async def take_over(connection_id: UUID, number: int, term: Term) -> Lease | None:
    """The lease that a holder who is gone has left; None where another has had one since."""
    claimed = await rows(_TAKE_OVER, [connection_id, term.holder, term.until, number], id=UUID)
    return Lease(claimed[0]["id"], claimed[0]["lease_number"], term.send_before) if claimed else None


async def claim_due(term: Term, *, limit: int, late: datetime, late_limit: int) -> list[Due]:
    """Leases of connections that are due, in no order. No two processes claim the same.

    First as many as `late_limit` of those that are due since `late`, the longest waiting first, and then by priority.
    """
    # Most of the time nothing is, and that is told for much less than it takes to plan a claim.
    first = await rows(_FIRST, [term.now])
    if not first:
        return []
    statement = _CLAIM_DUE_ON_POSTGRESQL if is_postgresql() else _CLAIM_DUE_ON_SQLITE
    claimed = await records(statement, [term.holder, term.until, term.now, limit, late, late_limit, *first[0].values()])
    return [_due(row, site, term.send_before) for row, site in zip(claimed, read_jsons([row["site"] for row in claimed]), strict=True)]


async def put_off(postponed: Sequence[Postponed]) -> None:
    """Give leases back and make their connections due later, as far as they are still these."""
    id, number, time, priority = ("::uuid", "::bigint", "::timestamptz", "::smallint") if is_postgresql() else ("", "", "", "")
    for start in range(0, len(postponed), _PUT_OFF_AT_ONCE):
        some = postponed[start : start + _PUT_OFF_AT_ONCE]
        places = (f"(${4 * n + 1}{id}, ${4 * n + 2}{number}, ${4 * n + 3}{time}, ${4 * n + 4}{priority})" for n in range(len(some)))
        values = [value for each in some for value in (each.lease.connection_id, each.lease.number, each.due_at, each.priority)]
        await rows(_PUT_OFF.format(rows=", ".join(places)), values)


async def bring_back(now: datetime) -> None:
    """Make due what was done or claimed by a clock that was ahead, and would else wait until time has come there too."""
    await rows(_BRING_BACK, [now, now + _FUTURE])


async def release(lease: Lease) -> None:
    """Give a lease back, if it is still this one. What was due, and is not planned anew, is due again when the lease would have ended."""
    await rows(_GIVE_BACK.format(later="lease_until"), [lease.connection_id, lease.number, lease.due_at])


async def postpone(lease: Lease, due_at: datetime) -> None:
    """Give a lease back, with nothing done: what was due is due then. Whoever has set another time meanwhile knew better."""
    await rows(_GIVE_BACK.format(later="$4"), [lease.connection_id, lease.number, lease.due_at, due_at])


async def end_lease(connection_id: UUID, number: int, *, due_at: datetime) -> None:
    """End the lease of a holder who is gone: what it held is due then, if anything is. Where another has had one since, nothing."""
    held = Connection.filter(id=connection_id, lease_number=number)
    await held.filter(due_at__not_isnull=True).update(due_at=due_at)
    await held.update(lease_holder=None, lease_until=None)


def _written(**words: str) -> tuple[str, str]:
    """How to find, and how to claim what is found: one piece of the queue for each priority, however many are due, or are not."""
    pieces = [{"priority": n, "first": f"${7 + n}", "is_free": _IS_FREE, **words} for n in range(3)]
    waiting, others = ("UNION ALL".join(form.format(**piece) for piece in pieces) for form in (_WAITING, _NEXT))
    # allowed: made-statement: all of it is written down in here
    find = _FIND.format(waiting=waiting, others=others, is_free=_IS_FREE, **words)
    # allowed: made-statement: all of it is written down in here
    return find, _CLAIM_FOUND.format(**words)


_FIND_ON_POSTGRESQL, _CLAIM_FOUND_ON_POSTGRESQL = _written(
    place="ctid",
    among="ctid = ANY (ARRAY",
    end=")",
    # More than one process claims, as others are at it too. With an end that it knows PostgreSQL makes one plan for all claims.
    at_most="ORDER BY due_at LIMIT 5000",
    skip_locked="FOR NO KEY UPDATE OF connection SKIP LOCKED",
    moving=_MOVING,
)
_CLAIM_DUE_ON_POSTGRESQL = _CLAIM_AND_MOVE.format(find=_FIND_ON_POSTGRESQL, claim_found=_CLAIM_FOUND_ON_POSTGRESQL, moved=_MOVED)
_CLAIM_DUE_ON_SQLITE = "".join(_written(place="rowid", among="rowid IN ", end="", at_most="", skip_locked="", moving=""))


def _due(row: Sequence[Any], site: Mapping[str, str], send_before: float) -> Due:
    id, number, due_at, key, version, type, option_key, app_id, _, status, renewable, expires_at, used_at, created_at, priority = row
    return Due(
        lease=Lease(read_uuid(id), number, send_before, read_time(due_at)),
        connector_key=key,
        connector_version=version,
        authentication_type=AuthenticationType(type),
        option_key=option_key,
        oauth_app_id=None if app_id is None else read_uuid(app_id),
        site=site,
        status=ConnectionStatus(status),
        renewable=bool(renewable),
        expires_at=None if expires_at is None else read_time(expires_at),
        last_used_at=None if used_at is None else read_time(used_at),
        created_at=read_time(created_at),
        priority=priority,
    )
