"""Seals secrets so that each opens in exactly one row.

Protected: whoever reads the database, a replica or a backup of it, learns no secret. Whoever writes to it cannot move a secret
into another row, column, table or folder, nor change one: it no longer opens. Without the master key nothing opens, and there
is no mode in which secrets are stored plain.

Not protected: that a secret exists, how long it is and when it was stored. An older value put back in its own place, which opens
as it did then. Whoever has the master key and the database; whoever runs code in this process or reads its memory: Python
cannot wipe it. A lost master key: what it protects is gone, by design.

The keys, from the outside in. Master keys (`keys.py`) are the operator's and never in the database; they wrap the rows of
`crypto_key`. Data keys seal; new ones can take over while old ones still open (`rotation.py`), and a running process learns of them
(`following.py`). One derivation key is the root of fingerprints and signatures: it seals nothing, so it stays the same when data keys
are rotated, and when a master key is rotated it is only wrapped anew. Fingerprints compare across years; had they hung upon a data
key, each rotation would have made every one stale.

A sealed value, in bytes:

    0xC1 │ suite 1 │ data key 4, big-endian │ nonce 12, random │ ciphertext and tag 16      AES-256-GCM is suite 1

Its associated data are label, header (the first 6 bytes), table, column, row and folder, each after its length.
"""

import hmac
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Never, Protocol, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tortoise.expressions import F

import models
from api.errors import Conflict, PatchbayError
from api.secret import Secret
from api.vault.bound import LABEL, bound, subkey
from models import Sealed

_MAGIC: Final = 0xC1
_AES_256_GCM: Final = 1
_HEADER_BYTES: Final = 6
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_SIGNATURE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret lives. Sealed for one place, it opens at no other."""

    table: str
    column: str
    row: UUID
    # None: it belongs to the installation, not to a folder.
    folder: UUID | None = None


class Unreadable(PatchbayError):
    """A sealed value that does not open at its place: changed, moved, or sealed by a key that is not in the ring."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(
            f"The secret in {place.table}.{place.column} of {place.row} cannot be opened: {reason}.",
            "Enter it again or connect again; if it happens more than once, check who writes to the database.",
        )
        self.place = place
        self.reason = reason


class KeyUnavailable(Conflict):
    """A data key that this process cannot open now. Nothing is wrong with what it sealed: another process may open it."""

    def __init__(self, key_id: int) -> None:
        super().__init__(
            f"This server does not have the data key {key_id} now, so it can neither open nor replace what is sealed with it.",
            "Try again in a minute. If it stays so, the operator gives this server every master key that `patchbay keys status` names.",
        )
        self.key_id = key_id


@dataclass(frozen=True, slots=True)
class Ring:
    """The data keys as they were last read."""

    # Those that open here.
    ciphers: Mapping[int, AESGCM] = field(repr=False)
    # The one that seals, whether or not it opens here.
    active: int
    # Those that cannot be unwrapped here.
    locked: frozenset[int] = frozenset()
    # Named by sealed values, and not in the database.
    absent: frozenset[int] = frozenset()

    @classmethod
    def of(cls, data_keys: Mapping[int, bytes], *, active: int) -> Self:
        return cls({key_id: AESGCM(key) for key_id, key in data_keys.items()}, active)

    @property
    def key_ids(self) -> list[int]:
        """The keys that open here; first the one that seals, if it is among them."""
        return sorted(self.ciphers, key=lambda key_id: (key_id != self.active, key_id))

    def knows(self, key_id: int) -> bool:
        """Whether it was read what is the matter with this key."""
        return key_id in self.ciphers or key_id in self.locked or key_id in self.absent

    def sealing_cipher(self) -> AESGCM:
        """Raises KeyUnavailable: an older key is never sealed with in the place of one that is not here."""
        try:
            return self.ciphers[self.active]
        except KeyError:
            raise KeyUnavailable(self.active) from None


class Follower(Protocol):
    """Who keeps the ring of a vault as the database has it."""

    def seek(self, key_id: int) -> None:
        """Look for a key at the next reading."""

    async def read(self) -> None: ...


