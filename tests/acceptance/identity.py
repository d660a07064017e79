"""A Patchbay whose people sign in at their organization's identity provider, which others wrote."""

import base64
import hashlib
import json
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import trustme

from tests.acceptance.browsing import Browser, Page
from tests.acceptance.processes import HERE, Program, free_port, running

AUDIENCE = "https://api.patchbay.example"
ADMINISTRATORS = "/patchbay/administrators"
PROGRAM = "http://127.0.0.1/program"
WHO = "{ viewer { id name email administrator groups { name fromIdentityProvider } personalWorkspace { name } } }"


@dataclass(frozen=True)
class Place:
    """A Patchbay, and the identity provider that its operator named."""

    url: str
    issuer: str
    tls: SSLContext
    patchbay: Program
    secrets: list[str] = field(default_factory=list)

    @property
    def graphql(self) -> str:
        return f"{self.url}/graphql"

    async def know(self, subject: str, **claims: Any) -> None:
        """Let the provider know this of somebody."""
        async with httpx2.AsyncClient(verify=self.tls, trust_env=False) as client:
            answer = await client.get(f"{self.issuer}/test/people", params={"id": subject, "claims": json.dumps(claims)})
            assert answer.status_code == 200

    async def sign_in(self, browser: Browser, subject: str) -> Page:
        """What a person does: press the button, sign in at the provider, allow it, and come back."""
        page = await browser.open(f"{self.url}/sign-in")
        page = await browser.open(next(link for link in page.links if link.startswith("/sign-in/identity")))
        return await self.consent(browser, page, subject)

    async def consent(self, browser: Browser, page: Page, subject: str, *, stop_before: str | None = None) -> Page:
        if page.asks_for("login"):
            page = await browser.submit(login=subject, password="any", stop_before=stop_before)
        if page.asks_for("consent"):
            page = await browser.submit(stop_before=stop_before)
        return page

    async def who(self, browser: Browser) -> dict[str, Any]:
        """Who is signed in in a browser, as the API sees them."""
        answer = (await browser.ask(self.graphql, WHO)).json()
        viewer: dict[str, Any] = answer["data"]["viewer"]
        return viewer

    async def access_token(self, browser: Browser, subject: str, *, resource: str | None = AUDIENCE) -> tuple[str, str]:
        """The access token and the ID token that a program on somebody's machine gets for them."""
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        target = {} if resource is None else {"resource": resource}
        asked = {"client_id": "program", "response_type": "code", "redirect_uri": PROGRAM, "scope": "openid api", "nonce": "n"}
        query = urlencode(asked | target | {"code_challenge": challenge, "code_challenge_method": "S256"})
        page = await browser.open(f"{self.issuer}/auth?{query}", stop_before=PROGRAM)
        page = await self.consent(browser, page, subject, stop_before=PROGRAM)
        code = parse_qs(urlsplit(page.url).query)["code"][0]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": PROGRAM,
            "client_id": "program",
            "code_verifier": verifier,
        }
        async with httpx2.AsyncClient(verify=self.tls, trust_env=False) as client:
            granted = (await client.post(f"{self.issuer}/token", data=form | target)).json()
        self.secrets.extend([granted["access_token"], granted["id_token"], code])
        return granted["access_token"], granted["id_token"]

    async def ask(self, token: str) -> httpx2.Response:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return await client.post(self.graphql, json={"query": WHO}, headers={"Authorization": f"Bearer {token}"})


@asynccontextmanager
async def opened_place(folder: Path) -> AsyncIterator[Place]:
    url = f"http://127.0.0.1:{free_port()}"
    authority, tls = trustme.CA(), SSLContext(PROTOCOL_TLS_CLIENT)
    authority.configure_trust(tls)
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "provider.pem"))
    command = ("node", HERE / "oidc" / "identity.mjs", folder / "provider.pem", url)
    async with running(*command, words=folder / "provider") as provider:
        issuer = (await provider.says(r"ready (https://\S+)"))[1]
        async with serving(folder, url, issuer) as patchbay:
            yield Place(url, issuer, tls, patchbay)


@asynccontextmanager
async def serving(folder: Path, url: str, issuer: str) -> AsyncIterator[Program]:
    environment = {
        "PATCHBAY_DATA_FOLDER": str(folder / "data"),
        "PATCHBAY_PORT": str(urlsplit(url).port),
        "PATCHBAY_LOG_LEVEL": "DEBUG",
        "PATCHBAY_EGRESS_ALLOW": urlsplit(issuer).netloc,
        "PATCHBAY_EGRESS_CA_FILE": str(folder / "authority.pem"),
        "PATCHBAY_OIDC_ISSUER": issuer,
        "PATCHBAY_OIDC_CLIENT_ID": "patchbay",
        "PATCHBAY_OIDC_CLIENT_SECRET": "identity-secret-canary",
        "PATCHBAY_OIDC_AUDIENCE": AUDIENCE,
        "PATCHBAY_OIDC_ADMINISTRATOR_GROUP": ADMINISTRATORS,
    }
    async with running(sys.executable, "-m", "api", "serve", words=folder / "patchbay", environment=environment) as program:
        await program.says(r"Ctrl\+C\n")
        yield program
