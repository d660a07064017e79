"""The token journal: what an exchange is about to do, and what came of it, written down before anything else happens.

Before the request an intent, in the database: this also proves that it can be written to, for a token that cannot be stored must not be
asked for. It tells every process whose exchange it is.

After the answer the answer. Where there is a courier, it has it on disk, sealed, before anybody hears of it, and keeps it until it is
settled. Where there is none, it is sealed into the row of the intent. Either way it is saved then, or after a crash.

An intent that stays behind without an answer tells that an exchange was interrupted, and that its token may be used up. It is tried once
more, when the former request is certainly over: a provider that did not see it, or that takes its last token again for a while, gives new
ones; another says that the grant is over, and so does the status.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from tortoise.queryset import QuerySet

import models
from api.clock import Clock
from api.connections.attempt import OVER_AFTER, Attempt, CarriedAttempt, Intent, NotYet
from api.connections.gathering import Gathering
from api.connections.secrets import journal_place
from api.courier.client import Courier
from api.courier.wire import Errand
from api.oauth.tokens import TokenSet
from api.outbound.http import OutboundClient
from api.replicas import Replicas
from api.secret import Secret
from api.vault.vault import Vault
from models.joined import Joined
from models.leases import Lease
from models.rows import for_each, instance, rows

logger = logging.getLogger(__name__)

_AT_ONCE = 100
_GATHERED = 250
_LOOK_AT_OTHERS_AGAIN = timedelta(seconds=30)

_FORGET_VOID = """
DELETE FROM token_journal
WHERE answer IS NULL AND started_at <= $1 AND NOT EXISTS (
  SELECT 1 FROM credential
  WHERE credential.connection_id = token_journal.connection_id AND credential.generation = token_journal.generation
)
"""
_BEGUN = """
SELECT * FROM token_journal WHERE connection_id = ANY($1) AND answer IS NULL ORDER BY started_at
"""
_BEGIN = """
INSERT INTO token_journal (id, connection_id, folder_id, fingerprint, generation, lease_number, started_at, courier_id, is_unanswered)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_LEFT_BEHIND = """
SELECT * FROM token_journal WHERE connection_id = ANY($1) AND answered_at IS NOT NULL ORDER BY answered_at
"""
_INTERRUPTED = Joined(
    """
    SELECT {journal} FROM token_journal AS journal
    WHERE courier_id = $1 AND started_at <= $2 AND NOT is_unanswered AND answer IS NULL LIMIT $3
    """,
    {"journal": models.TokenJournal},
)
# By its connection first: that has an index.
_FORGET = """
DELETE FROM token_journal
WHERE connection_id = $2 AND (id = $1 OR (fingerprint = $3 AND generation = $4 AND answer IS NULL))
"""


