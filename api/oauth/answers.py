"""The strict reader of what token endpoints answer (RFC 6749 section 5).

An answer is hostile until it is read: its size was bounded on the way in, its nesting and numbers are bounded here, a key given
twice is refused, and what becomes a token is printable ASCII. Lenient it is only where vendors really differ and nothing is lost:
in how they write a lifetime, a list of scopes, or a token type.
"""

import json
import logging
import math
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Never
from urllib.parse import parse_qsl

from api.oauth.errors import ServerFailed, ServerRefused, UnusableAnswer, clean_code, clean_description, read_retry_after
from api.oauth.tokens import AuthorizationServer, TokenPaths, TokenSet
from api.outbound.egress import origin_of
from api.outbound.http import Answer
from api.secret import Secret

logger = logging.getLogger(__name__)

# What JSON can hold.
Document = dict[str, Any] | list[Any] | str | int | float | bool | None

_LONGEST_TOKEN = 16_384
_TOKEN_TYPE = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)
_SCOPE = re.compile(r"[\x21-\x7e]{1,512}", re.ASCII)
_CAPTURED = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,2048}")
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
_FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "text/plain", ""})
_MAXIMUM_DEPTH = 32
_MAXIMUM_DIGITS = 20
_MAXIMUM_FORM_FIELDS = 64
_MAXIMUM_SCOPES = 500
# Longer than any token lives; and a lifetime without bound would not fit into a datetime.
_LONGEST_LIFETIME = timedelta(days=400)


class Unreadable(ValueError):
    """The text is no document at all."""


class Refused(ValueError):
    """It is a document, of a kind that we do not take; the message says why."""


def parse_token_answer(answer: Answer, server: AuthorizationServer, now: datetime, *, secrets: Iterable[Secret] = ()) -> TokenSet:
    """The grant that an answer holds. Raises ServerRefused, ServerFailed or UnusableAnswer; nothing else, whatever the answer.

    `secrets` are those of the request: no error repeats one of them. They are gone through only where there is an error, maybe twice.
    """
    try:
        document = _read_document(answer, server.accepts_form_answer)
    except Unreadable:
        raise ServerFailed(answer.status, retry_after=read_retry_after(answer.headers.get("Retry-After"), now)) from None
    except Refused as refused:
        raise find_failure(answer, None, server.paths, now, secrets) or UnusableAnswer(answer.status, str(refused)) from None
    failure = find_failure(answer, document, server.paths, now, secrets)
    if failure is not None:
        raise failure
    if not isinstance(document, dict) and server.paths.access_token != "$":
        raise UnusableAnswer(answer.status, "it is not an object")
    return _token_set(document, server, now, answer.status)


def parse_revocation_answer(answer: Answer, now: datetime, *, secrets: Iterable[Secret] = ()) -> None:
    """Raises ServerRefused or ServerFailed unless the answer says that a token is revoked: any 2xx does (RFC 7009 section 2.2)."""
    try:
        document = _read_document(answer, accepts_form=False)
    except (Unreadable, Refused):
        document = None
    failure = find_failure(answer, document, TokenPaths(), now, secrets)
    if failure is not None:
        raise failure


def find_failure(
    answer: Answer, document: Document, paths: TokenPaths, now: datetime, secrets: Iterable[Secret]
) -> ServerRefused | ServerFailed | None:
    """The failure that an answer tells of, by its status or, as some vendors do under HTTP 200, in its document alone."""
    is_success = 200 <= answer.status < 300
    if is_success and not find(document, paths.error) and find(document, "ok") is not False:
        return None
    # 408 and 425 tell of timing, 429 of load: the request itself was not judged.
    was_judged = is_success or (400 <= answer.status < 500 and answer.status not in (408, 425, 429) and isinstance(document, dict))
    kind = ServerRefused if was_judged else ServerFailed
    return kind(
        answer.status,
        error=clean_code(find(document, paths.error), secrets),
        description=clean_description(find(document, paths.error_description), secrets),
        retry_after=read_retry_after(answer.headers.get("Retry-After"), now),
    )


def parse_json(body: bytes) -> Document:
    """Read JSON strictly: UTF-8, no key twice, nesting and numbers bounded. Raises Unreadable, or Refused with the reason."""
    try:
        document: Document = _STRICT.decode(body.decode("utf-8-sig"))
    except Refused:
        raise
    except RecursionError:
        raise Refused("it is nested too deeply") from None
    except ValueError:
        raise Unreadable from None
    _check_depth(document)
    return document


def find(document: Document, path: str) -> Document:
    """What stands at a dotted path, `0` being the first of a list; None where nothing stands. `$` is the document itself."""
    if not path:
        return None
    if path == "$":
        return document
    if "." not in path and isinstance(document, dict):
        return document.get(path)
    found: Document = document
    for name in path.split("."):
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and re.fullmatch(r"[0-9]{1,4}", name, re.ASCII) and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _read_document(answer: Answer, accepts_form: bool) -> Document:
    content_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    try:
        return parse_json(answer.body)
    except Unreadable:
        if accepts_form and content_type in _FORM_TYPES:
            return _parse_form(answer.body)
        raise


