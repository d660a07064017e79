"""How several values become one without two lists ever looking the same."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LABEL = b"patchbay/1"
KEY_BYTES = 32


def bound(*fields: bytes) -> bytes:
    """Join the fields, each after its length in four bytes: `a|b, c` and `a, b|c` stay different."""
    return b"".join([len(field).to_bytes(4, "big") + field for field in fields])


def subkey(key: bytes, *purpose: str) -> bytes:
    """A key for one purpose alone (HKDF-SHA256); it tells nothing about the others."""
    info = bound(LABEL, *(word.encode() for word in purpose))
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)
