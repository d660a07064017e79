"""What all sides answer from: one migrated database with connections by the thousand, an API token, and a sealed credential."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

import models
from api.clock import utc_now
from api.connections.secrets import Secrets, credential_place
from api.opening import open_patchbay
from api.patchbay import Patchbay
from api.secret import Secret
from api.settings import Settings
from api.vault.keys import generate_key_text
from models import AuthenticationType, FolderKind
from models.database import DatabaseUrl, migrate
from tests import many
from tests.faults.databases import Kind, database

CONNECTOR = """
name = "Measured"
category = "dev"
base_url = "https://api.measured.example/v1"

[personal_access_token]
label = "Token"
proof = "none"
send.headers = { Authorization = "Bearer {token}" }

[personal_access_token.fields.token]
label = "Token"
secret = true
"""
# As long as many access tokens are.
_SECRET = "a-token-of-the-provider-" * 20

# Enough for the pools of all sides at once.
_SESSIONS = 200
_FEW = 100


@dataclass(frozen=True, slots=True)
class Ground:
    kind: Kind
    # What a server is started with, but for its port.
    environment: dict[str, str]
    # Of the owner of all connections.
    token: Secret
    # Where all of them are.
    workspace_id: UUID
    connection_ids: Sequence[UUID]
    # The one that has a credential.
    connection_id: UUID
    folder: Path

    @property
    def url(self) -> str:
        return self.environment["PATCHBAY_DATABASE_URL"]


async def on_each(kinds: Sequence[Kind]) -> AsyncIterator[Ground]:
    """A ground on each of these databases, one after the other, with few connections."""
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as folder:
            async with ground(kind, Path(folder), _FEW) as here:
                yield here


@asynccontextmanager
async def ground(kind: Kind, folder: Path, connections: int) -> AsyncIterator[Ground]:
    """A database with so many connections in one workspace, for as long as this lasts."""
    (folder / "connectors").mkdir()
    (folder / "connectors" / "measured.toml").write_text(CONNECTOR)
    async with database(kind, folder) as where:
        (folder / "data").mkdir(exist_ok=True)
        environment = {
            "PATCHBAY_DATA_FOLDER": str(folder / "data"),
            "PATCHBAY_DATABASE_URL": where.url,
            "PATCHBAY_KEYS": generate_key_text(),
            "PATCHBAY_CONNECTORS_FOLDER": str(folder / "connectors"),
            "PATCHBAY_SANDBOX": "off",
            # Nothing but what is asked for runs, and nobody is asked to come back later.
            "PATCHBAY_COURIER": "off",
            "PATCHBAY_REQUEST_RATE": "100000",
            # As Python usually runs: from bytecode, which the first of them writes.
            "PYTHONDONTWRITEBYTECODE": "",
        }
        if kind == "postgresql":
            await execute(where.url, f"ALTER SYSTEM SET max_connections = {_SESSIONS}")
            await where.restart()
        await migrate(where.url)
        async with open_patchbay(Settings.from_environment(environment), serves=False, refreshes=False) as patchbay:
            user = await patchbay.people.add_user(name="Ada")
            token = (await patchbay.people.add_token(user.id, name="For measuring")).token
            workspace = await models.Folder.get(owner_id=user.id, kind=FolderKind.PERSONAL)
            ids = await _filled(patchbay, workspace, connections)
        if kind == "postgresql":
            # What a server does by itself a minute after so much was written.
            await execute(where.url, "ANALYZE")
        yield Ground(kind, environment, token, workspace.id, ids, ids[connections // 2], folder)


async def _filled(patchbay: Patchbay, workspace: models.Folder, count: int) -> list[UUID]:
    """The ids of its connections; the one in the middle has a credential."""
    ends_at = utc_now() + timedelta(days=30)
    columns = {
        "connector_key": "measured",
        "authentication_type": AuthenticationType.PERSONAL_ACCESS_TOKEN,
        "option_key": None,
        "account": "ada@example.com",
        "scopes": ["read", "write"],
        "expires_at": ends_at,
        "last_refreshed_at": many.NOW,
    }
    connections = [many.a_connection(workspace, number, **columns) for number in range(count)]
    await many.add(connections)
    await _add_credential(patchbay, connections[count // 2])
    return [connection.id for connection in connections]


async def _add_credential(patchbay: Patchbay, connection: models.Connection) -> None:
    id, secrets = uuid4(), Secrets(fields={"token": Secret(_SECRET)})
    await models.Credential.create(
        id=id,
        connection_id=connection.id,
        secrets=secrets.seal(patchbay.vault, credential_place(id, connection.folder_id)),
        fingerprint=patchbay.vault.fingerprint(Secret(_SECRET)),
        obtained_at=many.NOW,
    )


async def execute(url: str, script: str) -> None:
    """Statements, on PostgreSQL."""
    session = await asyncpg.connect(**DatabaseUrl.parse(url).credentials)
    try:
        await session.execute(script)
    finally:
        await session.close()
