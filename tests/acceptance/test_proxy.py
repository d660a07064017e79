"""Calls through Patchbay, as a process, to a WebDAV server, as another one, over TLS."""

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import trustme

from tests.acceptance.processes import free_port, running
from tests.acceptance.test_serve import Place
from tests.acceptance.webdav import ROOT, TOKEN

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

CONNECTOR = """
name = "WebDAV"
category = "dev"
base_url = "https://127.0.0.1:PORT/dav"

[verify]
path = "/"

[personal_access_token]
label = "Token"
send.headers = { Authorization = "Bearer {token}" }

[personal_access_token.fields.token]
label = "Token"
secret = true
"""
CANARY = "canary-of-the-caller"


@asynccontextmanager
async def webdav_served(folder: Path) -> AsyncIterator[int]:
    authority, port = trustme.CA(), free_port()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    options = ["--port", str(port), "--lifespan", "off", "--ssl-certfile", str(folder / "server.pem")]
    async with running(sys.executable, "-m", "uvicorn", "tests.acceptance.webdav:app", *options, words=folder / "webdav"):
        yield port


async def test_files_of_a_webdav_server_are_written_listed_moved_and_read_without_its_token(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "connectors").mkdir()
    async with webdav_served(tmp_path) as port:
        (tmp_path / "connectors" / "webdav.toml").write_text(CONNECTOR.replace("PORT", str(port)))
        settings = {
            "PATCHBAY_CONNECTORS_FOLDER": str(tmp_path / "connectors"),
            "PATCHBAY_EGRESS_ALLOW": f"127.0.0.1:{port}",
            "PATCHBAY_EGRESS_CA_FILE": str(tmp_path / "authority.pem"),
            "PATCHBAY_LOG_LEVEL": "DEBUG",
        }
        async with place.serving(**settings) as (program, link), place.owner(link) as owner:
            connection = await owner.connect("webdav", "PERSONAL_ACCESS_TOKEN", fields=[{"name": "token", "value": TOKEN}])
            url = f"{place.url}/proxy/{connection['id']}"
            headers = {"Authorization": f"Bearer {owner.token}", "X-Own": CANARY}
            async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=20) as client:
                written = await client.put(f"{url}/{CANARY}%20a?{CANARY}", content=b"there")
                moved = await client.request("MOVE", f"{url}/{CANARY}%20a", headers={"Destination": f"{url}/b%20{CANARY}"})
                listed = await client.request("PROPFIND", f"{url}/", content=b"<propfind/>", headers={"Depth": "1"})
                read = await client.get(f"{url}/b%20{CANARY}")
                refused = await client.get(f"{url}/%2e%2e/{CANARY}")
                socket = await client.get(f"{url}/{CANARY}?{CANARY}", headers=UPGRADE)
            entries = await owner.ask('{ auditLog(filter: {action: "credential.proxy"}) { nodes { outcome detail } } }')
            await program.stop()

    assert [answer.status_code for answer in (written, moved, listed, read, refused, socket)] == [201, 201, 207, 200, 422, 501]
    found = ElementTree.fromstring(listed.content)
    assert [each.text for each in found.iter("{DAV:}href")] == [f"{ROOT}/b {CANARY}"]
    assert (read.content, read.headers["content-security-policy"].split(";")[0]) == (b"there", "sandbox")
    done = [entry["detail"] for entry in entries["auditLog"]["nodes"] if entry["outcome"] == "DONE"]
    assert done == [f"{method} 127.0.0.1" for method in ("GET", "PROPFIND", "MOVE", "PUT")]
    # Neither what the caller says, nor what only Patchbay knows, is in any log, however much is logged.
    assert [secret for secret in (CANARY, TOKEN, owner.token) if secret in program.log + program.output] == []
    logged = [json.loads(line) for line in program.log.splitlines()]
    calls = [(event["method"], event["status"]) for event in logged if event["message"] == "call proxied"]
    assert calls == [("PUT", 201), ("MOVE", 201), ("PROPFIND", 207), ("GET", 200), ("GET", 422)]


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
