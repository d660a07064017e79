"""Keys of a database as an operator and a rotation change them."""

import os
from datetime import UTC, datetime
from uuid import UUID

import models
from api.vault.keys import MasterKey, MasterKeys
from api.vault.opening import new_key
from api.vault.vault import Place
from models import CryptoKeyPurpose, CryptoKeyState

HERE = Place("credential", "secrets", UUID(int=1), UUID(int=9))
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
K1, K2 = MasterKey("k1", os.urandom(32)), MasterKey("k2", os.urandom(32))
BOTH = MasterKeys([K2, K1])


def now() -> datetime:
    return NOW


async def add_data_key(master_key: MasterKey, *, state: CryptoKeyState, key_id: int = 3) -> None:
    row = await new_key(key_id, CryptoKeyPurpose.DATA, master_key, NOW)
    row.state = state
    await row.save(force_create=True)


async def activate(key_id: int) -> None:
    await models.CryptoKey.filter(state=CryptoKeyState.ACTIVE, purpose=CryptoKeyPurpose.DATA).update(state=CryptoKeyState.DECRYPT_ONLY)
    await models.CryptoKey.filter(id=key_id).update(state=CryptoKeyState.ACTIVE)
