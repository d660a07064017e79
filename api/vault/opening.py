"""Opens the vault of a database, or makes it where there is none yet. On any doubt it refuses, and has written nothing.

The order of the reads matters, since another process may be making the ring meanwhile. The ring and its check values are written
in one transaction, and secrets after it: so whoever sees secrets or a check value and then no key looks at a damaged database.
"""

import hmac
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tortoise.exceptions import IntegrityError

import models
from api.clock import Clock
from api.errors import KeyTrouble
from api.vault.bound import KEY_BYTES, LABEL, bound, subkey
from api.vault.keys import MasterKeys, Wrapper
from api.vault.vault import Place, Unreadable, Vault
from models import CryptoKeyPurpose, CryptoKeyState, Sealed
from models.database import has_table, rows, transaction
from models.sealed_values import SEALED_COLUMNS

logger = logging.getLogger(__name__)

_CANARY: Final = b"This text is known: it proves the key, and is no secret."
_ATTEMPTS: Final = 3
_RESTORE = "Restore the database from a backup that is whole. Nothing was written."
_WRONG_KEY = "Give the key that belongs to this database, or the database that belongs to this key. Nothing was written."


@dataclass(frozen=True, slots=True)
class _Ring:
    """What the database holds of the keys, read in an order that no other process's start can make look damaged."""

    used: bool
    keys: Sequence[models.CryptoKey]
    checks: dict[str, str]


async def open_vault(master_keys: MasterKeys, clock: Clock) -> Vault:
    """The vault of the open database; the first start makes its keys. Raises KeyTrouble, and then has written nothing."""
    for _ in range(_ATTEMPTS):
        ring = await _read_ring()
        _check_master_keys(ring, master_keys)
        vault = await _unlock(ring, master_keys) if ring.keys else None
        try:
            if vault is not None:
                await _remember_new_master_keys(ring, master_keys)
                return vault
            await _create_ring(master_keys, clock())
        except IntegrityError:
            # Another process did the same at the same time and was first: what it wrote is what counts.
            continue
    raise KeyTrouble("The keys in the database change while they are read.", "Start again once the other processes have started.")


async def check_stored_keys(master_keys: MasterKeys) -> None:
    """Raises KeyTrouble where the open database, of whatever version, belongs to other master keys, or to more. Calls no key service.

    For what comes before a database is migrated: what every version has of keys, and no more, is read by plain statements.
    """
    if not (await has_table("crypto_key") and await has_table("key_check")):
        return
    needed = await rows("SELECT kek_id FROM crypto_key WHERE state <> $1", [CryptoKeyState.RETIRED])
    checks = {row["kek_id"]: row["check_value"] for row in await rows("SELECT kek_id, check_value FROM key_check")}
    _compare(checks, master_keys)
    for kek_id in sorted({row["kek_id"] for row in needed}):
        master_keys.get(kek_id)


async def _read_ring() -> _Ring:
    used = await models.KeyCheck.exists() or await _holds_secrets()
    keys = await models.CryptoKey.exclude(state=CryptoKeyState.RETIRED).order_by("id")
    checks = {check.kek_id: check.check_value for check in await models.KeyCheck.all()}
    return _Ring(used, keys, checks)


async def _holds_secrets() -> bool:
    for column in SEALED_COLUMNS:
        if await column.model.exclude(**{column.name: None}).exists():
            return True
    return False


def _check_master_keys(ring: _Ring, master_keys: MasterKeys) -> None:
    """Raises KeyTrouble where a master key is wrong, or where the database lost what belongs to its keys."""
    if not ring.keys and ring.used:
        raise KeyTrouble("The database holds secrets or check values, but no key: its key table was lost.", _RESTORE)
    _compare(ring.checks, master_keys)
    for kek_id in sorted({key.kek_id for key in ring.keys}):
        if kek_id not in ring.checks:
            raise KeyTrouble(f"The database lost the check value of the master key “{kek_id}”.", _RESTORE)


def _compare(checks: Mapping[str, str], master_keys: MasterKeys) -> None:
    for master_key in master_keys:
        known = checks.get(master_key.id)
        if known is not None and not hmac.compare_digest(known, master_key.check_value()):
            raise KeyTrouble(f"The master key “{master_key.id}” is not the one that this database knows by that id.", _WRONG_KEY)


