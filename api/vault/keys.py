"""Key-encryption keys: what the operator keeps, and what alone opens the keys in the database.

A master key is 32 random bytes with a short id, from a file or from the environment; or it is in a key service, and only its name is
here. It seals nothing itself: it wraps the keys of the vault when they are made and unwraps them at start. Messages name ids, never key
material. One is written as

    id:base64                           32 random bytes
    aws-kms:id:key ARN                  a key of AWS KMS
    vault-transit:id:mount/key          a key of the transit engine of HashiCorp Vault or OpenBao
"""

import base64
import hmac
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api.errors import KeyTrouble
from api.vault.bound import KEY_BYTES, subkey
from api.vault.key_services import AwsKmsKey, TransitKey, TransitServer

FIRST_ID: Final = "k1"
_WRAPPED_WITH_AES_256_GCM: Final = b"\x01"
_NONCE_BYTES: Final = 12
_LARGEST_FILE: Final = 65_536
# Shorter than the text of any usable key: where id and key were swapped, the key is refused and not repeated as an id.
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}")
_AWS_KMS: Final = "aws-kms"
_SERVICES: Final = (_AWS_KMS, "vault-transit")
_FORM = "Write each key as `id:base64` of 32 random bytes, the primary first; `patchbay keys generate` makes one."
_RESTORE = "The database is damaged or was changed: restore it from a backup. Nothing was written."


