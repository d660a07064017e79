"""The token journal: what an exchange is about to do, and what came of it, written down before anything else happens.

Before the request an intent: this also proves that the database can be written, for a token that cannot be stored must not be asked
for. After the answer the answer, sealed: from then on it is saved, now or after a crash. An intent that stays behind without an answer
tells that an exchange was interrupted, and that its token may be used up.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import models
from api.clock import Clock
from api.connections.secrets import journal_place
from api.oauth.tokens import TokenSet
from api.secret import Secret
from api.vault.vault import Vault
from models.database import rows
from models.leases import Lease

logger = logging.getLogger(__name__)

_FORGET_VOID = """
DELETE FROM token_journal
WHERE answer IS NULL AND started_at <= $1 AND NOT EXISTS (
  SELECT 1 FROM credential
  WHERE credential.connection_id = token_journal.connection_id AND credential.generation = token_journal.generation
)
"""


@dataclass(frozen=True, slots=True)
class Intent:
    row: models.TokenJournal
    # An earlier exchange of the same token was begun and never answered.
    repeats: bool


class Journal:
    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock

    async def intend(self, connection: models.Connection, credential: models.Credential, lease: Lease) -> Intent:
        """Write down that this credential is about to be renewed."""
        earlier = models.TokenJournal.filter(
            connection_id=connection.id, fingerprint=credential.fingerprint, generation=credential.generation, answer=None
        )
        repeats = bool(await earlier.delete())
        row = await models.TokenJournal.create(
            id=uuid4(),
            connection_id=connection.id,
            folder_id=connection.folder_id,
            fingerprint=credential.fingerprint,
            generation=credential.generation,
            lease_number=lease.number,
            started_at=self._clock(),
        )
        return Intent(row, repeats)

    async def answer(self, intent: Intent, tokens: TokenSet) -> None:
        """Write down what the provider gave, sealed."""
        row = intent.row
        row.answer = self._vault.seal(json.dumps(_to_json(tokens)).encode(), journal_place(row.id, row.folder_id))
        row.answered_at = self._clock()
        # Whoever thought that this attempt was dead has replaced its intent; what it brought counts all the same.
        if not await models.TokenJournal.filter(id=row.id).update(answer=row.answer, answered_at=row.answered_at):
            await row.save(force_create=True)

    async def forget(self, intent: Intent) -> None:
        """Nothing came of it, and the token is not used up; or all that came of it is saved."""
        await models.TokenJournal.filter(id=intent.row.id).delete()

    async def forget_void(self, before: datetime) -> None:
        """Forget what was begun and never answered for a credential that is replaced or gone: nobody will ask for it again."""
        await rows(_FORGET_VOID, [before])

    async def answered(self, before: datetime) -> list[models.TokenJournal]:
        """Answers that nobody saved though there was time to: a process died in between."""
        return await models.TokenJournal.filter(answered_at__lte=before).order_by("answered_at").limit(100)

    async def left_behind(self, connection_id: UUID) -> list[models.TokenJournal]:
        """Answers for one connection that nobody saved, the oldest first; asked by who holds its lease, so nobody is about to."""
        return await models.TokenJournal.filter(connection_id=connection_id, answered_at__not_isnull=True).order_by("answered_at")

    def read(self, row: models.TokenJournal) -> TokenSet:
        """The answer of a row. Raises Unreadable."""
        assert row.answer is not None
        return _from_json(json.loads(self._vault.open(row.answer, journal_place(row.id, row.folder_id))))


def _to_json(tokens: TokenSet) -> dict[str, Any]:
    return {
        "access_token": tokens.access_token.reveal(),
        "refresh_token": tokens.refresh_token.reveal() if tokens.refresh_token else None,
        "token_type": tokens.token_type,
        "expires_at": tokens.expires_at.isoformat() if tokens.expires_at else None,
        "refresh_expires_at": tokens.refresh_expires_at.isoformat() if tokens.refresh_expires_at else None,
        "scopes": None if tokens.scopes is None else list(tokens.scopes),
        "captured": dict(tokens.captured),
    }


def _from_json(stored: Mapping[str, Any]) -> TokenSet:
    def time(name: str) -> datetime | None:
        return datetime.fromisoformat(stored[name]) if stored[name] else None

    return TokenSet(
        access_token=Secret(stored["access_token"]),
        refresh_token=Secret(stored["refresh_token"]) if stored["refresh_token"] else None,
        token_type=stored["token_type"],
        expires_at=time("expires_at"),
        refresh_expires_at=time("refresh_expires_at"),
        scopes=None if stored["scopes"] is None else tuple(stored["scopes"]),
        captured=stored["captured"],
    )
