"""What a call through Patchbay costs, against the same call made directly.

usage: python -m tests.measuring.proxying [ROUNDS [CALLS]]
Patchbay is served by a process, as its operator runs it; the provider, which speaks TLS, is another one, and whoever calls is a third.
Rounds alternate: so many calls directly, then so many through Patchbay, by 1 client and by 16, each of whom keeps its connections; to a
provider that answers at once, and to one that takes 50 ms, which gets an eighth of the calls. The medians of the milliseconds of a call,
their ratio, and the lowest and the highest ratio of a round are printed.
"""

import asyncio
import contextlib
import itertools
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import trustme
from starlette.types import Receive, Scope, Send

import models
from api.access import Actor
from api.connections.requests import ConnectRequest
from api.opening import open_patchbay
from api.secret import Secret
from api.settings import Settings
from api.vault.keys import generate_key_text
from models import AuthenticationType, FolderKind
from models.database import migrate
from tests.acceptance.processes import free_port, running
from tests.measuring.revocation import databases

_CLIENTS = (1, 16)
_SLOW_MILLISECONDS = 50
_BODY = b'{"items": [' + b", ".join(b'{"id": %d, "name": "An item"}' % number for number in range(40)) + b"]}"
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]
_CONNECTOR = """
name = "Measured"
category = "dev"
base_url = "https://127.0.0.1:PORT/v1"

[personal_access_token]
label = "Token"
proof = "none"
send.headers = { Authorization = "Bearer {token}" }

[personal_access_token.fields.token]
label = "Token"
secret = true
"""


async def provider(scope: Scope, receive: Receive, send: Send) -> None:
    """The provider, as the server of its process calls it."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await asyncio.sleep(int(scope["query_string"] or 0) / 1000)
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _BODY})


@asynccontextmanager
async def _provider_served(folder: Path) -> AsyncIterator[int]:
    """The provider as a process: its port."""
    authority, port = trustme.CA(), free_port()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    command = ["-m", "uvicorn", "tests.measuring.proxying:provider", "--port", str(port)]
    options = ["--no-access-log", "--lifespan", "off", "--ssl-certfile", str(folder / "server.pem")]
    async with running(sys.executable, *command, *options, words=folder / "provider"):
        yield port


@asynccontextmanager
async def _patchbay_served(url: str, folder: Path, provider_port: int) -> AsyncIterator[tuple[str, str]]:
    """Patchbay as a process: the address of a connection at its proxy, and a token for it."""
    port = free_port()
    environment = {
        "PATCHBAY_DATA_FOLDER": str(folder),
        "PATCHBAY_DATABASE_URL": url,
        "PATCHBAY_KEYS": generate_key_text(),
        "PATCHBAY_PORT": str(port),
        "PATCHBAY_SANDBOX": "off",
        "PATCHBAY_CONNECTORS_FOLDER": str(folder / "connectors"),
        "PATCHBAY_EGRESS_ALLOW": f"127.0.0.1:{provider_port}",
        "PATCHBAY_EGRESS_CA_FILE": str(folder / "authority.pem"),
        "PATCHBAY_PROXY_RATE": "100000",
    }
    async with open_patchbay(Settings.from_environment(environment), serves=False, refreshes=False) as patchbay:
        ada = await patchbay.people.add_user(name="Ada", administrator=True)
        token = (await patchbay.people.add_token(ada.id, name="For measuring")).token
        workspace = await models.Folder.get(owner_id=ada.id, kind=FolderKind.PERSONAL)
        fields = {"token": Secret("a-token-of-the-provider")}
        request = ConnectRequest(workspace.id, "measured", AuthenticationType.PERSONAL_ACCESS_TOKEN, fields=fields)
        connection = await patchbay.connecting.connect(Actor(ada.id, ada.name, administrator=True), request)
    async with running(sys.executable, "-m", "api", "serve", words=folder / "patchbay", environment=environment) as program:
        await program.says("Ctrl\\+C")
        yield f"http://127.0.0.1:{port}/proxy/{connection.id}/items", token.reveal()


async def _round(url: str, headers: dict[str, str], tls: ssl.SSLContext, clients: int, calls: int) -> float:
    """Milliseconds that a call took, one with the other."""
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=tls, limit=0)) as session:

        async def call(times: int) -> None:
            for _ in range(times):
                async with session.get(url) as answer:
                    assert (answer.status, len(await answer.read())) == (200, len(_BODY)), await answer.text()

        async def by_all(times: int) -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(clients):
                    tasks.create_task(call(times))

        await by_all(2)
        begun = time.perf_counter()
        await by_all(calls // clients)
        return 1000 * (time.perf_counter() - begun) / (calls // clients)


async def _compare(database: str, proxy: tuple[str, str], provider_port: int, tls: ssl.SSLContext, rounds: int, calls: int) -> None:
    direct = (f"https://127.0.0.1:{provider_port}/v1/items", {"Authorization": "Bearer a-token-of-the-provider"})
    through = (proxy[0], {"Authorization": f"Bearer {proxy[1]}"})
    for takes, clients in itertools.product((0, _SLOW_MILLISECONDS), _CLIENTS):
        count = max(clients, calls // 8) if takes else calls
        pairs = []
        for _ in range(rounds):
            plain, proxied = [await _round(f"{url}?{takes}", headers, tls, clients, count) for url, headers in (direct, through)]
            pairs.append((plain, proxied))
        ratios = [proxied / plain for plain, proxied in pairs]
        plain, proxied = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(
            f"{database}, provider takes {takes} ms, {clients} clients, {rounds} rounds of {count} calls: directly {plain:.2f} ms, through "
            f"Patchbay {proxied:.2f} ms, ratio {proxied / plain:.2f} (rounds from {min(ratios):.2f} to {max(ratios):.2f})"
        )


async def main(rounds: int, calls: int) -> None:
    async with databases() as urls:
        for database, url in urls.items():
            await migrate(url)
            with tempfile.TemporaryDirectory() as text:
                folder = Path(text)
                (folder / "connectors").mkdir()
                async with _provider_served(folder) as port:
                    (folder / "connectors" / "measured.toml").write_text(_CONNECTOR.replace("PORT", str(port)))
                    tls = ssl.create_default_context(cafile=folder / "authority.pem")
                    async with _patchbay_served(url, folder, port) as proxy:
                        await _compare(database, proxy, port, tls, rounds, calls)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        numbers = [int(number) for number in sys.argv[1:]]
        asyncio.run(main(*(numbers + [7, 400][len(numbers) :])))