class Wrapper(Protocol):
    """What wraps the keys of the vault: a master key held here, or a key service that never hands its key out."""

    @property
    def id(self) -> str: ...

    def check_value(self) -> str:
        """32 hexadecimal digits that tell whether this is the same key as before, and nothing else about it."""

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        """Wrap a key so that it is unwrapped with the same context only."""

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key. Raises KeyTrouble where it was not wrapped by this one, or not for this context."""


@dataclass(frozen=True, slots=True, eq=False)
class MasterKey:
    """One key-encryption key, only buildable when it can be a random key. Raises KeyTrouble otherwise."""

    id: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise KeyTrouble("The id of a master key is not valid.", f"Use 1 to 20 letters, digits, dots, dashes. {_FORM}")
        if len(self.key) != KEY_BYTES:
            raise KeyTrouble(f"The master key “{self.id}” has {len(self.key)} bytes instead of {KEY_BYTES}.", _FORM)
        if len(set(self.key)) == 1:
            raise KeyTrouble(f"The master key “{self.id}” is one byte repeated, not a random key.", _FORM)
        if all(0x20 <= byte < 0x7F for byte in self.key):
            raise KeyTrouble(f"The master key “{self.id}” is a text, not a random key.", _FORM)

    def check_value(self) -> str:
        return hmac.digest(subkey(self.key, "check"), self.id.encode(), "sha256")[:16].hex()

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return _WRAPPED_WITH_AES_256_GCM + nonce + self._cipher().encrypt(nonce, key, context)

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        suite, nonce, ciphertext = wrapped[:1], wrapped[1 : 1 + _NONCE_BYTES], wrapped[1 + _NONCE_BYTES :]
        if suite != _WRAPPED_WITH_AES_256_GCM or len(nonce) != _NONCE_BYTES:
            raise KeyTrouble(f"A key that “{self.id}” should have wrapped has no form that is known here.", _RESTORE)
        try:
            return self._cipher().decrypt(nonce, ciphertext, context)
        except InvalidTag as error:
            raise KeyTrouble(f"The master key “{self.id}” does not open a key that it should have wrapped.", _RESTORE) from error

    def _cipher(self) -> AESGCM:
        return AESGCM(subkey(self.key, "wrap"))


class MasterKeys:
    """The master keys that are at hand. The first is the primary: it wraps what is new, the others only unwrap."""

    def __init__(self, keys: Sequence[Wrapper]) -> None:
        if not keys:
            raise KeyTrouble("There is no master key.", _FORM)
        self._keys = {key.id: key for key in keys}
        if len(self._keys) != len(keys):
            raise KeyTrouble(f"Two master keys have the same id; the ids are {', '.join(key.id for key in keys)}.", "Rename one of them.")

    @classmethod
    def from_text(cls, text: str, *, transit: TransitServer | None = None) -> Self:
        """Read the keys, separated by commas or line ends, the primary first. Raises KeyTrouble."""
        entries = [entry.strip() for entry in re.split(r"[,\n]", text) if entry.strip()]
        return cls([_parse(number, entry, transit) for number, entry in enumerate(entries, start=1)])

    @classmethod
    def from_file(cls, path: Path, *, transit: TransitServer | None = None) -> Self:
        """Read a key file. Raises KeyTrouble, also where others than its owner and group could read it, or its group write it."""
        return cls.from_text(_read_private(path), transit=transit)

    @property
    def primary(self) -> Wrapper:
        return next(iter(self._keys.values()))

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def get(self, key_id: str) -> Wrapper:
        """The master key with this id. Raises KeyTrouble where it was not given."""
        if key_id not in self._keys:
            given = ", ".join(f"“{given_id}”" for given_id in self.ids)
            raise KeyTrouble(
                f"The master key “{key_id}” is missing: the database needs it, and was given {given}.",
                "Give the keys that belong to this database, old ones after the primary. Nothing was written.",
            )
        return self._keys[key_id]

    def __iter__(self) -> Iterator[Wrapper]:
        return iter(self._keys.values())

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(self.ids)})"


def generate_key_text(key_id: str = FIRST_ID) -> str:
    """A new master key as `id:base64`. It is a secret: give it to the key file and to nothing else."""
    return f"{key_id}:{base64.b64encode(MasterKey(key_id, os.urandom(KEY_BYTES)).key).decode()}"


def create_key_file(path: Path, key_id: str = FIRST_ID) -> None:
    """Write a new master key to a new file that only its owner can read. Raises KeyTrouble where the file is there already."""
    content = f"{generate_key_text(key_id)}\n".encode()
    try:
        # O_EXCL: a key that is overwritten takes every secret with it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyTrouble(f"The key file {path} is there already and is never overwritten.", "Use it, or choose another path.") from error
    except OSError as error:
        raise KeyTrouble(f"The key file {path} cannot be written: {error.strerror}.", "Choose another path.") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    # The name must survive a power loss as well: secrets are about to depend upon it.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parse(number: int, entry: str, transit: TransitServer | None) -> Wrapper:
    key_id, colon, encoded = entry.partition(":")
    # No base64 has a colon, so that a key of our own may have the id “aws-kms”.
    if key_id in _SERVICES and ":" in encoded:
        return _parse_service(number, key_id, encoded, transit)
    if not colon or not _ID.fullmatch(key_id):
        raise KeyTrouble(f"Master key number {number} does not have the form `id:base64`.", _FORM)
    try:
        return MasterKey(key_id, base64.b64decode(encoded.strip(), validate=True))
    except ValueError:
        # Not `from error`: whatever a decoder says about its input stays out of the report.
        raise KeyTrouble(f"The master key “{key_id}” is not base64.", _FORM) from None


def _parse_service(number: int, service: str, rest: str, transit: TransitServer | None) -> Wrapper:
    key_id, _, name = rest.partition(":")
    if not _ID.fullmatch(key_id):
        raise KeyTrouble(f"Master key number {number} does not have the form `{service}:id:name`.", _FORM)
    return AwsKmsKey(key_id, name) if service == _AWS_KMS else TransitKey(key_id, name, transit)


def _read_private(path: Path) -> str:
    try:
        # Non-blocking, so that a pipe in the place of the file cannot hold the start.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyTrouble(f"The key file {path} is not a regular file.", "Give the path of a key file.")
            if status.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
                raise KeyTrouble(
                    f"The key file {path} can be read by others or written by its group (mode {stat.S_IMODE(status.st_mode):04o}).",
                    f"Run `chmod 600 {path}`.",
                )
            return file.read(_LARGEST_FILE).decode("ascii")
    except OSError as error:
        raise KeyTrouble(f"The key file {path} cannot be read: {error.strerror}.", "Check the path and who owns the file.") from error
    except UnicodeDecodeError:
        raise KeyTrouble(f"The key file {path} is not a text of ASCII characters.", _FORM) from None