class Journal:
    def __init__(self, vault: Vault, http: OutboundClient, courier: Courier | None, replicas: Replicas, clock: Clock) -> None:
        self._vault = vault
        self._http = http
        self._courier = courier
        self._replicas = replicas
        self._clock = clock
        self._beginnings = Gathering(self._begin, at_most=_GATHERED)
        self._searches = Gathering(_left_behind, at_most=_GATHERED)

    async def begin(self, connection: models.Connection, credential: models.Credential, lease: Lease) -> Attempt:
        """Write down that this credential is about to be renewed. Raises NotYet, with nothing written."""
        row = self._row(connection, credential, lease)
        earlier = await self._beginnings.ask(row)
        if earlier is None:
            return self._attempt(Intent(row, repeats=False), lease, only_listens=False)
        if not earlier.is_unanswered:
            over_at = earlier.started_at + OVER_AFTER
            if not await self._is_ours(earlier):
                raise NotYet(self._clock() + _LOOK_AT_OTHERS_AGAIN)
            if over_at > self._clock():
                if not self._is_carried_here(earlier):
                    raise NotYet(over_at)
                # The courier may have the answer, or still wait for it.
                return self._attempt(Intent(earlier, repeats=True), lease, only_listens=True)
        await self._unanswered(credential).delete()
        row.started_at = self._clock()
        await row.save(force_create=True)
        return self._attempt(Intent(row, repeats=True), lease, only_listens=False)

    def resume(self, connection: models.Connection, credential: models.Credential, lease: Lease) -> Attempt:
        """Hear the answer that the courier has kept; nothing is sent."""
        # Its intent is in the database or not, by what was done there since; saving forgets it either way.
        return self._attempt(Intent(self._row(connection, credential, lease), repeats=False), lease, only_listens=True)

    async def kept(self, but: Collection[UUID]) -> dict[UUID, Errand]:
        """What the courier keeps for this process, or for one that is gone, and is still to be saved, except for these connections.

        What it keeps of credentials that were replaced since, it may forget: that was saved, or somebody has connected anew.
        Raises CourierAway.
        """
        unsettled = [] if self._courier is None else await self._courier.unsettled()
        answers = [(errand, sequence) for errand, sequence in unsettled if errand.connection_id not in but]
        now = await self._consumed_now({errand.connection_id for errand, _ in answers})
        self.settle(sequence for errand, sequence in answers if now.get(errand.connection_id) != errand.consumed)
        return {errand.connection_id: errand for errand, _ in answers if now.get(errand.connection_id) == errand.consumed}

    def settle(self, sequences: Iterable[int]) -> None:
        """Nothing is to be saved of these answers."""
        if self._courier is not None:
            self._courier.settle(sequences)

    async def interrupted(self, but: Collection[UUID]) -> list[models.TokenJournal]:
        """Intents of our courier of which it knows nothing any more, except for these connections: they may be tried once more.

        Call it after `kept`, and leave out what that told.
        """
        if self._courier is None:
            return []
        found = await _INTERRUPTED.read([self._courier.id, self._clock() - OVER_AFTER, _AT_ONCE])
        return [row["journal"] for row in found if row["journal"].connection_id not in but]

    async def give_up(self, intent: Intent) -> None:
        """Nobody has an answer, and none can come: the token may be used up, or not."""
        await models.TokenJournal.filter(id=intent.row.id).update(is_unanswered=True)

    async def answer(self, attempt: Attempt, tokens: TokenSet) -> None:
        """Write down what the provider gave, sealed, unless that is done."""
        if attempt.keeps_answers:
            return
        row = attempt.intent.row
        row.answer = self._vault.seal(json.dumps(_to_json(tokens)).encode(), journal_place(row.id, row.folder_id))
        row.answered_at = self._clock()
        # Whoever thought that this attempt was dead has replaced its intent; what it brought counts all the same.
        if not await models.TokenJournal.filter(id=row.id).update(answer=row.answer, answered_at=row.answered_at):
            await row.save(force_create=True)

    async def forget(self, intent: Intent) -> None:
        """Nothing came of it, and the token is not used up; or all that came of it is saved."""
        await self.forget_each([intent])

    async def forget_each(self, intents: Iterable[Intent]) -> None:
        """The same of several."""
        rows = (intent.row for intent in intents)
        await for_each(_FORGET, [[row.id, row.connection_id, row.fingerprint, row.generation] for row in rows])

    async def forget_void(self, before: datetime) -> None:
        """Forget what was begun and never answered for a credential that is replaced or gone: nobody will ask for it again."""
        await rows(_FORGET_VOID, [before])

    async def answered(self, before: datetime) -> list[models.TokenJournal]:
        """Answers that nobody saved though there was time to: a process died in between."""
        return await models.TokenJournal.filter(answered_at__lte=before).order_by("answered_at").limit(100)

    async def left_behind(self, connection_id: UUID) -> list[models.TokenJournal]:
        """Answers for one connection that nobody saved, the oldest first; asked by who holds its lease, so nobody is about to."""
        return await self._searches.ask(connection_id)

    async def _begin(self, intents: Sequence[models.TokenJournal]) -> list[models.TokenJournal | None]:
        """Write intents down, but for those whose credential has an earlier one without an answer: the latest of these is returned."""
        earlier = {_exchange(row): row for row in await _found(_BEGUN, [intent.connection_id for intent in intents])}
        now = self._clock()
        for intent in intents:
            # Not earlier: from then on it is counted until when the request is over.
            intent.started_at = now
        await for_each(_BEGIN, [_values(intent) for intent in intents if _exchange(intent) not in earlier])
        return [earlier.get(_exchange(intent)) for intent in intents]

    def _row(self, connection: models.Connection, credential: models.Credential, lease: Lease) -> models.TokenJournal:
        columns = {
            "id": uuid4(),
            "connection_id": connection.id,
            "folder_id": connection.folder_id,
            "fingerprint": credential.fingerprint,
            "generation": credential.generation,
            "lease_number": lease.number,
            "started_at": self._clock(),
            "answer": None,
            "answered_at": None,
            "courier_id": None if self._courier is None else self._courier.id,
            "is_unanswered": False,
        }
        # As of a row that is read: to make a new one takes ten times as long.
        return instance(models.TokenJournal, columns)

    def _attempt(self, intent: Intent, lease: Lease, *, only_listens: bool) -> Attempt:
        if self._courier is None:
            return Attempt(intent, self._http, send_before=lease.send_before)
        row = intent.row
        errand = Errand(row.connection_id, consumed(row.fingerprint, row.generation), lease.number)
        return CarriedAttempt(
            intent, self._http, self._courier, errand, send_before=lease.send_before, only_listens=only_listens, clock=self._clock
        )

    def _unanswered(self, credential: models.Credential) -> QuerySet[models.TokenJournal]:
        return models.TokenJournal.filter(
            connection_id=credential.connection_id, fingerprint=credential.fingerprint, generation=credential.generation, answer=None
        )

    def _is_carried_here(self, row: models.TokenJournal) -> bool:
        return self._courier is not None and row.courier_id == self._courier.id

    async def _consumed_now(self, connection_ids: Collection[UUID]) -> dict[UUID, str]:
        """What the next exchange of these connections consumes."""
        if not connection_ids:
            return {}
        credentials = models.Credential.filter(connection_id__in=connection_ids)
        return {id: consumed(*rest) for id, *rest in await credentials.values_list("connection_id", "fingerprint", "generation")}

    async def _is_ours(self, row: models.TokenJournal) -> bool:
        """Whether it falls to us what becomes of an exchange: another's courier may have its answer, as long as anybody asks it."""
        return row.courier_id is None or self._is_carried_here(row) or await self._replicas.is_gone(row.courier_id)

    def read(self, row: models.TokenJournal) -> TokenSet:
        """The answer of a row. Raises Unreadable."""
        assert row.answer is not None
        return _from_json(json.loads(self._vault.open(row.answer, journal_place(row.id, row.folder_id))))


def _exchange(row: models.TokenJournal) -> tuple[UUID, str, int]:
    """What an intent is about to consume."""
    return row.connection_id, row.fingerprint, row.generation


def _values(row: models.TokenJournal) -> list[object]:
    ids, consumes = [row.id, row.connection_id, row.folder_id], [row.fingerprint, row.generation]
    return [*ids, *consumes, row.lease_number, row.started_at, row.courier_id, row.is_unanswered]


async def _left_behind(connection_ids: Sequence[UUID]) -> list[list[models.TokenJournal]]:
    found: defaultdict[UUID, list[models.TokenJournal]] = defaultdict(list)
    for row in await _found(_LEFT_BEHIND, connection_ids):
        found[row.connection_id].append(row)
    return [found[id] for id in connection_ids]


async def _found(statement: str, connection_ids: Sequence[UUID]) -> list[models.TokenJournal]:
    return [instance(models.TokenJournal, row) for row in await rows(statement, [tuple(connection_ids)])]


def consumed(fingerprint: str, generation: int) -> str:
    """What an exchange consumes, as its courier knows it: some providers give the same refresh token again and again."""
    return f"{generation}:{fingerprint}"


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
