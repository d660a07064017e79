"""Data keys and master keys rotate while others work on the database, and go on where they were cut off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

import models
from api.replicas import Replicas
from api.secret import Secret
from api.vault.following import RingFollower
from api.vault.keys import MasterKey, MasterKeys
from api.vault.opening import open_vault
from api.vault.rotation import Rotation, count_values
from api.vault.status import Given, key_status
from api.vault.vault import KeyUnavailable, Place, Vault
from models import AuthenticationType, ConnectionStatus, CryptoKeyPurpose, CryptoKeyState, FolderKind, OAuthAppOrigin, Sealed
from models.sealed_values import SEALED_COLUMNS, SealedColumn, SealedValue
from tests.clock import HeldClock
from tests.vault.ringing import K1, K2

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

FOLDER = UUID(int=7)
CLOCK = HeldClock()
ROWS = 6
VALUES = ROWS * 7
# Of four values at most, and each column ends with one that is not full.
BATCHES = 2 * 7
ONLY_K1 = MasterKeys([K1])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches, and no waiting between looks."""
    monkeypatch.setattr("api.vault.rotation._AT_ONCE", 4)
    monkeypatch.setattr("api.vault.rotation._POLL_SECONDS", 0.001)


@pytest.fixture
async def vault(database: object) -> Vault:
    return await open_vault(ONLY_K1, CLOCK)


def rotation(vault: Vault, keys: MasterKeys = ONLY_K1, told: list[str] | None = None) -> Rotation:
    told = [] if told is None else told
    return Rotation(vault, RingFollower(vault, lambda: keys), keys, CLOCK, told.append)


async def command(keys: MasterKeys = ONLY_K1, told: list[str] | None = None) -> Rotation:
    """The rotation as another process runs it."""
    return rotation(await open_vault(keys, CLOCK), keys, told)


def place(column: SealedColumn, value: SealedValue) -> Place:
    return Place(column.table, column.name, value.row, value.folder)


async def stored() -> list[tuple[SealedColumn, SealedValue]]:
    none = bytes(6)
    return [(column, value) for column in SEALED_COLUMNS for value in await column.hold_others(none, after=UUID(int=0), limit=10_000)]


def plain(table: str, column: str) -> bytes:
    """What is sealed there: not the bare name of the place, which an error may say."""
    return f"what is kept in {table}.{column}".encode()


async def assert_all_open(vault: Vault) -> None:
    for column, value in await stored():
        assert vault.open(value.sealed, place(column, value)) == plain(column.table, column.name)


async def states() -> dict[int, CryptoKeyState]:
    rows = await models.CryptoKey.filter(purpose=CryptoKeyPurpose.DATA).order_by("id")
    return {row.id: row.state for row in rows}


async def fill(vault: Vault) -> None:
    """Values in every sealed column, each at its place."""
    user = await models.User.create(name="Ada", email=None, email_key=None, created_at=CLOCK())
    await models.Folder.create(id=FOLDER, kind=FolderKind.SHARED, name="Team", name_key="team", created_at=CLOCK())
    for number in range(ROWS):
        await add_app(vault)
        await add_journal(vault)
        await add_webhook(vault, user)
        await add_connection(vault, user, number)
        await add_flow(vault, user)


def sealed(vault: Vault, table: str, column: str, row: UUID) -> Sealed:
    return vault.seal(plain(table, column), Place(table, column, row, FOLDER))


async def add_app(vault: Vault) -> None:
    row = uuid4()
    await models.OAuthApp.create(
        id=row,
        connector_key="github",
        name="GitHub",
        client_id="id",
        client_secret=sealed(vault, "oauth_app", "client_secret", row),
        previous_secret=sealed(vault, "oauth_app", "previous_secret", row),
        origin=OAuthAppOrigin.CONNECTION,
        folder_id=FOLDER,
        created_at=CLOCK(),
    )


async def add_journal(vault: Vault) -> UUID:
    row = uuid4()
    await models.TokenJournal.create(
        id=row,
        connection_id=uuid4(),
        folder_id=FOLDER,
        fingerprint="0" * 64,
        generation=1,
        lease_number=1,
        started_at=CLOCK(),
        answer=sealed(vault, "token_journal", "answer", row),
        answered_at=CLOCK(),
    )
    return row


async def add_webhook(vault: Vault, user: models.User) -> None:
    row = uuid4()
    await models.Webhook.create(
        id=row,
        folder_id=FOLDER,
        url="https://example.com/",
        secret=sealed(vault, "webhook", "secret", row),
        previous_secret=sealed(vault, "webhook", "previous_secret", row),
        secret_set_at=CLOCK(),
        created_by_id=user.id,
        created_at=CLOCK(),
    )


async def add_connection(vault: Vault, user: models.User, number: int) -> None:
    connection = models.Connection(
        folder_id=FOLDER,
        connector_key="github",
        authentication_type=AuthenticationType.API_KEY,
        owner_id=user.id,
        status=ConnectionStatus.CONNECTED,
        status_changed_at=CLOCK(),
        created_at=CLOCK(),
        updated_at=CLOCK(),
    )
    connection.rename(f"Main {number}")
    await connection.save(force_create=True)
    row = uuid4()
    secrets = sealed(vault, "credential", "secrets", row)
    await models.Credential.create(id=row, connection=connection, secrets=secrets, fingerprint="0" * 64, obtained_at=CLOCK())


