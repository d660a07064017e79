"""The identity provider as it describes itself: its endpoints (OpenID Connect Discovery 1.0), and the keys that it signs with (RFC 7517).

Both are fetched when they are first needed, and kept. They are trusted as far as TLS and the configured issuer go, and read as
strictly as any answer: bounded in time, size and number, and a key that is weak or of another kind than is taken here does not exist.
"""

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from api.clock import Clock
from api.errors import PatchbayError
from api.oauth.answers import Refused, Unreadable, parse_json
from api.oauth.tokens import ClientAuthentication
from api.outbound.http import OutboundClient, OutboundError, OutboundRequest

# Asymmetric ones alone: with `none` anybody signs, and with HMAC whoever knows the public key.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")

Key = RSAKey | ECKey | OKPKey
Document = TypeVar("Document")

_KINDS: dict[str, type[Key]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
# Verification takes longer with each bit.
_LARGEST_RSA_BITS = 8192
_MOST_KEYS = 100
_LONGEST_URL = 2000

_DEADLINE = timedelta(seconds=5)
_MAXIMUM_DOCUMENT = 256_000

_FRESH = timedelta(hours=1)
# For so long an outage of the provider does not shut out those whose tokens are still good.
_USABLE = timedelta(hours=6)
# How soon a document is fetched again at the earliest: while there is one, and while there is none.
_NOT_SOONER = timedelta(minutes=1)
_SOONER_WITHOUT = timedelta(seconds=10)


class IssuerUnusable(PatchbayError):
    """The provider cannot be reached, or what it says of itself is not right. `problem` says it in our words."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The identity provider cannot be used: {problem}", "Try again in a moment. If it stays so, tell your administrator."
        )
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the provider tells of its endpoints."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    scopes: frozenset[str]
    # How a client with a secret proves itself.
    client_authentication: ClientAuthentication
    # Whether every answer to a browser names the issuer (RFC 9207).
    sends_issuer: bool


class Kept(Generic[Document]):
    """A document of the provider's. One attempt at a time fetches it, and all who wait share what comes of that."""

    def __init__(self, fetch: Callable[[], Awaitable[Document]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._document: Document | None = None
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._problem = ""

    async def younger_than(self, age: timedelta) -> Document:
        """The document, fetched anew where it is older, but at most once a minute. Raises IssuerUnusable where there is none to use."""
        if self._is_due(age):
            async with self._lock:
                if self._is_due(age):
                    await self._try()
        return self._current()

    def _is_due(self, age: timedelta) -> bool:
        now = self._clock()
        pause = _SOONER_WITHOUT if self._document is None else _NOT_SOONER
        if self._tried_at is not None and now < self._tried_at + pause:
            return False
        return self._fetched_at is None or now >= self._fetched_at + age

    async def _try(self) -> None:
        try:
            document = await self._fetch()
        except IssuerUnusable as error:
            self._problem = error.problem
        except OutboundError as error:
            self._problem = error.message
        else:
            self._document, self._fetched_at = document, self._clock()
        self._tried_at = self._clock()

    def _current(self) -> Document:
        if self._document is None or self._fetched_at is None or self._clock() >= self._fetched_at + _FRESH + _USABLE:
            raise IssuerUnusable(self._problem)
        return self._document


class Issuer:
    """One identity provider, named by its issuer, which is compared exactly."""

    def __init__(self, name: str, http: OutboundClient, clock: Clock, *, deadline: timedelta = _DEADLINE) -> None:
        self.name = name
        self._http = http
        self._deadline = deadline
        self._metadata = Kept(self._fetch_metadata, clock)
        self._keys = Kept(self._fetch_keys, clock)

    async def metadata(self) -> Metadata:
        """Raises IssuerUnusable."""
        return await self._metadata.younger_than(_FRESH)

    async def find_key(self, key_id: str | None, algorithm: str) -> Key | None:
        """The one key that this is signed with. Where it is not known, the keys are fetched again. Raises IssuerUnusable."""
        found = _find_key(await self._keys.younger_than(_FRESH), key_id, algorithm)
        return found or _find_key(await self._keys.younger_than(_NOT_SOONER), key_id, algorithm)

    async def _fetch_metadata(self) -> Metadata:
        document = await self._get(f"{self.name.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self.name:
            raise IssuerUnusable("it says that it is another issuer than the one that is configured.")
        scopes = document.get("scopes_supported")
        return Metadata(
            authorization_endpoint=self._url(document, "authorization_endpoint"),
            token_endpoint=self._url(document, "token_endpoint"),
            jwks_uri=self._url(document, "jwks_uri"),
            userinfo_endpoint=self._find_url(document, "userinfo_endpoint"),
            end_session_endpoint=self._find_url(document, "end_session_endpoint"),
            scopes=frozenset(scope for scope in scopes if isinstance(scope, str)) if isinstance(scopes, list) else frozenset(),
            client_authentication=_client_authentication(document.get("token_endpoint_auth_methods_supported")),
            sends_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        )

    async def _fetch_keys(self) -> Sequence[Key]:
        document = await self._get((await self.metadata()).jwks_uri)
        listed = document.get("keys")
        if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
            raise IssuerUnusable("its keys are no list, or far too many.")
        keys = [key for key in map(_read_key, listed) if key is not None]
        if not keys:
            raise IssuerUnusable("none of its keys is of a kind that is taken here.")
        return keys

    async def _get(self, url: str) -> dict[str, Any]:
        request = OutboundRequest("GET", url, {"accept": "application/json"})
        answer = await self._http.send(request, deadline=self._deadline, max_bytes=_MAXIMUM_DOCUMENT)
        if answer.status != 200:
            raise IssuerUnusable(f"it answered HTTP {answer.status} where it should describe itself.")
        try:
            document = parse_json(answer.body)
        except (Unreadable, Refused):
            document = None
        if not isinstance(document, dict):
            raise IssuerUnusable("what it says of itself is not readable.")
        return document

    def _url(self, document: dict[str, Any], name: str) -> str:
        url = self._find_url(document, name)
        if url is None:
            raise IssuerUnusable(f"it names no {name}.")
        return url

    def _find_url(self, document: dict[str, Any], name: str) -> str | None:
        url = document.get(name)
        if url is None:
            return None
        if not isinstance(url, str) or len(url) > _LONGEST_URL:
            raise IssuerUnusable(f"its {name} is no URL.")
        # Also those that only a browser is sent to.
        return self._http.guard.check(url).url


def _client_authentication(methods: object) -> ClientAuthentication:
    # Basic is what holds where nothing is said (Discovery 1.0 section 3).
    if isinstance(methods, list) and "client_secret_basic" not in methods and "client_secret_post" in methods:
        return ClientAuthentication.CLIENT_SECRET_POST
    return ClientAuthentication.CLIENT_SECRET_BASIC


def _read_key(listed: object) -> Key | None:
    """A key that may be signed with, or None: there are others beside it, and some that no library knows yet (RFC 7517 section 5)."""
    if not isinstance(listed, dict) or listed.get("use", "sig") != "sig":
        return None
    kind = _KINDS.get(str(listed.get("kty")))
    if kind is None:
        return None
    try:
        with warnings.catch_warnings():
            # That is how the library tells of a weak key.
            warnings.simplefilter("error", SecurityWarning)
            key = kind.import_key(listed)
    # Of what is wrong with a key the libraries tell by many types.
    except (JoseError, SecurityWarning, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAKey) and key.public_key.key_size > _LARGEST_RSA_BITS:
        return None
    return key


def _find_key(keys: Sequence[Key], key_id: str | None, algorithm: str) -> Key | None:
    """The key of this id; where a signature names none (RFC 7515 section 4.1.4), the only one that can be meant."""
    fitting = [key for key in keys if (key_id is None or key.kid == key_id) and _fits(key, algorithm)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(key: Key, algorithm: str) -> bool:
    """Whether it is of the kind, the curve, the use, and, where it says so, for just this algorithm."""
    try:
        JWSRegistry.algorithms[algorithm].check_key(key)
    except JoseError:
        return False
    return True
