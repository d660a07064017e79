"""A running process learns of the keys that others make, and leaves alone what it has no key for."""

import logging
from unittest.mock import AsyncMock

import pytest

import models
from api.errors import KeyTrouble
from api.vault.following import RingFollower
from api.vault.keys import MasterKey, MasterKeys
from api.vault.opening import open_vault
from api.vault.vault import KeyUnavailable, Unreadable, Vault
from models import CryptoKeyState
from tests.vault.ringing import BOTH, HERE, K1, K2, activate, add_data_key, now

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]


class Given:
    """The key file of one server."""

    def __init__(self, *keys: MasterKey) -> None:
        self.keys: tuple[MasterKey, ...] = keys

    def __call__(self) -> MasterKeys:
        return MasterKeys(self.keys)


async def follow(given: Given) -> tuple[Vault, RingFollower]:
    vault = await open_vault(given(), now)
    follower = RingFollower(vault, given)
    vault.follow(follower)
    return vault, follower


async def test_a_key_that_another_process_made_opens_after_the_next_reading() -> None:
    vault, follower = await follow(Given(K1))
    await add_data_key(K1, state=CryptoKeyState.PENDING)
    await activate(3)
    sealed = (await open_vault(MasterKeys([K1]), now)).seal(b"token", HERE)

    with pytest.raises(KeyUnavailable):
        vault.open(sealed, HERE)
    assert follower.wanted.is_set()
    await follower.read()

    assert vault.open(sealed, HERE) == b"token"
    assert vault.seal(b"token", HERE)[2:6] == b"\0\0\0\3"
    assert not follower.wanted.is_set()
    assert vault.skipped == 1


async def test_a_key_that_another_process_made_is_found_by_whoever_can_wait_for_it() -> None:
    vault, _ = await follow(Given(K1))
    await add_data_key(K1, state=CryptoKeyState.PENDING)
    await activate(3)
    sealed = (await open_vault(MasterKeys([K1]), now)).seal(b"token", HERE)

    await vault.look_for_key(sealed)

    assert vault.open(sealed, HERE) == b"token"
    assert vault.skipped == 0


async def test_a_pending_key_opens_and_is_not_sealed_with() -> None:
    vault, follower = await follow(Given(K1))
    await add_data_key(K1, state=CryptoKeyState.PENDING)

    await follower.read()

    assert vault.ring.key_ids == [1, 3]
    assert vault.seal(b"token", HERE)[2:6] == b"\0\0\0\1"


async def test_what_is_sealed_by_a_key_of_no_database_is_unreadable_once_it_was_looked_for() -> None:
    vault, follower = await follow(Given(K1))
    elsewhere = Vault({9: bytes(range(32))}, active=9, derivation_key=bytes(32)).seal(b"token", HERE)

    with pytest.raises(KeyUnavailable):
        vault.open(elsewhere, HERE)
    await follower.read()

    with pytest.raises(Unreadable):
        vault.open(elsewhere, HERE)


async def test_without_the_master_key_of_the_active_key_nothing_is_sealed_and_what_opened_still_opens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = Given(K1)
    vault, follower = await follow(given)
    old = vault.seal(b"old", HERE)
    await add_data_key(K2, state=CryptoKeyState.PENDING)
    await activate(3)
    await models.KeyCheck.create(kek_id="k2", check_value=K2.check_value())
    new = (await open_vault(BOTH, now)).seal(b"new", HERE)

    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await follower.read()

    assert (vault.can_seal, set(vault.ring.locked), vault.ring.key_ids) == (False, {3}, [1])
    assert vault.open(old, HERE) == b"old"
    with pytest.raises(KeyUnavailable):
        vault.open(new, HERE)
    with pytest.raises(KeyUnavailable):
        vault.reseal(old, HERE, HERE)
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == ["data key unavailable"]

    given.keys = (K1, K2)
    await follower.read()

    assert vault.open(new, HERE) == b"new"
    assert vault.seal(b"token", HERE)[2:6] == b"\0\0\0\3"
    assert vault.ring.locked == frozenset()


async def test_what_was_begun_is_sealed_though_the_active_key_goes_away_meanwhile() -> None:
    vault, follower = await follow(Given(K1))

    with vault.sealing():
        await add_data_key(K2, state=CryptoKeyState.PENDING)
        await activate(3)
        await follower.read()
        sealed = vault.seal(b"token", HERE)

    assert vault.open(sealed, HERE) == b"token"
    with pytest.raises(KeyUnavailable), vault.sealing():
        raise AssertionError("the block is not entered")


async def test_a_key_that_opens_is_not_unwrapped_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vault, follower = await follow(Given(K1))
    unwrap = AsyncMock(side_effect=KeyTrouble("The key service does not answer."))
    monkeypatch.setattr("api.vault.following.unwrap", unwrap)

    await follower.read()

    unwrap.assert_not_called()
    assert vault.can_seal


async def test_a_retired_key_still_opens_what_it_sealed() -> None:
    given = Given(K1)
    sealed = (await open_vault(given(), now)).seal(b"token", HERE)
    await add_data_key(K1, state=CryptoKeyState.PENDING)
    await activate(3)
    await models.CryptoKey.filter(id=1).update(state=CryptoKeyState.RETIRED)
    vault, follower = await follow(given)
    assert vault.ring.key_ids == [3]

    with pytest.raises(KeyUnavailable):
        vault.open(sealed, HERE)
    await follower.read()

    assert vault.open(sealed, HERE) == b"token"


async def test_a_ring_that_is_damaged_meanwhile_is_not_taken_over() -> None:
    vault, follower = await follow(Given(K1))
    await models.CryptoKey.filter(id=1).update(state=CryptoKeyState.DECRYPT_ONLY)

    await follower.read()

    assert vault.can_seal