async def add_flow(vault: Vault, user: models.User) -> None:
    row = uuid4()
    await models.Authorization.create(
        id=row,
        user=user,
        folder_id=FOLDER,
        connector_key="github",
        authentication_type=AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
        secrets=sealed(vault, "authorization_flow", "secrets", row),
        created_at=CLOCK(),
        expires_at=CLOCK(),
    )


@asynccontextmanager
async def beating(*replicas: Replicas) -> AsyncIterator[None]:
    """The heartbeats of servers, without their seconds in between."""

    async def beat() -> None:
        while True:
            for replica in replicas:
                await replica.beat()
            await asyncio.sleep(0)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def server(name: str, keys: MasterKeys = ONLY_K1) -> tuple[Vault, Replicas]:
    vault = await open_vault(keys, CLOCK)
    replica = Replicas(vault, RingFollower(vault, lambda: keys), CLOCK, id=name)
    await replica.beat()
    return vault, replica


async def test_a_rotation_seals_every_value_of_every_column_anew(vault: Vault) -> None:
    await fill(vault)
    fingerprint, told = vault.fingerprint(Secret("token")), list[str]()

    await (await command(told=told)).rotate()

    assert await states() == {1: CryptoKeyState.RETIRED, 3: CryptoKeyState.ACTIVE}
    assert await count_values() == {3: VALUES}
    later = await open_vault(ONLY_K1, CLOCK)
    await assert_all_open(later)
    assert later.fingerprint(Secret("token")) == fingerprint
    assert (await models.CryptoKey.get(id=3)).encryptions == VALUES
    assert told == [
        "Made the data key 3, wrapped by the master key k1.",
        "The data key 3 is active: what is sealed from now on is sealed with it.",
        "Sealed 42 values anew, with the data key 3.",
        "The data key 1 is retired: nothing is sealed with it any more.",
    ]


async def test_a_rotation_waits_for_every_server_and_says_for_whom(vault: Vault) -> None:
    (_, one), (_, two), told = await server("one"), await server("two"), list[str]()
    rotating = asyncio.create_task((await command(told=told)).rotate())

    async with beating(one):
        while len(told) < 2 or "one" in told[-1]:
            await asyncio.sleep(0)
        assert told[-1] == "Waiting until these servers open the data key 3: two."
        assert await states() == {1: CryptoKeyState.ACTIVE, 3: CryptoKeyState.PENDING}
        async with beating(two):
            await rotating

    assert await states() == {1: CryptoKeyState.RETIRED, 3: CryptoKeyState.ACTIVE}


async def test_a_server_that_is_gone_is_not_waited_for(vault: Vault) -> None:
    await server("gone")
    await models.Replica.all().update(seen_at=CLOCK() - timedelta(minutes=2))

    await (await command()).rotate()

    assert await states() == {1: CryptoKeyState.RETIRED, 3: CryptoKeyState.ACTIVE}


async def test_values_that_are_written_during_a_rotation_all_open_after_it(vault: Vault) -> None:
    await fill(vault)
    vaults, replicas = zip(*[await server("one"), await server("two")], strict=True)
    done, failures, written = asyncio.Event(), list[Exception](), set[UUID]()

    async def write(vault: Vault) -> None:
        while not done.is_set():
            try:
                written.add(await add_journal(vault))
                for row in await models.TokenJournal.all().limit(5):
                    assert row.answer is not None
                    vault.open(row.answer, Place("token_journal", "answer", row.id, FOLDER))
                    await models.TokenJournal.filter(id=row.id).update(answer=sealed(vault, "token_journal", "answer", row.id))
            except Exception as error:
                failures.append(error)

    writers = [asyncio.create_task(write(vault)) for vault in vaults]
    async with beating(*replicas):
        await (await command()).rotate()
    done.set()
    await asyncio.gather(*writers)

    assert failures == []
    assert written
    later = await open_vault(ONLY_K1, CLOCK)
    await assert_all_open(later)
    assert set(await count_values()) == {3}


class Killed(BaseException):
    """The process ends here."""


def kill_at_batch(step: int, patched: pytest.MonkeyPatch) -> None:
    """Kill the rotation in this transaction, before it commits."""
    count, replace = 0, SealedColumn.replace

    async def replacing(column: SealedColumn, changes: list[tuple[SealedValue, Sealed]]) -> None:
        nonlocal count
        count += bool(changes)
        await replace(column, changes)
        if count == step:
            raise Killed

    patched.setattr(SealedColumn, "replace", replacing)


