"""How many sealed values a rotation of the data key seals anew in a second.

usage: python -m tests.measuring.rotation [CONNECTIONS]
So many connections, each with a credential of 2 kB, are made on each database; the time of the whole rotation, from its beginning to
the retired key, is printed as values a second; once alone, and once while one writer replaces credentials as fast as it can.
"""

import asyncio
import contextlib
import os
import sys
import time
from uuid import UUID, uuid4

import models
from api.clock import utc_now
from api.vault.following import RingFollower
from api.vault.keys import MasterKey, MasterKeys
from api.vault.opening import open_vault
from api.vault.rotation import Rotation
from api.vault.vault import Place, Vault
from models import AuthenticationType, ConnectionStatus, FolderKind
from models.database import migrate, open_database, transaction
from tests.measuring.revocation import databases

_SECRET = os.urandom(2048)
_AT_ONCE = 1000
# The writer learns of the new key after so many writes.
_READ_EVERY = 20


async def _fill(vault: Vault, count: int) -> UUID:
    now, folder = utc_now(), uuid4()
    user = await models.User.create(name="Ada", created_at=now)
    await models.Folder.create(id=folder, kind=FolderKind.SHARED, name="Team", name_key="team", created_at=now)
    for begin in range(0, count, _AT_ONCE):
        connections, credentials = [], []
        for number in range(begin, min(begin + _AT_ONCE, count)):
            connection = models.Connection(
                id=uuid4(),
                folder_id=folder,
                connector_key="github",
                authentication_type=AuthenticationType.API_KEY,
                owner_id=user.id,
                status=ConnectionStatus.CONNECTED,
                status_changed_at=now,
                created_at=now,
                updated_at=now,
            )
            connection.rename(f"Connection {number}")
            id = uuid4()
            sealed = vault.seal(_SECRET, Place("credential", "secrets", id, folder))
            connections.append(connection)
            credentials.append(models.Credential(id=id, connection_id=connection.id, secrets=sealed, fingerprint="0" * 64, obtained_at=now))
        async with transaction():
            await models.Connection.bulk_create(connections)
            await models.Credential.bulk_create(credentials)
    return folder


async def _rotate(keys: MasterKeys) -> float:
    vault = await open_vault(keys, utc_now)
    began = time.perf_counter()
    await Rotation(vault, RingFollower(vault, lambda: keys), keys, utc_now, lambda _: None).rotate()
    return time.perf_counter() - began


async def _write(keys: MasterKeys, folder: UUID, written: list[float]) -> None:
    vault = await open_vault(keys, utc_now)
    follower = RingFollower(vault, lambda: keys)
    ids = [row["id"] for row in await models.Credential.all().limit(500).values("id")]
    while True:
        if len(written) % _READ_EVERY == 0:
            await follower.read()
        id = ids[len(written) % len(ids)]
        began = time.perf_counter()
        await models.Credential.filter(id=id).update(secrets=vault.seal(_SECRET, Place("credential", "secrets", id, folder)))
        written.append(time.perf_counter() - began)


async def main(count: int) -> None:
    keys = MasterKeys([MasterKey("k1", os.urandom(32))])
    async with databases() as urls:
        for database, url in urls.items():
            await migrate(url)
            async with open_database(url):
                vault = await open_vault(keys, utc_now)
                folder = await _fill(vault, count)
                alone = await _rotate(keys)
                written: list[float] = []
                writer = asyncio.create_task(_write(keys, folder, written))
                beside = await _rotate(keys)
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
                print(
                    f"{database}: {count} values in {alone:.1f} s, {count / alone:.0f} a second; beside a writer",
                    f"{count / beside:.0f} a second, with {len(written) / beside:.0f} writes a second,",
                    f"the slowest {1000 * max(written):.0f} ms",
                )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
