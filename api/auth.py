"""Who is asking: by an API token, by an access token of the identity provider, or by the session cookie of a browser.

A browser sends its cookie along with whatever any page makes it send. So a cookie counts only where the browser says that one of
our own pages, or one that the operator allows, is asking. A token is sent by who has it, and needs no such proof.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from api.access import Actor
from api.errors import PatchbayError, Unauthenticated
from api.patchbay import Patchbay
from api.secret import Secret
from api.settings import Settings

_LONGEST = 512
# A JWT says much of somebody.
_LONGEST_TOKEN = 16_384
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)
_LONGEST_SOURCE = 64


class Foreign(PatchbayError):
    def __init__(self) -> None:
        super().__init__("A page of another site made your browser ask this, so nothing was done.")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller shows. `is_ambient`: the browser sent it by itself."""

    secret: Secret
    is_ambient: bool


def session_cookie_name(public_url: str) -> str:
    """The browser holds a `__Host-` cookie to this host, this path and https; without https there is no such promise to be had."""
    return "__Host-patchbay-session" if public_url.startswith("https://") else "patchbay-session"


def bearer_of(text: str) -> Secret | None:
    """The token in `Bearer …`."""
    scheme, _, token = text.strip().partition(" ")
    token = token.strip()
    return Secret(token) if scheme.lower() == "bearer" and token and len(token) <= _LONGEST_TOKEN else None


def credential_of(connection: HTTPConnection, public_url: str) -> Credential | None:
    """What the caller shows. Who sends an `Authorization` header means it: then no cookie counts."""
    header = connection.headers.get("authorization")
    if header is not None:
        token = bearer_of(header)
        return None if token is None else Credential(token, is_ambient=False)
    cookie = connection.cookies.get(session_cookie_name(public_url))
    return Credential(Secret(cookie), is_ambient=True) if cookie and len(cookie) <= _LONGEST else None


async def actor_of(credential: Credential | None, patchbay: Patchbay, *, source: str | None) -> Actor | None:
    """Whose credential it is, where it is one and alive. `source`: the address that it came from."""
    match credential:
        case None:
            return None
        case Credential(is_ambient=True):
            return await patchbay.people.actor_of_session(credential.secret, source=source)
    if _JWT.fullmatch(credential.secret.reveal()):
        return None if patchbay.identity is None else await patchbay.identity.actor_of_bearer(credential.secret, source=source)
    return await patchbay.people.actor_of_token(credential.secret, source=source)


async def caller_of(connection: HTTPConnection, patchbay: Patchbay) -> Actor:
    """Whoever asks. Raises Unauthenticated, and Foreign for a cookie that a browser sent because of another site."""
    credential = credential_of(connection, patchbay.settings.public_url)
    if credential is not None and credential.is_ambient and not is_from_our_page(connection, patchbay.settings):
        raise Foreign
    actor = await actor_of(credential, patchbay, source=source_of(connection))
    if actor is None:
        raise Unauthenticated
    return actor


def source_of(connection: HTTPConnection) -> str | None:
    """The address that a request came from, as the entrance found it: what a header says, anybody may say."""
    return None if connection.client is None else connection.client.host[:_LONGEST_SOURCE]


def is_from_our_page(connection: HTTPConnection, settings: Settings) -> bool:
    """Whether the browser says that a page of ours, or one of the allowed origins, is asking. Who says nothing is no browser."""
    if connection.headers.get("sec-fetch-site") == "same-origin":
        return True
    return connection.headers.get("origin") in {_origin(settings.public_url), *settings.allowed_origins}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
