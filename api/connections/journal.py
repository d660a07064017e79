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
from uuid import uuid4

import models
from api.clock import Clock
from api.connections.secrets import journal_place
from api.oauth.tokens import TokenSet
from api.secret import Secret
from api.vault.vault import Vault
from models.leases import Lease

logger = logging.getLogger(__name__)


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
        await row.save(update_fields=["answer", "answered_at"])

    async def forget(self, intent: Intent) -> None:
        """Nothing came of it, and the token is not used up; or all that came of it is saved."""
        await models.TokenJournal.filter(id=intent.row.id).delete()

    async def answered(self, before: datetime) -> list[models.TokenJournal]:
        """Answers that nobody saved though there was time to: a process died in between."""
        return await models.TokenJournal.filter(answered_at__lte=before).order_by("answered_at").limit(100)

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
