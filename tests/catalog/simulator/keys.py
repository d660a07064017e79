"""The keys that people hold in these tests: one that vendors know, and one that they do not."""

from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)


@cache
def private_key(name: str) -> str:
    """A key in PEM, the same for the same name: `rsa`, `ec`, or either with another word behind it."""
    # Short, since a key is checked whenever it is read: at this length in a tenth of the time.
    key: Any = rsa.generate_private_key(65537, 1024) if name.startswith("rsa") else ec.generate_private_key(ec.SECP256R1())
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


@cache
def encrypted_key(name: str, passphrase: str) -> str:
    """The same key, locked."""
    key = load_pem_private_key(private_key(name).encode(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())).decode()


@cache
def public_key(name: str) -> bytes:
    """The public half, in DER."""
    return load_pem_private_key(private_key(name).encode(), None).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
