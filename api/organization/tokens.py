"""API tokens and session cookies as texts.

An API token is `pb_user_<public id>_<secret><checksum>`: the prefix lets secret scanners find a leaked one, the checksum lets us refuse
a mistyped one without asking the database. The secret has 256 random bits, so a fast hash is enough to keep it.
"""

import hashlib
import secrets
import string
import zlib
from dataclasses import dataclass

from api.secret import Secret

_BASE62 = string.digits + string.ascii_letters
_PREFIX = "pb_user_"
_ID_LENGTH = 12
_SECRET_LENGTH = 43
_CHECKSUM_LENGTH = 6


@dataclass(frozen=True, slots=True)
class TokenText:
    """An API token taken apart."""

    public_id: str
    secret: Secret

    def text(self) -> Secret:
        body = f"{_PREFIX}{self.public_id}_{self.secret.reveal()}"
        return Secret(body + _checksum(body))

    def hash(self) -> bytes:
        """What is kept of the secret."""
        return hashlib.sha256(self.secret.reveal().encode()).digest()


def new_token() -> TokenText:
    return TokenText(_random(_ID_LENGTH), Secret(_random(_SECRET_LENGTH)))


def parse_token(text: Secret) -> TokenText | None:
    """The parts of a token, or None where it is not one."""
    value = text.reveal()
    body, checksum = value[:-_CHECKSUM_LENGTH], value[-_CHECKSUM_LENGTH:]
    public_id, _, secret = body.removeprefix(_PREFIX).partition("_")
    if not body.startswith(_PREFIX) or len(public_id) != _ID_LENGTH or len(secret) != _SECRET_LENGTH:
        return None
    if not value.isascii() or _checksum(body) != checksum:
        return None
    return TokenText(public_id, Secret(secret))


def new_cookie() -> Secret:
    """256 random bits, for a session, a link, a state or a flow cookie."""
    return Secret(secrets.token_urlsafe(32))


def hash_of(cookie: Secret) -> str:
    """What is kept of such a value: it is looked up by this, so no comparison leaks it."""
    return hashlib.sha256(cookie.reveal().encode("utf-8", "surrogatepass")).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode("utf-8", "surrogatepass"))
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, rest = divmod(number, 62)
        digits.append(_BASE62[rest])
    return "".join(reversed(digits))
