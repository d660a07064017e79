"""What the sandbox remembers, in an SQLite file of its own, so that grants survive a restart.

Codes and tokens are kept as their SHA-256. Two texts stay readable, because the sandbox must be able to show them again: the
client's secret and the personal tokens. The file is made for its owner's eyes only.
"""

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from api.clock import Clock
from api.secret import Secret

_SCHEMA = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS consent (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, account TEXT NOT NULL, scope TEXT NOT NULL, mode TEXT NOT NULL,
  created_at REAL NOT NULL, refreshed_at REAL, refreshes INTEGER NOT NULL DEFAULT 0, personal_token TEXT
);
CREATE TABLE IF NOT EXISTS code (
  hash TEXT PRIMARY KEY, account TEXT NOT NULL, scope TEXT NOT NULL, redirect_uri TEXT NOT NULL, challenge TEXT NOT NULL,
  expires_at REAL NOT NULL, consent_id TEXT REFERENCES consent (id)
);
CREATE TABLE IF NOT EXISTS token (
  hash TEXT PRIMARY KEY, kind TEXT NOT NULL, consent_id TEXT NOT NULL REFERENCES consent (id), scope TEXT NOT NULL,
  expires_at REAL, spent_at REAL
);
CREATE INDEX IF NOT EXISTS token_consent ON token (consent_id);
"""

_GRANTS = """
SELECT *, (SELECT MAX(expires_at) FROM token WHERE consent_id = consent.id AND kind = 'access_token') AS ends_at
FROM consent
WHERE (:id IS NULL OR id = :id) AND (:account IS NULL OR account = :account) AND (:kind IS NULL OR kind = :kind)
ORDER BY created_at DESC, rowid DESC
"""

_CODE = timedelta(minutes=1)
_KEPT = timedelta(days=7)


class GrantKind(StrEnum):
    CONSENT = "consent"
    CLIENT = "client credentials"
    PERSONAL = "personal token"


class Mode(StrEnum):
    """How the sandbox answers for a grant."""

    NORMAL = "normal"
    UNAVAILABLE = "answers 503"
    RATE_LIMITED = "answers 429"
    REVOKED = "revoked"


class TokenKind(StrEnum):
    ACCESS = "access_token"
    REFRESH = "refresh_token"


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    full_name: str


ACCOUNTS = (Account("alex", "Alex Example"), Account("sam", "Sam Sample"))

SCOPES = {
    "read": "Read everything",
    "write": "Change everything",
    "admin": "Manage the account",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """What an account, or the client itself, has allowed. Every token hangs upon one."""

    id: str
    kind: GrantKind
    account: str
    scope: str
    mode: Mode
    created_at: datetime
    refreshed_at: datetime | None
    refreshes: int
    personal_token: Secret | None
    access_token_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code, in the words in which Authlib asks for one."""

    hash: str
    account: str
    scope: str
    redirect_uri: str
    code_challenge: str
    expires_at: datetime
    grant_id: str | None
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass(frozen=True, slots=True)
class Token:
    """A token with its grant, in the words in which Authlib asks for one."""

    hash: str
    kind: TokenKind
    scope: str
    expires_at: datetime | None
    spent: bool
    grant: Grant

    def check_client(self, _client: object) -> bool:
        return True  # There is one client.

    def get_scope(self) -> str:
        return self.scope


class Store:
    """The file. Each unit of work has a connection of its own, so it may run in any thread."""

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(file)) as database:
            # Its threads write at the same time, which a write-ahead log bears only from SQLite 3.51.3 on.
            database.execute("PRAGMA journal_mode = DELETE")
            database.executescript(_SCHEMA)

    @contextmanager
    def work(self) -> Iterator["Records"]:
        """One transaction: written at the end of the block, or not at all where it raises."""
        with closing(sqlite3.connect(self._file, isolation_level=None, timeout=10)) as database:
            database.row_factory = sqlite3.Row
            # Immediate, so that two refreshes with the same token are one after the other.
            database.execute("BEGIN IMMEDIATE")
            try:
                yield Records(database, self._clock())
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


