"""Who somebody is, in the words of an identity provider: OpenID Connect Core 1.0, and access tokens that are JWTs (RFC 9068).

What is believed: a JWT that is signed by a key of the configured issuer, by an algorithm from a short list, and made by this issuer, for
us, and for now. From a browser comes an ID token, fetched by ourselves with a code that is bound to that browser (PKCE, nonce); from a
program an access token. Neither is taken for the other: whoever got an ID token got a proof for a client, and no key to an API.
What is not: an access token that was stolen opens this API for as long as it lasts, as any bearer token does.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from authlib.common.urls import add_params_to_uri
from joserfc import jws
from joserfc.errors import ClaimError, JoseError, MissingClaimError
from joserfc.jws import JWSRegistry
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from api.clock import Clock
from api.errors import PatchbayError
from api.oauth.answers import Refused, Unreadable, find, parse_json
from api.oauth.client import OAuthClient
from api.oauth.issuer import ALGORITHMS, Issuer, IssuerUnusable, Metadata
from api.oauth.tokens import AuthorizationServer, ClientAuthentication, ClientCredentials
from api.outbound.http import OutboundClient, OutboundRequest
from api.secret import Secret

# Their clock and ours.
_LEEWAY_SECONDS = 60
_LONGEST_TOKEN = 16_384
_LONGEST_HEADER = 4096
# OpenID Connect Core section 2.
_LONGEST_SUBJECT = 255

_DEADLINE = timedelta(seconds=10)
_MAXIMUM_ANSWER = 256_000

_SCOPES = ("openid", "profile", "email")
# RFC 9068 section 2.1.
_ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_PLAIN_TYPES = frozenset({"jwt", "application/jwt"})
_OF_ID_TOKENS = frozenset({"nonce", "at_hash", "c_hash", "s_hash", "events"})
_OF_ACCESS_TOKENS = frozenset({"scope", "scp", "client_id"})


class StatementRefused(PatchbayError):
    """A token that does not prove who somebody is. `problem` says why, in our words alone."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"The identity provider's statement is not believed: {problem}.")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class OpenIdProvider:
    """The identity provider, and who we are to it. `audience`: whom access tokens for our API are made for."""

    issuer: str
    client: ClientCredentials
    audience: str
    redirect_uri: str
    # Where the provider may send a browser that signed out there.
    signed_out_uri: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What the provider said of somebody, when, and until when. `subject` is theirs for good, within this issuer."""

    subject: str
    issued_at: datetime
    expires_at: datetime
    claims: Mapping[str, Any]

    def claim(self, name: str) -> Any:
        return find_claim(self.claims, name)


def find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of this name, or what stands at this dotted path. Names may be URLs, and so hold dots themselves."""
    return claims[name] if name in claims else find(dict(claims), name)


