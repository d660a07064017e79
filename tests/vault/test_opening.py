import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from tortoise.models import Model

import models
from api.errors import KeyTrouble
from api.secret import Secret
from api.vault.key_services import AwsKmsKey
from api.vault.keys import MasterKey, MasterKeys, Wrapper
from api.vault.opening import check_stored_keys, open_vault
from models import CryptoKeyPurpose, CryptoKeyState
from tests.vault.ringing import HERE, K1, K2, NOW, add_data_key, now

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

ARN = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
WRONG_K1, WRONG_K2 = MasterKey("k1", os.urandom(32)), MasterKey("k2", os.urandom(32))


async def snapshot() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    kinds = [kind for kind in map(vars(models).get, models.__all__) if isinstance(kind, type) and issubclass(kind, Model)]
    return {kind._meta.db_table: sorted(await kind.all().values(), key=repr) for kind in kinds}


async def assert_refused(master_keys: MasterKeys, message: str) -> None:
    before = await snapshot()

    with pytest.raises(KeyTrouble, match=message) as refusal:
        await open_vault(master_keys, now)

    assert refusal.value.remedy is not None
    assert await snapshot() == before


async def store_app(secret: models.Sealed | None) -> None:
    await models.OAuthApp.create(
        connector_key="github", name="GitHub", client_id="id", client_secret=secret, origin=models.OAuthAppOrigin.OPERATOR, created_at=NOW
    )


async def test_the_first_start_makes_one_ring() -> None:
    await open_vault(MasterKeys([K2, K1]), now)

    keys = await models.CryptoKey.all().order_by("id")
    assert [(key.id, key.purpose, key.kek_id, key.state, key.created_at) for key in keys] == [
        (1, CryptoKeyPurpose.DATA, "k2", CryptoKeyState.ACTIVE, NOW),
        (2, CryptoKeyPurpose.DERIVATION, "k2", CryptoKeyState.ACTIVE, NOW),
    ]
    checks = {check.kek_id: check.check_value for check in await models.KeyCheck.all()}
    assert checks == {"k1": K1.check_value(), "k2": K2.check_value()}


async def test_a_later_start_opens_what_an_earlier_one_sealed_and_writes_nothing() -> None:
    first = await open_vault(MasterKeys([K1]), now)
    sealed, before = first.seal(b"token", HERE), await snapshot()

    later = await open_vault(MasterKeys([K1]), now)

    assert later.open(sealed, HERE) == b"token"
    assert later.fingerprint(Secret("token")) == first.fingerprint(Secret("token"))
    assert later.sign(b"page", purpose="cursor") == first.sign(b"page", purpose="cursor")
    assert await snapshot() == before


async def test_two_databases_share_no_key() -> None:
    first = await open_vault(MasterKeys([K1]), now)
    await models.CryptoKey.all().delete()
    await models.KeyCheck.all().delete()
    second = await open_vault(MasterKeys([K1]), now)

    assert first.fingerprint(Secret("token")) != second.fingerprint(Secret("token"))


async def test_a_new_primary_is_remembered_and_the_old_key_still_opens() -> None:
    sealed = (await open_vault(MasterKeys([K1]), now)).seal(b"token", HERE)

    vault = await open_vault(MasterKeys([K2, K1]), now)

    assert vault.open(sealed, HERE) == b"token"
    assert {check.kek_id for check in await models.KeyCheck.all()} == {"k1", "k2"}
    await assert_refused(MasterKeys([WRONG_K2, K1]), "“k2” is not the one that this database knows by that id")