class Records:
    """What is remembered, inside one transaction."""

    def __init__(self, database: sqlite3.Connection, now: datetime) -> None:
        self._database = database
        self.now = now

    # Settings

    def setting(self, name: str, otherwise: str) -> str:
        """The value; where there is none, `otherwise`, and from then on that."""
        self._database.execute("INSERT OR IGNORE INTO setting VALUES (?, ?)", [name, otherwise])
        return str(self._database.execute("SELECT value FROM setting WHERE name = ?", [name]).fetchone()[0])

    def set_setting(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", [name, value])

    # Grants

    def add_grant(self, kind: GrantKind, account: str, scope: str) -> Grant:
        self._prune()
        grant_id = secrets.token_hex(6)
        self._database.execute(
            "INSERT INTO consent (id, kind, account, scope, mode, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            [grant_id, kind, account, scope, Mode.NORMAL, self.now.timestamp()],
        )
        return self.grants(id=grant_id)[0]

    def grants(self, *, id: str | None = None, account: str | None = None, kind: GrantKind | None = None) -> list[Grant]:
        """The grants for which all of this holds, the newest first."""
        wanted = {"id": id, "account": account, "kind": kind}
        return [_grant(row) for row in self._database.execute(_GRANTS, wanted)]

    def set_mode(self, grant: Grant, mode: Mode) -> None:
        self._database.execute("UPDATE consent SET mode = ? WHERE id = ?", [mode, grant.id])

    def count_refresh(self, grant: Grant) -> None:
        self._prune()
        self._database.execute(
            "UPDATE consent SET refreshes = refreshes + 1, refreshed_at = ? WHERE id = ?", [self.now.timestamp(), grant.id]
        )

    def renew_personal_token(self, grant: Grant) -> None:
        """A new text for a personal token; the old one is dead."""
        text = "sandbox_" + secrets.token_urlsafe(24)
        self._database.execute("DELETE FROM token WHERE consent_id = ?", [grant.id])
        self._database.execute("UPDATE consent SET personal_token = ? WHERE id = ?", [text, grant.id])
        self.add_token(text, TokenKind.ACCESS, grant, grant.scope, None)

    # Codes and tokens

    def add_code(self, text: str, *, account: str, scope: str, redirect_uri: str, challenge: str) -> None:
        expires_at = (self.now + _CODE).timestamp()
        self._database.execute(
            "INSERT INTO code VALUES (?, ?, ?, ?, ?, ?, NULL)",
            [_hash(text), account, scope, redirect_uri, challenge, expires_at],
        )

    def find_code(self, text: str) -> Code | None:
        row = self._database.execute("SELECT * FROM code WHERE hash = ?", [_hash(text)]).fetchone()
        if row is None:
            return None
        ends = _time(row["expires_at"])
        return Code(row["hash"], row["account"], row["scope"], row["redirect_uri"], row["challenge"], ends, row["consent_id"])

    def spend_code(self, code: Code, grant: Grant) -> None:
        self._database.execute("UPDATE code SET consent_id = ? WHERE hash = ?", [grant.id, code.hash])

    def add_token(self, text: str, kind: TokenKind, grant: Grant, scope: str, lifetime: timedelta | None) -> None:
        expires_at = None if lifetime is None else (self.now + lifetime).timestamp()
        self._database.execute("INSERT INTO token VALUES (?, ?, ?, ?, ?, NULL)", [_hash(text), kind, grant.id, scope, expires_at])

    def find_token(self, text: str) -> Token | None:
        row = self._database.execute("SELECT * FROM token WHERE hash = ?", [_hash(text)]).fetchone()
        if row is None:
            return None
        expires_at = None if row["expires_at"] is None else _time(row["expires_at"])
        grant = self.grants(id=row["consent_id"])[0]
        return Token(row["hash"], TokenKind(row["kind"]), row["scope"], expires_at, row["spent_at"] is not None, grant)

    def spend_token(self, token: Token) -> None:
        self._database.execute("UPDATE token SET spent_at = ? WHERE hash = ?", [self.now.timestamp(), token.hash])

    def expire_access_tokens(self, grant: Grant) -> None:
        now = self.now.timestamp()
        self._database.execute(
            "UPDATE token SET expires_at = ? WHERE consent_id = ? AND kind = ? AND expires_at > ?",
            [now, grant.id, TokenKind.ACCESS, now],
        )

    def forget_token(self, token: Token) -> None:
        self._database.execute("DELETE FROM token WHERE hash = ?", [token.hash])

    def _prune(self) -> None:
        """What nobody can ask for any more, so that a sandbox that runs for a year stays small."""
        before = (self.now - _KEPT).timestamp()
        self._database.execute("DELETE FROM token WHERE expires_at < ? OR spent_at < ?", [before, before])
        self._database.execute("DELETE FROM code WHERE expires_at < ?", [before])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _grant(row: sqlite3.Row) -> Grant:
    return Grant(
        id=row["id"],
        kind=GrantKind(row["kind"]),
        account=row["account"],
        scope=row["scope"],
        mode=Mode(row["mode"]),
        created_at=_time(row["created_at"]),
        refreshed_at=None if row["refreshed_at"] is None else _time(row["refreshed_at"]),
        refreshes=row["refreshes"],
        personal_token=None if row["personal_token"] is None else Secret(row["personal_token"]),
        access_token_expires_at=None if row["ends_at"] is None else _time(row["ends_at"]),
    )
