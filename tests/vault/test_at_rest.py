"""What is in the files of a database, and what several processes do to them."""

import asyncio
import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import models
from api.clock import utc_now
from api.errors import KeyTrouble
from api.vault.keys import MasterKey, MasterKeys
from api.vault.opening import open_vault, wrapping_context
from api.vault.vault import Place
from models.database import open_database

pytestmark = pytest.mark.anyio

HERE = Place("oauth_app", "client_secret", UUID(int=1))
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
K1, OTHER_K1 = (MasterKey("k1", hashlib.sha256(seed).digest()) for seed in (b"one", b"other"))

START = """
import asyncio, sys
from api.clock import utc_now
from api.secret import Secret
from api.vault.keys import MasterKeys
from api.vault.opening import wrapping_context, open_vault
from models.database import open_database

async def main():
    async with open_database(sys.argv[1]) as database:
        print("ready", flush=True)
        sys.stdin.readline()
        vault = await open_vault(MasterKeys.from_text(sys.argv[2]), utc_now)
        print(vault.fingerprint(Secret("token")))

asyncio.run(main())
"""
KEY_TEXT = "k1:yCmXTd0LbvBqA3m4YOYlzNzCaYbnY8tKgcZ3n0bGg2U="


def files(folder: Path) -> dict[str, bytes]:
    """Every file of the folder but the shared memory of SQLite, which holds no data."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".db-shm"}


async def test_no_file_of_the_database_holds_a_plain_secret_or_key(sqlite_url: str, tmp_path: Path) -> None:
    secret = f"sk_live_{uuid4().hex}"

    async with open_database(sqlite_url):
        vault = await open_vault(MasterKeys([K1]), utc_now)
        data_keys = [await K1.unwrap(row.wrapped, wrapping_context(row)) for row in await models.CryptoKey.all()]
        await models.OAuthApp.create(
            id=HERE.row,
            connector_key="github",
            name="visible-canary",
            client_id="id",
            client_secret=vault.seal(secret.encode(), HERE),
            origin=models.OAuthAppOrigin.OPERATOR,
            created_at=NOW,
        )
        while_open = files(tmp_path)
    after_close = files(tmp_path)

    assert "patchbay.db-wal" in while_open
    for found in (b"".join(while_open.values()), b"".join(after_close.values())):
        assert b"visible-canary" in found
        for plain in (secret.encode(), K1.key, *data_keys):
            assert plain not in found
            assert plain.hex().encode() not in found


async def test_a_refused_start_leaves_the_files_byte_for_byte_as_they_were(sqlite_url: str, tmp_path: Path) -> None:
    async with open_database(sqlite_url):
        await open_vault(MasterKeys([K1]), utc_now)

        before = files(tmp_path)
        with pytest.raises(KeyTrouble):
            await open_vault(MasterKeys([OTHER_K1]), utc_now)
        assert files(tmp_path) == before

        await models.CryptoKey.filter(id=2).delete()
        before = files(tmp_path)
        with pytest.raises(KeyTrouble):
            await open_vault(MasterKeys([K1]), utc_now)
        assert files(tmp_path) == before


async def test_processes_that_start_at_once_make_one_ring(database_url: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", START, database_url, KEY_TEXT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    async with asyncio.timeout(15):
        ready = [await process.stdout.readline() for process in processes if process.stdout]
        answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))

    assert ready == [b"ready\n"] * 3
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len({fingerprint for fingerprint, _ in answers}) == 1
    async with open_database(database_url):
        assert await models.CryptoKey.all().count() == 2
