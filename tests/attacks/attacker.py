"""An authorization server of somebody who is up to something, as the endpoints of a connector that an operator was talked into."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

CONNECTOR = """
requires = ["sandbox_url"]

name = "Mallory"
vendor = "Mallory"
category = "dev"
base_url = "{sandbox_url}/mallory"

[verify]
path = "/me"

[consent]
label = "Sign in"
issuer = "{sandbox_url}/mallory"
sends_issuer = true
authorize_url = "{sandbox_url}/mallory/authorize"
token_url = "{sandbox_url}/mallory/token"
pkce = "supported"
"""


@dataclass
class Attacker:
    """Sends whoever comes on to the honest server, with the same state, as if the honest server had been asked; and listens."""

    # Where the honest server asks for consent, and as which of its clients the person is sent there.
    honest: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    heard: list[bytes] = field(default_factory=list)

    def routes(self) -> list[BaseRoute]:
        endpoints = [Route("/authorize", self._authorize), Route("/token", self._token, methods=["POST"]), Route("/me", self._me)]
        return [Mount("/sandbox/mallory", routes=endpoints)]

    def write_connector(self, folder: Path) -> Path:
        folder.mkdir()
        (folder / "mallory.toml").write_text(CONNECTOR)
        return folder

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        return RedirectResponse(f"{self.honest}?{urlencode(asked | self.parameters)}", 302)

    async def _token(self, request: Request) -> Response:
        """Takes any code, and looks at no verifier."""
        self.heard.append(await request.body())
        return JSONResponse({"access_token": "mallory", "token_type": "Bearer", "expires_in": 3600, "scope": ""})

    async def _me(self, request: Request) -> Response:
        return JSONResponse({"account": "mallory"})