async def _unlock(ring: _Ring, master_keys: MasterKeys) -> Vault:
    """Raises KeyTrouble unless every master key is there and every key unwraps, proves itself, and has its part."""
    plain = {row.id: await unwrap(row, master_keys) for row in ring.keys}
    data_keys = [row for row in ring.keys if row.purpose is CryptoKeyPurpose.DATA]
    active = [row for row in data_keys if row.state is CryptoKeyState.ACTIVE]
    derivation_keys = [row for row in ring.keys if row.purpose is CryptoKeyPurpose.DERIVATION]
    if len(active) != 1 or len(derivation_keys) != 1:
        raise KeyTrouble(
            f"The database has {len(active)} active data keys and {len(derivation_keys)} derivation keys instead of one of each.", _RESTORE
        )
    return Vault({row.id: plain[row.id] for row in data_keys}, active=active[0].id, derivation_key=plain[derivation_keys[0].id])


async def unwrap(row: models.CryptoKey, master_keys: MasterKeys) -> bytes:
    """The key of a row. Raises KeyTrouble where its master key is not there, or does not open it, or it is not the key that it was."""
    key = await master_keys.get(row.kek_id).unwrap(row.wrapped, wrapping_context(row))
    try:
        proven = len(key) == KEY_BYTES and _canary_vault(row.id, key).open(Sealed(row.canary), _canary_place(row.id)) == _CANARY
    except Unreadable:
        proven = False
    if not proven:
        raise KeyTrouble(f"The key {row.id} of the database does not open the known text that it sealed.", _RESTORE)
    return key


async def _remember_new_master_keys(ring: _Ring, master_keys: MasterKeys) -> None:
    """So that a replica which was given another key by the same id is refused from now on."""
    new = [_check(master_key) for master_key in master_keys if master_key.id not in ring.checks]
    if new:
        await _insert(new)
        logger.info("master keys added", extra={"master_keys": [check.kek_id for check in new]})


async def _create_ring(master_keys: MasterKeys, now: datetime) -> None:
    primary = master_keys.primary
    data_key = await new_key(1, CryptoKeyPurpose.DATA, primary, now)
    derivation_key = await new_key(2, CryptoKeyPurpose.DERIVATION, primary, now)
    # Ids are fixed here, not counted: of two first starts at once the second breaks the primary key, and writes nothing.
    await _insert([data_key, derivation_key, *map(_check, master_keys)])
    logger.info("key ring created", extra={"master_key": primary.id, "active": data_key.id})


async def _insert(rows: Sequence[models.CryptoKey | models.KeyCheck]) -> None:
    async with transaction():
        for row in rows:
            await row.save(force_create=True)


async def new_key(
    key_id: int, purpose: CryptoKeyPurpose, master_key: Wrapper, now: datetime, *, state: CryptoKeyState = CryptoKeyState.ACTIVE
) -> models.CryptoKey:
    """A new key, wrapped; it is not saved."""
    row = models.CryptoKey(id=key_id, purpose=purpose, kek_id=master_key.id, state=state, created_at=now)
    key = os.urandom(KEY_BYTES)
    row.wrapped = await master_key.wrap(key, wrapping_context(row))
    row.canary = bytes(_canary_vault(key_id, key).seal(_CANARY, _canary_place(key_id)))
    return row


def _check(master_key: Wrapper) -> models.KeyCheck:
    return models.KeyCheck(kek_id=master_key.id, check_value=master_key.check_value())


def wrapping_context(row: models.CryptoKey) -> bytes:
    """What a key is wrapped for: its row, its purpose and its master key."""
    return bound(LABEL, b"key", row.purpose.encode(), row.id.to_bytes(4, "big"), row.kek_id.encode())


def _canary_vault(key_id: int, key: bytes) -> Vault:
    """A vault for the canary alone, under a subkey: a derivation key must not seal, not even this."""
    return Vault({key_id: subkey(key, "canary")}, active=key_id, derivation_key=key)


def _canary_place(key_id: int) -> Place:
    return Place("crypto_key", "canary", UUID(int=key_id))
