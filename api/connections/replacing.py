"""New credentials of connections that are as their attempts found them, all of them written by one statement of PostgreSQL.

Those are nearly all: they were well, and are well again. What is neither, or is held by somebody, the statement leaves as it is.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from models import Sealed
from models.rows import read_uuid, rows

# First the connection is held, as everywhere; a credential that was replaced meanwhile is not replaced again.
_REPLACE = """
WITH renewed AS MATERIALIZED (
  SELECT * FROM unnest(
    $2::uuid[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::uuid[], $7::int[], $8::text[], $9::uuid[], $10::bytea[], $11::text[],
    $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::smallint[], $16::timestamptz[]
  ) AS each (
    connection_id, folder_id, lease_number, last_used_at, credential_id, generation, fingerprint, intent_id, secrets, next_fingerprint,
    refresh_expires_at, expires_at, due_at, priority, app_secret_at
  )
),
held AS MATERIALIZED (
  SELECT connection.id FROM renewed JOIN connection ON connection.id = renewed.connection_id
  WHERE status = 'CONNECTED' AND reason_json IS NULL AND connection.folder_id = renewed.folder_id
    AND connection.lease_number = renewed.lease_number AND connection.last_used_at IS NOT DISTINCT FROM renewed.last_used_at
  ORDER BY connection.id FOR UPDATE OF connection SKIP LOCKED
),
replaced AS (
  UPDATE credential
  SET secrets = renewed.secrets, fingerprint = next_fingerprint, generation = credential.generation + 1, obtained_at = $1,
    refresh_expires_at = renewed.refresh_expires_at
  FROM renewed JOIN held ON held.id = renewed.connection_id
  WHERE credential.id = credential_id AND credential.generation = renewed.generation AND credential.fingerprint = renewed.fingerprint
  RETURNING renewed.*
),
forgotten AS (
  DELETE FROM token_journal USING replaced WHERE token_journal.connection_id = replaced.connection_id AND (
    token_journal.id = intent_id
    OR (token_journal.fingerprint = replaced.fingerprint AND token_journal.generation = replaced.generation AND answer IS NULL)
  )
)
UPDATE connection
SET failures = 0, internal_failures = 0, due_at = replaced.due_at, priority = replaced.priority, expires_at = replaced.expires_at,
  last_refreshed_at = $1, app_secret_at = replaced.app_secret_at, lease_holder = NULL, lease_until = NULL
FROM replaced WHERE connection.id = replaced.connection_id
RETURNING connection.id
"""


class Replacement(NamedTuple):
    """A new credential for a connection and what it changes there, in the order of the statement."""

    # As the attempt found them.
    connection_id: UUID
    folder_id: UUID
    lease_number: int
    last_used_at: datetime | None
    credential_id: UUID
    generation: int
    fingerprint: str
    intent_id: UUID
    # As they are from now on.
    secrets: Sealed
    next_fingerprint: str
    refresh_expires_at: datetime | None
    expires_at: datetime | None
    due_at: datetime | None
    priority: int
    app_secret_at: datetime | None


async def replace_unchanged(replacements: Sequence[Replacement], now: datetime) -> set[UUID]:
    """Replace the credentials of those that are connected and as they were found, and give their leases back; whose were.

    Their intents are forgotten with it. No watcher sees a change. Only on PostgreSQL.
    """
    found = await rows(_REPLACE, [now, *zip(*replacements, strict=True)])
    return {read_uuid(row["id"]) for row in found}
