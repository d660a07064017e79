"""What there is of keys, as an operator needs to know it: read from the database alone, so that it can be told without any master key."""

import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import models
from api.vault.keys import MasterKeys
from api.vault.rotation import count_values
from models import CryptoKeyPurpose, CryptoKeyState


class Given(StrEnum):
    """Whether a master key is among those that this command was given."""

    YES = "yes"
    NO = "no"
    # A key of the same id, and another one.
    ANOTHER = "another key"


@dataclass(frozen=True, slots=True)
class MasterKeyStatus:
    id: str
    # Its check value; None where the database never saw it.
    fingerprint: str | None
    wraps: int
    given: Given
    is_primary: bool


@dataclass(frozen=True, slots=True)
class VaultKeyStatus:
    id: int
    purpose: CryptoKeyPurpose
    state: CryptoKeyState
    master_key: str
    created_at: datetime
    sealings: int
    # How many sealed values of the database lie under it.
    values: int
    # The servers that can open it.
    servers: Sequence[str]


@dataclass(frozen=True, slots=True)
class KeyStatus:
    master_keys: Sequence[MasterKeyStatus]
    keys: Sequence[VaultKeyStatus]
    servers: Sequence[str]
    # What to do next, in whole sentences.
    advice: Sequence[str]


async def key_status(given: MasterKeys, now: datetime) -> KeyStatus:
    rows = await models.CryptoKey.all().order_by("id")
    checks = {check.kek_id: check.check_value for check in await models.KeyCheck.all()}
    replicas = await models.Replica.alive(now)
    values = await count_values()
    wraps = Counter(row.kek_id for row in rows)
    master_keys = [_master_key(key_id, checks.get(key_id), wraps[key_id], given) for key_id in sorted({*checks, *wraps, *given.ids})]
    keys = [_vault_key(row, values, replicas) for row in rows]
    servers = [replica.id for replica in replicas]
    return KeyStatus(master_keys, keys, servers, _advice(master_keys, keys, servers, values))


def _master_key(key_id: str, known: str | None, wraps: int, given: MasterKeys) -> MasterKeyStatus:
    if key_id not in given.ids:
        return MasterKeyStatus(key_id, known, wraps, Given.NO, is_primary=False)
    own = given.get(key_id).check_value()
    same = known is None or hmac.compare_digest(known, own)
    return MasterKeyStatus(key_id, known or own, wraps, Given.YES if same else Given.ANOTHER, is_primary=key_id == given.primary.id)


def _vault_key(row: models.CryptoKey, values: Counter[int], replicas: Sequence[models.Replica]) -> VaultKeyStatus:
    servers = [replica.id for replica in replicas if row.id in replica.data_keys]
    return VaultKeyStatus(row.id, row.purpose, row.state, row.kek_id, row.created_at, row.encryptions, values[row.id], servers)


def _advice(
    master_keys: Sequence[MasterKeyStatus], keys: Sequence[VaultKeyStatus], servers: Sequence[str], values: Counter[int]
) -> list[str]:
    if not keys:
        return ["There is no key yet: the first `patchbay serve` makes them."]
    return [*_master_key_advice(master_keys), *_data_key_advice(keys, servers, values)] or ["Nothing is to be done."]


def _master_key_advice(master_keys: Sequence[MasterKeyStatus]) -> list[str]:
    advice = []
    for key in master_keys:
        if key.given is Given.ANOTHER:
            advice.append(f"The master key {key.id} that was given is not the one that this database knows. Give the right one.")
        elif key.given is Given.NO and key.wraps:
            advice.append(f"The master key {key.id} was not given, and wraps {key.wraps} keys. Give it, or no server starts.")
        elif key.given is Given.YES and not key.is_primary:
            advice.append(
                f"Run `patchbay keys rewrap`: the master key {key.id} still wraps {key.wraps} keys."
                if key.wraps
                else f"The master key {key.id} wraps nothing: it may be removed from the key file of every server."
            )
    return advice


def _data_key_advice(keys: Sequence[VaultKeyStatus], servers: Sequence[str], values: Counter[int]) -> list[str]:
    advice = []
    for key in keys:
        if key.purpose is not CryptoKeyPurpose.DATA or (key.state is CryptoKeyState.RETIRED and not key.values):
            continue
        lacking = sorted(set(servers) - set(key.servers))
        if lacking and key.state is not CryptoKeyState.RETIRED:
            advice.append(
                f"These servers do not have the data key {key.id}, so give them the master key {key.master_key}: {', '.join(lacking)}."
            )
        if key.state is not CryptoKeyState.ACTIVE:
            advice.append(f"Run `patchbay keys rotate --resume`: the data key {key.id} is {key.state}, with {key.values} values under it.")
    unknown = sorted(values.keys() - {key.id for key in keys})
    if unknown:
        advice.append(f"{sum(values[key] for key in unknown)} values name data keys that are not in the database; nobody can open them.")
    return advice
