"""An authorization server as it describes itself to anybody: OpenID Connect Discovery 1.0, and RFC 8414.

What it says is a stranger's word: it is bounded, and every address in it passes the egress guard before anybody sees it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from api.errors import PatchbayError
from api.oauth.answers import Refused, Unreadable, parse_json
from api.outbound.http import OutboundClient, OutboundError, OutboundRequest

_OPENID = "/.well-known/openid-configuration"
_OAUTH = "/.well-known/oauth-authorization-server"
_DEADLINE = timedelta(seconds=5)
_MAXIMUM_DOCUMENT = 256_000
_LONGEST = 2_000
_MOST_NAMES = 1_000


class NotDescribed(PatchbayError):
    """There is no description to be had, or none that can be right. `problem` says it in our words."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"The authorization server does not describe itself: {problem}.", "Give its addresses by hand.")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """What a server says of itself. A list that it does not have is None: then it says nothing about that."""

    issuer: str
    token_url: str
    authorize_url: str | None = None
    revoke_url: str | None = None
    scopes: tuple[str, ...] | None = None
    grant_types: tuple[str, ...] | None = None
    client_authentications: tuple[str, ...] | None = None
    challenge_methods: tuple[str, ...] | None = None


async def read_metadata(http: OutboundClient, url: str) -> ServerMetadata:
    """What is at the address of a description. Raises NotDescribed."""
    document = await _get(http, url)
    issuer = document.get("issuer")
    if not isinstance(issuer, str) or len(issuer) > _LONGEST or url not in addresses_of(issuer):
        # Whoever describes somebody else would have tokens of theirs (RFC 8414 section 3.3).
        raise NotDescribed("what is there names another issuer than the one whose address it is")
    token_url = _url(http, document, "token_endpoint")
    if token_url is None:
        raise NotDescribed("it names no token endpoint")
    return ServerMetadata(
        issuer=issuer,
        token_url=token_url,
        authorize_url=_url(http, document, "authorization_endpoint"),
        revoke_url=_url(http, document, "revocation_endpoint"),
        scopes=_names(document, "scopes_supported"),
        grant_types=_names(document, "grant_types_supported"),
        client_authentications=_names(document, "token_endpoint_auth_methods_supported"),
        challenge_methods=_names(document, "code_challenge_methods_supported"),
    )


async def find_metadata(http: OutboundClient, issuer: str) -> ServerMetadata:
    """What an issuer says of itself, wherever it does. Raises NotDescribed with what was wrong at the first address."""
    problem: NotDescribed | None = None
    for url in addresses_of(issuer):
        try:
            return await read_metadata(http, url)
        except NotDescribed as error:
            problem = problem or error
    assert problem is not None
    raise problem


def addresses_of(issuer: str) -> tuple[str, ...]:
    """Where an issuer describes itself: OpenID puts the words behind its path, RFC 8414 before it."""
    try:
        parts = urlsplit(issuer)
    except ValueError:
        return (issuer,)
    path = parts.path.rstrip("/")
    return tuple(dict.fromkeys((issuer.rstrip("/") + _OPENID, f"{parts.scheme}://{parts.netloc}{_OAUTH}{path}")))


async def _get(http: OutboundClient, url: str) -> dict[str, Any]:
    request = OutboundRequest("GET", url, {"accept": "application/json"})
    try:
        answer = await http.send(request, deadline=_DEADLINE, max_bytes=_MAXIMUM_DOCUMENT)
    except OutboundError as error:
        raise NotDescribed(error.message.rstrip(".")) from None
    if answer.status != 200:
        raise NotDescribed(f"where it should, it answers HTTP {answer.status}")
    try:
        document = parse_json(answer.body)
    except (Unreadable, Refused):
        document = None
    if not isinstance(document, dict):
        raise NotDescribed("what it says there is not readable")
    return document


def _url(http: OutboundClient, document: dict[str, Any], name: str) -> str | None:
    url = document.get(name)
    if url is None:
        return None
    if not isinstance(url, str) or len(url) > _LONGEST:
        raise NotDescribed(f"its {name} is no URL")
    try:
        return http.guard.check(url).url
    except OutboundError as error:
        raise NotDescribed(f"its {name} cannot be used: {error.message.rstrip('.')}") from None


def _names(document: dict[str, Any], name: str) -> tuple[str, ...] | None:
    found = document.get(name)
    return None if not isinstance(found, list) else tuple(_fit(found[:_MOST_NAMES]))


def _fit(names: Iterable[Any]) -> Iterable[str]:
    return (name for name in names if isinstance(name, str) and name.isascii() and name.isprintable() and 0 < len(name) <= 500)