def _parse_form(body: bytes) -> Document:
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=_MAXIMUM_FORM_FIELDS)
    except ValueError:
        raise Unreadable from None
    return _unique(pairs)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refused("it gives a key twice")
    return members


def _bounded_int(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAXIMUM_DIGITS:
        raise Refused("it holds a number of too many digits")
    return int(digits)


def _bounded_float(digits: str) -> float:
    if len(digits) > 2 * _MAXIMUM_DIGITS:
        raise Refused("it holds a number of too many digits")
    return float(digits)


def _no_constant(_: str) -> Never:
    raise Unreadable


# Made once: that takes half as long as to read an answer.
_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_bounded_int, parse_float=_bounded_float, parse_constant=_no_constant)


def _check_depth(document: Document) -> None:
    level: list[Any] = [document]
    for _ in range(_MAXIMUM_DEPTH + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return
        level = [child for container in containers for child in (container.values() if isinstance(container, dict) else container)]
    raise Refused("it is nested too deeply")


def _token_set(document: Document, server: AuthorizationServer, now: datetime, status: int) -> TokenSet:
    paths = server.paths
    access_token = _token(find(document, paths.access_token), "access token", status)
    if access_token is None:
        raise UnusableAnswer(status, "it holds no access token")
    token_type = _token_type(find(document, paths.token_type), server.token_types, status)

    lifetime = _lifetime(find(document, paths.expires_in))
    if lifetime is None and find(document, paths.expires_in) is not None:
        logger.warning("token lifetime not understood", extra={"provider": origin_of(server.token_url)})
    if lifetime is None:
        lifetime = _time_left(find(document, paths.expires_at), now) or server.default_lifetime
    refresh_token = _token(find(document, paths.refresh_token), "refresh token", status)
    refresh_lifetime = _lifetime(find(document, paths.refresh_expires_in))
    if refresh_lifetime is None and refresh_token is not None:
        refresh_lifetime = server.refresh_lifetime

    return TokenSet(
        access_token=access_token,
        token_type=token_type,
        refresh_token=refresh_token,
        expires_at=None if lifetime is None else now + lifetime,
        refresh_expires_at=None if refresh_lifetime is None else now + refresh_lifetime,
        scopes=_scopes(find(document, paths.scope), server),
        captured=_captured(document, server.capture),
        id_token=_token(find(document, "id_token"), "ID token", status) if server.is_openid else None,
    )


def _token(value: Document, name: str, status: int) -> Secret | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _is_printable(value) or len(value) > _LONGEST_TOKEN:
        raise UnusableAnswer(status, f"its {name} is not printable ASCII text of at most 16,384 characters")
    return Secret(value)


def _is_printable(text: str) -> bool:
    """Whether there is nothing in it but ASCII that is seen: a tenth of what a regular expression takes for it."""
    return text.isascii() and text.isprintable() and " " not in text


def _token_type(value: Document, accepted: Collection[str], status: int) -> str:
    # RFC 6749 demands it; many vendors leave it out and mean Bearer.
    if value is None or value == "" or (value == "Bearer" and "bearer" in accepted):
        return "Bearer"
    if not isinstance(value, str) or not _TOKEN_TYPE.fullmatch(value) or value.casefold() not in {name.casefold() for name in accepted}:
        raise UnusableAnswer(status, "its token type is not one that is accepted here")
    return "Bearer" if value.casefold() == "bearer" else value


def _lifetime(value: Document) -> timedelta | None:
    """How long a token lives. None: unknown. Zero and less are unknown too, or each refresh would ask for the next one."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 1:
        return None
    return min(timedelta(seconds=int(min(value, _LONGEST_LIFETIME.total_seconds()))), _LONGEST_LIFETIME)


def _time_left(value: Document, now: datetime) -> timedelta | None:
    """How long until a time that a server wrote down. None: it wrote none, or it is over."""
    if isinstance(value, str):
        try:
            ends_at = datetime.fromisoformat(value)
        except ValueError:
            return None
        if ends_at.tzinfo is None:
            ends_at = ends_at.replace(tzinfo=UTC)
        return _lifetime((ends_at - now).total_seconds())
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return _lifetime(value - now.timestamp())


def _scopes(value: Document, server: AuthorizationServer) -> tuple[str, ...] | None:
    if isinstance(value, str):
        separator = server.granted_scope_separator
        names: list[Any] = value.split(separator) if separator else re.split(r"[\s,]+", value.replace(server.scope_separator, " "))
    elif isinstance(value, list):
        names = value
    else:
        return None
    clean = (name.strip() for name in names if isinstance(name, str))
    return tuple(dict.fromkeys(name for name in clean if _SCOPE.fullmatch(name)))[:_MAXIMUM_SCOPES]


def _captured(document: Document, capture: Mapping[str, str]) -> dict[str, str]:
    found = {name: find(document, path) for name, path in capture.items()}
    return {
        name: str(value)
        for name, value in found.items()
        if isinstance(value, str | int) and not isinstance(value, bool) and _CAPTURED.fullmatch(str(value))
    }
