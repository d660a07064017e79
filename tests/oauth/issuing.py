"""An identity provider that does as a test says: on a real socket, with keys of its own, right by default and wrong on demand."""

import base64
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.clock import HeldClock
from tests.installation import served

CLIENT_ID = "patchbay"
CLIENT_SECRET = "client-secret-canary"
AUDIENCE = "https://api.patchbay.example"

# Made once: a key takes longer than a test.
RSA = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
NEXT = RSAKey.generate_key(2048, {"kid": "second", "use": "sig", "alg": "RS256"})
FOREIGN = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
CURVE = ECKey.generate_key("P-256", {"kid": "curve"})


@dataclass
class Grant:
    """What a code stands for."""

    claims: dict[str, Any]
    nonce: str
    challenge: str
    redirect_uri: str


@dataclass
class IdentityProvider:
    """`asked` counts the requests by path. `metadata` and `token_claims` replace what it would say by itself."""

    issuer: str
    clock: HeldClock
    keys: list[Any] = field(default_factory=lambda: [RSA])
    signing_key: Any = field(default_factory=lambda: RSA)
    metadata: dict[str, Any] = field(default_factory=dict)
    token_claims: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] | None = None
    # Instead of the right answer, by path.
    answers: dict[str, Response] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    _grants: dict[str, Grant] = field(default_factory=dict)

    def sign(self, claims: dict[str, Any], *, key: Any = None, **header: Any) -> str:
        """A JWT: of these claims beside those that every one has; a claim that is None is left out."""
        now = int(self.clock.now.timestamp())
        usual = {"iss": self.issuer, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 300}
        chosen = key or self.signing_key
        given = {"alg": "RS256", "kid": chosen.kid, "typ": "JWT"} | header
        made = {name: value for name, value in (usual | claims).items() if value is not None}
        head = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(head, made, chosen, algorithms=[given["alg"]], default_type=None)

    def access_token(self, claims: dict[str, Any] | None = None, **header: Any) -> str:
        return self.sign({"client_id": "some-app", **(claims or {})}, **({"typ": "at+jwt"} | header))

    def answer_to(self, url: str, **claims: Any) -> list[tuple[str, str]]:
        """What a browser brings back that went to this address, once somebody signed in there."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        code = uuid4().hex
        self._grants[code] = Grant({"sub": "ada"} | claims, asked["nonce"], asked["code_challenge"], asked["redirect_uri"])
        return [("code", code), ("state", asked["state"]), ("iss", self.issuer)]

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._describe),
                Route("/keys", self._list_keys),
                Route("/token", self._grant, methods=["POST"]),
                Route("/userinfo", self._tell_user),
            ]
        )

    async def _describe(self, request: Request) -> Response:
        described = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/sign-out",
            "scopes_supported": ["openid", "profile", "email", "groups"],
            "authorization_response_iss_parameter_supported": True,
        }
        return self._answer(request, described | self.metadata)

    async def _list_keys(self, request: Request) -> Response:
        return self._answer(request, {"keys": [key if isinstance(key, dict) else key.as_dict(private=False) for key in self.keys]})

    async def _grant(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.forms.append(form)
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        grant = self._grants.pop(form.get("code", ""), None)
        proof = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(proof).rstrip(b"=").decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client"}, 401)
        if grant is None or grant.challenge != challenge or grant.redirect_uri != form.get("redirect_uri"):
            return self._answer(request, {"error": "invalid_grant"}, 400)
        claims = grant.claims | {"aud": CLIENT_ID, "nonce": grant.nonce} | self.token_claims
        access_token = f"opaque-{grant.claims['sub']}"
        return self._answer(request, {"access_token": access_token, "token_type": "Bearer", "id_token": self.sign(claims)})

    async def _tell_user(self, request: Request) -> Response:
        subject = request.headers["authorization"].removeprefix("Bearer opaque-")
        return self._answer(request, self.user_info or {"sub": subject})

    def _answer(self, request: Request, document: dict[str, Any], status: int = 200) -> Response:
        path = request.url.path
        self.asked.append(path)
        return self.answers.get(path) or JSONResponse(document, status)


@asynccontextmanager
async def issuing(clock: HeldClock) -> AsyncIterator[IdentityProvider]:
    """The provider, on a socket for as long as this lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        provider = IdentityProvider(f"http://127.0.0.1:{listener.getsockname()[1]}", clock)
        async with served(provider.app, listener):
            yield provider


def later(clock: HeldClock, **by: float) -> int:
    """A time of JWTs, counted from now."""
    return int((clock.now + timedelta(**by)).timestamp())