@pytest.mark.parametrize("state", [CryptoKeyState.DECRYPT_ONLY, CryptoKeyState.PENDING])
async def test_a_data_key_that_does_not_seal_still_opens(state: CryptoKeyState) -> None:
    first = await open_vault(MasterKeys([K1]), now)
    sealed = first.seal(b"token", HERE)
    await add_data_key(K2, state=CryptoKeyState.ACTIVE)
    await models.CryptoKey.filter(id=1).update(state=state)
    await models.KeyCheck.create(kek_id="k2", check_value=K2.check_value())

    rotated = await open_vault(MasterKeys([K2, K1]), now)

    assert rotated.open(sealed, HERE) == b"token"
    assert rotated.seal(b"token", HERE)[2:6] == b"\0\0\0\3"
    assert rotated.fingerprint(Secret("token")) == first.fingerprint(Secret("token"))
    await assert_refused(MasterKeys([K2]), "“k1” is missing")
    await assert_refused(MasterKeys([K1]), "“k2” is missing")


async def test_the_master_key_of_a_retired_data_key_is_not_needed() -> None:
    await open_vault(MasterKeys([K1]), now)
    await add_data_key(K2, state=CryptoKeyState.RETIRED)

    await open_vault(MasterKeys([K1]), now)


@pytest.mark.parametrize(
    ("ring", "message"),
    [
        ([WRONG_K1], "“k1” is not the one that this database knows"),
        ([K2], "“k1” is missing: the database needs it, and was given “k2”"),
        ([WRONG_K1, K2], "“k1” is not the one that this database knows"),
        ([K2, WRONG_K1], "“k1” is not the one that this database knows"),
        ([MasterKey("k3", K1.key)], "“k1” is missing"),
        ([AwsKmsKey("k1", ARN)], "“k1” is not the one that this database knows"),
        ([AwsKmsKey("k2", ARN)], "“k1” is missing"),
    ],
)
async def test_a_wrong_or_missing_master_key_is_refused_and_nothing_is_written(ring: list[Wrapper], message: str) -> None:
    await store_app((await open_vault(MasterKeys([K1]), now)).seal(b"token", HERE))

    await assert_refused(MasterKeys(ring), message)
    with pytest.raises(KeyTrouble, match=message):
        await check_stored_keys(MasterKeys(ring))


async def test_the_right_keys_pass_before_a_database_is_migrated() -> None:
    await check_stored_keys(MasterKeys([K2]))
    await open_vault(MasterKeys([K1]), now)

    await check_stored_keys(MasterKeys([K2, K1]))


async def remove_all_keys() -> None:
    await models.CryptoKey.all().delete()


async def remove_keys_and_checks() -> None:
    await models.CryptoKey.all().delete()
    await models.KeyCheck.all().delete()


async def retire_all_keys() -> None:
    await models.CryptoKey.all().update(state=CryptoKeyState.RETIRED)


async def remove_checks() -> None:
    await models.KeyCheck.all().delete()


async def change_check() -> None:
    await models.KeyCheck.all().update(check_value="0" * 32)


async def remove_data_key() -> None:
    await models.CryptoKey.filter(id=1).delete()


async def remove_derivation_key() -> None:
    await models.CryptoKey.filter(id=2).delete()


async def make_no_key_active() -> None:
    await models.CryptoKey.filter(id=1).update(state=CryptoKeyState.DECRYPT_ONLY)


async def make_two_keys_active() -> None:
    await add_data_key(K1, state=CryptoKeyState.ACTIVE)


async def swap_purposes() -> None:
    await models.CryptoKey.filter(id=1).update(purpose=CryptoKeyPurpose.DERIVATION)
    await models.CryptoKey.filter(id=2).update(purpose=CryptoKeyPurpose.DATA)


async def swap_wrapped_keys() -> None:
    data_key, derivation_key = await models.CryptoKey.all().order_by("id")
    await models.CryptoKey.filter(id=1).update(wrapped=derivation_key.wrapped)
    await models.CryptoKey.filter(id=2).update(wrapped=data_key.wrapped)


async def swap_canaries() -> None:
    data_key, derivation_key = await models.CryptoKey.all().order_by("id")
    await models.CryptoKey.filter(id=1).update(canary=derivation_key.canary)
    await models.CryptoKey.filter(id=2).update(canary=data_key.canary)


async def cut_wrapped_key() -> None:
    await models.CryptoKey.filter(id=1).update(wrapped=b"")


