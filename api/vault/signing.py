"""Texts that a client keeps for us and cannot change: the payload, with the vault's signature before it, in base64."""

import base64
import binascii

from api.vault.vault import Vault

_SIGNATURE = 16


def write_signed(payload: bytes, vault: Vault, *, purpose: str, scope: bytes = b"") -> str:
    """The text for a payload. What it is good for is bound by `purpose`, a constant, and `scope`."""
    return base64.urlsafe_b64encode(vault.sign(scope + payload, purpose=purpose) + payload).decode().rstrip("=")


def read_signed(text: str, vault: Vault, *, purpose: str, scope: bytes = b"") -> bytes | None:
    """The payload, or None where the text is not one that was written for this purpose and scope."""
    try:
        signed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    signature, payload = signed[:_SIGNATURE], signed[_SIGNATURE:]
    return payload if vault.verify(scope + payload, signature, purpose=purpose) else None