async def test_a_rotation_that_is_killed_at_any_batch_goes_on_when_run_again(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(vault)

    for step in range(1, BATCHES + 1):
        former, following, told = step + (step > 1), step + 2, list[str]()
        with monkeypatch.context() as patched:
            kill_at_batch(step, patched)
            with pytest.raises(Killed):
                await (await command()).rotate()
        await assert_all_open(await open_vault(ONLY_K1, CLOCK))
        counts = await count_values()
        assert counts[former] + counts[following] == VALUES
        assert counts[former] > 0

        await (await command(told=told)).rotate()

        assert told == [
            f"Sealed {counts[former]} values anew, with the data key {following}.",
            f"The data key {former} is retired: nothing is sealed with it any more.",
        ]
        await assert_all_open(await open_vault(ONLY_K1, CLOCK))


async def test_a_rotation_that_was_killed_before_its_key_was_active_uses_that_key(vault: Vault) -> None:
    cut = await command()
    await cut._add_pending()

    await (await command()).rotate()
    await (await command()).rotate(begins=False)

    assert await states() == {1: CryptoKeyState.RETIRED, 3: CryptoKeyState.ACTIVE}


async def test_two_rotations_at_once_are_one_or_one_after_the_other(vault: Vault) -> None:
    await fill(vault)

    await asyncio.gather(*[(await command()).rotate() for _ in range(3)])

    assert list((await states()).values()).count(CryptoKeyState.ACTIVE) == 1
    await (await command()).rotate(begins=False)
    assert CryptoKeyState.DECRYPT_ONLY not in (await states()).values()
    await assert_all_open(await open_vault(ONLY_K1, CLOCK))


async def test_a_value_that_does_not_open_keeps_its_key_and_stops_nothing(vault: Vault) -> None:
    await fill(vault)
    broken = await models.TokenJournal.all().first()
    assert broken is not None
    assert broken.answer is not None
    damaged = Sealed(broken.answer[:-1] + bytes([broken.answer[-1] ^ 1]))
    await models.TokenJournal.filter(id=broken.id).update(answer=damaged)
    told: list[str] = []

    await (await command(told=told)).rotate()

    assert await states() == {1: CryptoKeyState.DECRYPT_ONLY, 3: CryptoKeyState.ACTIVE}
    assert await count_values() == {1: 1, 3: VALUES - 1}
    assert (await models.TokenJournal.get(id=broken.id)).answer == damaged
    assert "Left as found, because no key opens it: 1 value." in told


async def test_now_waits_for_nobody_and_a_server_without_the_key_refuses(vault: Vault) -> None:
    await fill(vault)
    lacking, replica = await server("lacking")
    keys, told = MasterKeys([K2, K1]), list[str]()

    await (await command(keys, told)).rotate(waits=False)
    await replica.beat()

    assert told[-1] == "The data key 1 is still needed. Run `patchbay keys rotate --resume` in a minute."
    with pytest.raises(KeyUnavailable):
        lacking.seal(b"token", Place("token_journal", "answer", UUID(int=1), FOLDER))
    for column, value in await stored():
        with pytest.raises(KeyUnavailable):
            lacking.open(value.sealed, place(column, value))
    await assert_all_open(await open_vault(keys, CLOCK))


async def test_rewrapping_frees_the_former_master_key(vault: Vault) -> None:
    await fill(vault)
    await (await command()).rotate()
    both = MasterKeys([K2, K1])

    count = await (await command(both)).rewrap()
    again = await (await command(both)).rewrap()

    assert (count, again) == (3, 0)
    later = await open_vault(MasterKeys([K2]), CLOCK)
    await assert_all_open(later)
    assert later.fingerprint(Secret("token")) == vault.fingerprint(Secret("token"))
    assert [check.kek_id for check in await models.KeyCheck.all()] == ["k2"]


async def test_a_running_server_goes_on_while_its_keys_are_wrapped_anew(vault: Vault) -> None:
    running, replica = await server("running")

    await (await command(MasterKeys([K2, K1]))).rewrap()
    await replica.beat()

    assert running.can_seal


async def test_the_status_says_what_there_is_and_what_to_do_next(vault: Vault) -> None:
    await fill(vault)
    await server("one")
    both = MasterKeys([K2, K1])
    await open_vault(both, CLOCK)

    before = await key_status(both, CLOCK())
    await (await command(both)).rewrap()
    after = await key_status(both, CLOCK())
    without = await key_status(MasterKeys([MasterKey("k2", K1.key)]), CLOCK())

    assert [(key.id, key.fingerprint, key.wraps, key.given, key.is_primary) for key in before.master_keys] == [
        ("k1", K1.check_value(), 2, Given.YES, False),
        ("k2", K2.check_value(), 0, Given.YES, True),
    ]
    assert [(key.id, key.state, key.master_key, key.values, key.servers) for key in before.keys] == [
        (1, CryptoKeyState.ACTIVE, "k1", 42, ["one"]),
        (2, CryptoKeyState.ACTIVE, "k1", 0, []),
    ]
    assert before.advice == ["Run `patchbay keys rewrap`: the master key k1 still wraps 2 keys."]
    assert after.advice == ["The master key k1 wraps nothing: it may be removed from the key file of every server."]
    assert without.advice == ["The master key k2 that was given is not the one that this database knows. Give the right one."]