class OpenIdClient:
    """Every method that asks the provider raises IssuerUnusable, OutboundError, or TokenError where nothing comes of it."""

    def __init__(self, provider: OpenIdProvider, http: OutboundClient, clock: Clock) -> None:
        self.provider = provider
        self._issuer = Issuer(provider.issuer, http, clock)
        self._oauth = OAuthClient(http, clock)
        self._http = http
        self._clock = clock

    async def authorization_url(self, *, state: Secret, nonce: Secret, code_verifier: Secret, groups_scope: str) -> str:
        """Where a browser goes to sign in. `groups_scope` is asked for where the provider knows such a scope."""
        metadata = await self._issuer.metadata()
        scopes = [*_SCOPES, *({groups_scope} & metadata.scopes)]
        url = self._oauth.authorization_url(
            self._server(metadata),
            self.provider.client,
            redirect_uri=self.provider.redirect_uri,
            state=state,
            scopes=scopes,
            code_verifier=code_verifier,
        )
        return f"{url}&{urlencode({'nonce': nonce.reveal()})}"

    async def accepts_issuer(self, named: str | None) -> bool:
        """Whether an answer to a browser that names this issuer, or none, can be the provider's (RFC 9207)."""
        return self._server(await self._issuer.metadata()).accepts_issuer(named)

    async def identify(self, code: Secret, *, code_verifier: Secret, nonce: Secret, wanted: Sequence[str]) -> Statement:
        """Who signed in, once the browser brought the code. Where the ID token lacks a claim that is wanted, user info is asked.

        Raises StatementRefused.
        """
        metadata = await self._issuer.metadata()
        tokens = await self._oauth.exchange_code(
            self._server(metadata),
            self.provider.client,
            code=code,
            redirect_uri=self.provider.redirect_uri,
            code_verifier=code_verifier,
            asked_scopes=_SCOPES,
        )
        if tokens.id_token is None:
            raise StatementRefused("it came without an ID token")
        statement = await self._read_id_token(tokens.id_token, nonce)
        if metadata.userinfo_endpoint is None or all(statement.claim(name) is not None for name in wanted):
            return statement
        further = await self._user_info(metadata.userinfo_endpoint, tokens.access_token, statement.subject)
        return replace(statement, claims=further | dict(statement.claims))

    async def read_access_token(self, token: Secret) -> Statement:
        """Who a program acts for. Raises StatementRefused."""
        header, claims = await self._verified(token)
        statement = self._checked(claims, self.provider.audience)
        if not _is_access_token(_type_of(header), claims):
            raise StatementRefused("it is no access token")
        # RFC 9068 section 5: the names of clients are not those of people.
        if statement.subject in (claims.get("client_id"), claims.get("azp")):
            raise StatementRefused("a client got it for itself, and not for a person")
        return statement

    async def end_session_url(self) -> str | None:
        """Where a person may sign out at the provider too (OpenID Connect RP-Initiated Logout 1.0), if there is such a place."""
        endpoint = (await self._issuer.metadata()).end_session_endpoint
        if endpoint is None:
            return None
        parameters = {"client_id": self.provider.client.client_id, "post_logout_redirect_uri": self.provider.signed_out_uri}
        return str(add_params_to_uri(endpoint, list(parameters.items())))

    def _server(self, metadata: Metadata) -> AuthorizationServer:
        is_public = self.provider.client.client_secret is None
        return AuthorizationServer(
            token_url=metadata.token_endpoint,
            authorize_url=metadata.authorization_endpoint,
            issuer=self.provider.issuer,
            sends_issuer=metadata.sends_issuer,
            client_authentication=ClientAuthentication.NONE if is_public else metadata.client_authentication,
            is_openid=True,
        )

    async def _read_id_token(self, token: Secret, nonce: Secret) -> Statement:
        header, claims = await self._verified(token)
        client_id = self.provider.client.client_id
        statement = self._checked(claims, client_id)
        if _type_of(header) not in _PLAIN_TYPES:
            raise StatementRefused("it is no ID token")
        # OpenID Connect Core section 3.1.3.7: of several audiences one must be named that it was made for, and none but us.
        is_for_several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if is_for_several else client_id) != client_id:
            raise StatementRefused("it was made for another client")
        named = claims.get("nonce")
        if not isinstance(named, str) or not hmac.compare_digest(named.encode(), nonce.reveal().encode()):
            raise StatementRefused("it answers another sign-in")
        return statement

    async def _verified(self, token: Secret) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """The header and the claims of a JWT whose signature is the issuer's. Nothing of it is used before, but which key it names."""
        text = token.reveal()
        if len(text) > _LONGEST_TOKEN or not text.isascii():
            raise StatementRefused("it is no JWT")
        registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        registry.max_header_length = _LONGEST_HEADER
        try:
            signed = jws.extract_compact(text.encode(), registry=registry)
        # A header that is JSON, and no object, is told of by a type of its own.
        except (JoseError, ValueError, TypeError, AttributeError):
            raise StatementRefused("it is no JWT") from None
        header = signed.headers()
        if not isinstance(header, dict) or header.get("alg") not in ALGORITHMS:
            raise StatementRefused("it is not signed by an algorithm that is taken here")
        key_id = header.get("kid")
        if not isinstance(key_id, str | None):
            raise StatementRefused("its key id is not a text")
        key = await self._issuer.find_key(key_id, header["alg"])
        if key is None:
            raise StatementRefused("it is not signed by a key that the issuer publishes")
        try:
            is_good = jws.validate_compact(signed, key, registry=registry)
        except (JoseError, ValueError, TypeError):
            is_good = False
        if not is_good:
            raise StatementRefused("its signature is not good")
        return header, _read_claims(signed.payload)

    def _checked(self, claims: dict[str, Any], audience: str) -> Statement:
        """Raises StatementRefused unless the issuer made it, for this audience, for now, about somebody."""
        essential: ClaimsOption = {"essential": True}
        registry = JWTClaimsRegistry(
            now=int(self._clock().timestamp()),
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self.provider.issuer},
            aud={"essential": True, "value": audience},
            sub=essential,
            exp=essential,
            iat=essential,
        )
        try:
            registry.validate(claims)
            issued_at = datetime.fromtimestamp(claims["iat"], UTC)
            expires_at = datetime.fromtimestamp(claims["exp"] + _LEEWAY_SECONDS, UTC)
        except ClaimError as error:
            raise StatementRefused(_claim_problem(error)) from None
        except (ValueError, OverflowError, OSError):
            raise StatementRefused("its times are none") from None
        subject = claims["sub"]
        if len(subject) > _LONGEST_SUBJECT or not subject.isprintable():
            raise StatementRefused("its subject is no name")
        return Statement(subject, issued_at, expires_at, claims)

    async def _user_info(self, url: str, access_token: Secret, subject: str) -> dict[str, Any]:
        headers = {"accept": "application/json", "authorization": f"Bearer {access_token.reveal()}"}
        answer = await self._http.send(OutboundRequest("GET", url, headers), deadline=_DEADLINE, max_bytes=_MAXIMUM_ANSWER)
        if answer.status != 200:
            raise IssuerUnusable(f"it answered HTTP {answer.status} to the question who signed in.")
        claims = _read_claims(answer.body)
        # OpenID Connect Core section 5.3.2: else it could be somebody else's.
        if claims.get("sub") != subject:
            raise StatementRefused("its user info is about somebody else")
        return claims


