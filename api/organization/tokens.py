"""API tokens and session cookies as texts.

An API token is `pb_<kind>_<public id>_<secret><checksum>`: the prefix lets secret scanners find a leaked one, the checksum lets us
refuse a mistyped one without asking the database. The secret has 256 random bits, so a fast hash is enough to keep it. The kind is
`user` or `service`; what it means is kept with the token, the text only tells it to who finds it.
"""

import hashlib
import secrets
import string
import zlib
from dataclasses import dataclass

from api.secret import Secret
from models import ApiTokenKind

_BASE62 = string.digits + string.ascii_letters
_ID_LENGTH = 12
_SECRET_LENGTH = 43
_CHECKSUM_LENGTH = 6


@dataclass(frozen=True, slots=True)
class TokenText:
    """An API token taken apart."""

    public_id: str
    secret: Secret
    kind: ApiTokenKind = ApiTokenKind.USER

    def text(self) -> Secret:
        body = f"{prefix_of(self.kind, self.public_id)}_{self.secret.reveal()}"
        return Secret(body + _checksum(body))

    def hash(self) -> bytes:
        """What is kept of the secret."""
        return hashlib.sha256(self.secret.reveal().encode()).digest()


def new_token(kind: ApiTokenKind = ApiTokenKind.USER) -> TokenText:
    return TokenText(_random(_ID_LENGTH), Secret(_random(_SECRET_LENGTH)), kind)


def prefix_of(kind: ApiTokenKind | None, public_id: str) -> str:
    """How the text of a token begins, to recognise it by."""
    return f"pb_{(kind or ApiTokenKind.USER).lower()}_{public_id}"


def parse_token(text: Secret) -> TokenText | None:
    """The parts of a token, or None where it is not one."""
    value = text.reveal()
    body, checksum = value[:-_CHECKSUM_LENGTH], value[-_CHECKSUM_LENGTH:]
    kind = next((kind for kind in ApiTokenKind if body.startswith(f"pb_{kind.lower()}_")), None)
    if kind is None or not value.isascii() or _checksum(body) != checksum:
        return None
    public_id, _, secret = body.removeprefix(f"pb_{kind.lower()}_").partition("_")
    if len(public_id) != _ID_LENGTH or len(secret) != _SECRET_LENGTH:
        return None
    return TokenText(public_id, Secret(secret), kind)


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
