"""How an authorization server can fail us. What it means for a connection is decided where connections are.

    PatchbayError
    ├── TokenError              an answer came, and it is no grant
    │   ├── ServerRefused       the server understood, and said no
    │   ├── ServerFailed        429, 5xx, a redirect, or an answer that cannot be read
    │   └── UnusableAnswer      a success that we must not build upon, such as one without an access token
    ├── UnusableKey             an assertion cannot be signed with this key
    ├── ReservedParameter       a connector's extra parameter would replace one of the protocol
    ├── IssuerUnusable          an identity provider that does not describe itself as it should: see `issuer`
    ├── StatementRefused        a token that does not prove who somebody is: see `openid`
    └── OutboundError           no answer came: see `api.outbound`

What the server wrote is attacker's text: `error` and `description` are cut and cleaned, hold nothing of what was sent in secret,
and stay out of the messages.
"""

import base64
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote, quote_plus

from api.errors import PatchbayError
from api.secret import Secret

_NOT_OF_A_CODE = re.compile(r"[^A-Za-z0-9_.:-]+", re.ASCII)
# Controls, line and paragraph separators, surrogates, and characters that reorder or hide text.
_NOT_OF_A_LINE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]+"
)
# So long a run is a token or a key, not a word.
_OPAQUE_RUN = re.compile(r"[A-Za-z0-9_+/=-]{40,}", re.ASCII)
# RFC 6749 section 5.2, RFC 7009 section 2.2.1. They are recognised even where a short secret is part of such a word.
_REGISTERED_CODES = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "unsupported_token_type",
    }
)
_MAXIMUM_CODE = 64
_MAXIMUM_DESCRIPTION = 200
_SHORTEST_WAIT = timedelta(seconds=1)
_LONGEST_WAIT = timedelta(hours=1)


class TokenError(PatchbayError):
    """`error` is the code of RFC 6749 section 5.2 or the server's own; `retry_after` lies between a second and an hour."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error: str | None = None,
        description: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.description = description
        self.retry_after = retry_after


class ServerRefused(TokenError):
    def __init__(self, status: int, *, error: str | None, description: str | None = None, retry_after: timedelta | None = None) -> None:
        message = f"The authorization server refused the request (HTTP {status})."
        super().__init__(message, status=status, error=error, description=description, retry_after=retry_after)


class ServerFailed(TokenError):
    def __init__(
        self, status: int, *, error: str | None = None, description: str | None = None, retry_after: timedelta | None = None
    ) -> None:
        message = f"The authorization server did not serve the request (HTTP {status})."
        super().__init__(message, status=status, error=error, description=description, retry_after=retry_after)


class UnusableAnswer(TokenError):
    """`problem` says what is wrong with the answer, in our words."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(f"The authorization server's answer cannot be used: {problem}.", status=status)
        self.problem = problem


class UnusableKey(PatchbayError):
    def __init__(self) -> None:
        super().__init__(
            "The private key cannot be used: it is not PEM, not of the kind that is needed, or its passphrase is not right.",
            "Give the private key as PEM (“-----BEGIN PRIVATE KEY-----”), with its passphrase if it has one.",
        )


class ReservedParameter(PatchbayError):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"The parameter “{_clean_line(name)[:_MAXIMUM_CODE]}” of the authorization request belongs to the protocol.",
            "Take it out of the connector's extra parameters and URL.",
        )


def clean_code(value: object, secrets: Iterable[Secret]) -> str | None:
    """An error code fit to be stored and printed, or None."""
    if isinstance(value, str) and value in _REGISTERED_CODES:
        return value
    if isinstance(value, bool) or not isinstance(value, str | int) or _betrays(str(value), secrets):
        return None
    return _NOT_OF_A_CODE.sub("_", str(value)[: 4 * _MAXIMUM_CODE]).strip("_")[:_MAXIMUM_CODE] or None


def clean_description(value: object, secrets: Iterable[Secret]) -> str | None:
    """One line of the server's text, or None where there is none or where it repeats a secret."""
    if not isinstance(value, str) or _betrays(value, secrets):
        return None
    line = _OPAQUE_RUN.sub("…", _clean_line(value))
    return line[:_MAXIMUM_DESCRIPTION].strip() or None


def read_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """What a Retry-After header asks for, in seconds or as a date (RFC 9110 section 10.2.3), held between a second and an hour."""
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"-?[0-9]+(\.[0-9]*)?", value, re.ASCII):
        # Ten digits are centuries.
        seconds = float(value[:10])
    else:
        try:
            date = parsedate_to_datetime(value)
            seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return max(_SHORTEST_WAIT, min(timedelta(seconds=seconds), _LONGEST_WAIT))


def _clean_line(text: str) -> str:
    return " ".join(_without_unseen(text, " ").split())


def _without_unseen(text: str, blank: str) -> str:
    """Also without what no version of Unicode has assigned, and what each may assign for itself."""
    return "".join(character if character.isprintable() else blank for character in _NOT_OF_A_LINE.sub(blank, text))


def _betrays(text: str, secrets: Iterable[Secret]) -> bool:
    """Whether a text holds a secret: as it is, URL-encoded, in base64 or hex, in any case, or with characters put between."""
    written = text.casefold()
    # A description is cut and cleaned after this, so it is searched as it came, and as it will be.
    squeezed = re.sub(r"\s", "", _without_unseen(written, ""))
    return any(form in written or form in squeezed for secret in secrets for form in _forms(secret))


def _forms(secret: Secret) -> set[str]:
    raw = secret.reveal()
    encoded = raw.encode("utf-8", "surrogatepass")
    return {
        form.casefold()
        for form in (
            raw,
            quote(encoded, safe=""),
            quote_plus(encoded),
            base64.b64encode(encoded).decode().rstrip("="),
            base64.urlsafe_b64encode(encoded).decode().rstrip("="),
            encoded.hex(),
        )
        if form
    }