class Vault:
    """Seals, opens, fingerprints and signs. Made by `open_vault`, which checks every key first."""

    def __init__(self, data_keys: Mapping[int, bytes], *, active: int, derivation_key: bytes) -> None:
        self._ring = Ring.of(data_keys, active=active)
        self._derivation_key = derivation_key
        self._fingerprint_key = subkey(derivation_key, "fingerprint")
        self._signing_keys: dict[str, bytes] = {}
        self._sealed_since_recorded: Counter[int] = Counter()
        self._follower: Follower | None = None
        # How often something was left alone because its key was not here.
        self.skipped = 0

    @property
    def ring(self) -> Ring:
        return self._ring

    @property
    def can_seal(self) -> bool:
        return self._ring.active in self._ring.ciphers

    def take(self, ring: Ring) -> None:
        """From now on seal and open with these keys."""
        self._ring = ring

    def follow(self, follower: "Follower") -> None:
        """Have somebody look for each data key that a sealed value names and that was never looked for."""
        self._follower = follower

    async def look_for_key(self, sealed: Sealed | None) -> None:
        """Before such a value is opened: read the ring again if it names a key that is new here, for another process may have made it."""
        if sealed is None or self._follower is None or self.knows_key(sealed):
            return
        self._follower.seek(key_id_of(sealed))
        await self._follower.read()

    def knows_key(self, sealed: Sealed) -> bool:
        """Whether `look_for_key` would find nothing new, or could not look."""
        return self._follower is None or not _has_form(sealed) or self._ring.knows(key_id_of(sealed))

    @contextmanager
    def sealing(self) -> Iterator[None]:
        """What this task seals in the block can be sealed, whatever is learned of the keys meanwhile. Raises KeyUnavailable at once.

        For what cannot be undone between the beginning and the sealing: a token that was asked for must be kept.
        """
        ring = self._ring
        ring.sealing_cipher()
        token = _held.set((self, ring))
        try:
            yield
        finally:
            _held.reset(token)

    def seal(self, plain: bytes, place: Place) -> Sealed:
        """Seal a secret for exactly one place. Raises KeyUnavailable."""
        held, ring = _held.get(), self._ring
        if not self.can_seal and held is not None and held[0] is self:
            ring = held[1]
        cipher, header, nonce = ring.sealing_cipher(), sealed_header(ring.active), os.urandom(_NONCE_BYTES)
        ciphertext = cipher.encrypt(nonce, plain, _associated_data(header, place))
        self._sealed_since_recorded[ring.active] += 1
        return Sealed(header + nonce + ciphertext)

    def open(self, sealed: Sealed, place: Place) -> bytes:
        """The secret that was sealed for this place. Raises Unreadable for anything else, and KeyUnavailable."""
        header, nonce, ciphertext = _split(sealed, place)
        key_id = key_id_of(header)
        cipher = self._ring.ciphers.get(key_id)
        if cipher is None:
            raise self._missing(key_id, place)
        try:
            return cipher.decrypt(nonce, ciphertext, _associated_data(header, place))
        except InvalidTag as error:
            raise Unreadable(place, "it was changed, or sealed for another place") from error

    def _missing(self, key_id: int, place: Place) -> PatchbayError:
        """That a key is not here says nothing against the value, unless it was looked for and is nowhere."""
        sought = key_id in self._ring.absent or self._follower is None
        if sought and key_id not in self._ring.locked:
            return Unreadable(place, f"its data key {key_id} is not in the ring")
        if self._follower is not None:
            self._follower.seek(key_id)
        self.skipped += 1
        return KeyUnavailable(key_id)

    def reseal(self, sealed: Sealed, old: Place, new: Place) -> Sealed:
        """Seal for a new place what is sealed for an old one; also brings it under the active key. Raises Unreadable, KeyUnavailable."""
        return self.seal(self.open(sealed, old), new)

    def fingerprint(self, secret: Secret) -> str:
        """64 hexadecimal digits, equal for equal secrets; whoever lacks the key can neither guess nor check the secret by them."""
        return hmac.digest(self._fingerprint_key, secret.reveal().encode(errors="surrogatepass"), "sha256").hex()

    def sign(self, data: bytes, *, purpose: str) -> bytes:
        """16 bytes that prove, for this purpose only, that the data came from here. Purposes are names in the code, not input."""
        key = self._signing_keys.get(purpose)
        if key is None:
            key = self._signing_keys[purpose] = subkey(self._derivation_key, "signature", purpose)
        return hmac.digest(key, data, "sha256")[:_SIGNATURE_BYTES]

    def verify(self, data: bytes, signature: bytes, *, purpose: str) -> bool:
        return hmac.compare_digest(self.sign(data, purpose=purpose), signature)

    def derived_key(self, *, purpose: str) -> bytes:
        """A key for what is sealed outside of the database. It outlives every rotation, and tells nothing about the others."""
        return subkey(self._derivation_key, "derived", purpose)

    async def record_use(self) -> None:
        """Add what was sealed since the last call to the count of each key, which says when to rotate it (2³¹ at the latest).

        A crash forgets what was not recorded: call it often enough that this is little against 2³¹.
        """
        counts, self._sealed_since_recorded = self._sealed_since_recorded, Counter()
        try:
            for key_id, count in counts.items():
                await models.CryptoKey.filter(id=key_id).update(encryptions=F("encryptions") + count)
        except BaseException:
            # Counted twice at worst, where an update went through and its answer did not: the cautious side.
            self._sealed_since_recorded += counts
            raise

    def __repr__(self) -> str:
        return f"Vault(data keys {', '.join(map(str, self._ring.ciphers))}; active {self._ring.active})"

    def __reduce__(self) -> Never:
        raise TypeError("a vault is not pickled")


_held: ContextVar[tuple[Vault, Ring] | None] = ContextVar("held_ring", default=None)


def sealed_header(key_id: int) -> bytes:
    """How every value begins that this data key sealed."""
    return bytes([_MAGIC, _AES_256_GCM]) + key_id.to_bytes(4, "big")


def key_id_of(header: bytes) -> int:
    """The data key by how a sealed value begins."""
    return int.from_bytes(header[2:_HEADER_BYTES], "big")


def _has_form(sealed: bytes) -> bool:
    return len(sealed) >= _HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES and sealed[:2] == bytes([_MAGIC, _AES_256_GCM])


def _split(sealed: bytes, place: Place) -> tuple[bytes, bytes, bytes]:
    if not _has_form(sealed):
        raise Unreadable(place, "it does not have the form of a sealed value")
    nonce_end = _HEADER_BYTES + _NONCE_BYTES
    return sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:nonce_end], sealed[nonce_end:]


def _associated_data(header: bytes, place: Place) -> bytes:
    folder = b"" if place.folder is None else place.folder.bytes
    return bound(LABEL, header, place.table.encode(), place.column.encode(), place.row.bytes, folder)