async def cut_canary() -> None:
    await models.CryptoKey.filter(id=2).update(canary=b"")


async def rename_data_key() -> None:
    row = await models.CryptoKey.get(id=1)
    await row.delete()
    await row.clone(pk=4).save(force_create=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_all_keys, "its key table was lost"),
        (remove_keys_and_checks, "its key table was lost"),
        (retire_all_keys, "its key table was lost"),
        (remove_checks, "lost the check value of the master key “k1”"),
        (change_check, "“k1” is not the one that this database knows"),
        (remove_data_key, "0 active data keys and 1 derivation keys"),
        (remove_derivation_key, "1 active data keys and 0 derivation keys"),
        (make_no_key_active, "0 active data keys and 1 derivation keys"),
        (make_two_keys_active, "2 active data keys and 1 derivation keys"),
        (swap_purposes, "“k1” does not open a key that it should have wrapped"),
        (swap_wrapped_keys, "“k1” does not open a key that it should have wrapped"),
        (swap_canaries, "does not open the known text"),
        (cut_wrapped_key, "has no form that is known here"),
        (cut_canary, "The key 2 of the database does not open the known text"),
        (rename_data_key, "“k1” does not open a key that it should have wrapped"),
    ],
)
async def test_a_damaged_ring_is_refused_and_nothing_is_written(damage: Callable[[], Awaitable[None]], message: str) -> None:
    await store_app((await open_vault(MasterKeys([K1]), now)).seal(b"token", HERE))
    await damage()

    await assert_refused(MasterKeys([K1]), message)


async def test_check_values_without_keys_are_refused_even_where_no_secret_is_kept() -> None:
    await open_vault(MasterKeys([K1]), now)
    await models.CryptoKey.all().delete()

    await assert_refused(MasterKeys([K1]), "its key table was lost")


async def test_rows_without_secrets_do_not_stop_a_first_start() -> None:
    await store_app(None)

    await open_vault(MasterKeys([K1]), now)

    assert await models.CryptoKey.all().count() == 2


async def test_many_first_starts_at_once_end_with_one_ring() -> None:
    vaults = await asyncio.gather(*(open_vault(MasterKeys([K1]), now) for _ in range(8)))

    assert await models.CryptoKey.all().count() == 2
    assert await models.KeyCheck.all().count() == 1
    sealed = vaults[0].seal(b"token", HERE)
    assert [vault.open(sealed, HERE) for vault in vaults] == [b"token"] * 8
    assert len({vault.fingerprint(Secret("token")) for vault in vaults}) == 1


async def test_of_two_first_starts_with_different_keys_of_one_id_one_is_refused() -> None:
    results = await asyncio.gather(open_vault(MasterKeys([K1]), now), open_vault(MasterKeys([WRONG_K1]), now), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["KeyTrouble", "Vault"]
    assert await models.CryptoKey.all().count() == 2


async def test_many_starts_with_a_new_master_key_remember_it_once() -> None:
    await open_vault(MasterKeys([K1]), now)

    await asyncio.gather(*(open_vault(MasterKeys([K2, K1]), now) for _ in range(8)))

    assert await models.KeyCheck.all().count() == 2


async def test_what_was_sealed_is_counted_in_batches() -> None:
    vault = await open_vault(MasterKeys([K1]), now)
    for _ in range(5):
        vault.seal(b"token", HERE)

    await vault.record_use()
    vault.seal(b"token", HERE)
    await vault.record_use()
    await vault.record_use()

    assert (await models.CryptoKey.get(id=1)).encryptions == 6


async def test_no_plain_secret_key_or_canary_is_in_any_row() -> None:
    secret = f"sk_live_{uuid4().hex}"
    await store_app((await open_vault(MasterKeys([K1]), now)).seal(secret.encode(), HERE))

    stored = b"".join(
        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
        for rows in (await snapshot()).values()
        for row in rows
        for value in row.values()
    )

    assert b"github" in stored
    for plain in (secret.encode(), K1.key, K1.key.hex().encode(), b"This text is known"):
        assert plain not in stored