def _type_of(header: Mapping[str, Any]) -> str:
    return str(header.get("typ", "jwt")).lower()


def _is_access_token(kind: str, claims: Mapping[str, Any]) -> bool:
    """RFC 9068 gives access tokens a type of their own. Some providers have a claim for it, and many know neither.

    Then it must have what access tokens have, and nothing that only others have.
    """
    if kind in _ACCESS_TOKEN_TYPES:
        return True
    if kind not in _PLAIN_TYPES:
        return False
    # So Keycloak does.
    if "typ" in claims:
        return bool(claims["typ"] == "Bearer")
    return bool(_OF_ACCESS_TOKENS & claims.keys()) and not _OF_ID_TOKENS & claims.keys()


def _read_claims(body: bytes) -> dict[str, Any]:
    try:
        claims = parse_json(body)
    except (Unreadable, Refused):
        claims = None
    if not isinstance(claims, dict):
        raise StatementRefused("it cannot be read")
    return claims


def _claim_problem(error: ClaimError) -> str:
    if isinstance(error, MissingClaimError):
        return "it lacks what every such statement has"
    match error.claim:
        case "iss":
            return "another issuer made it"
        case "aud":
            return "it was not made for Patchbay"
        case "exp":
            return "it has expired"
        case "nbf" | "iat":
            return "it is not valid yet"
    return "a claim of it is not of the right kind"
