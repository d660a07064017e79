from enum import StrEnum

from tortoise import fields

from models.base import StrictModel
from models.fields import UtcField, WordField


class CryptoKeyState(StrEnum):
    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    DECRYPT_ONLY = "DECRYPT_ONLY"
    RETIRED = "RETIRED"


class CryptoKeyPurpose(StrEnum):
    # Seals secrets. It is rotated, so there may be several; one is active.
    DATA = "DATA"
    # The root of fingerprints and signatures, which must outlive a rotation of the data keys.
    DERIVATION = "DERIVATION"


class CryptoKey(StrictModel):
    """A key of the vault, wrapped by a key-encryption key that is never in the database."""

    id = fields.IntField(primary_key=True, generated=False)
    purpose = WordField(CryptoKeyPurpose, max_length=10)
    kek_id = fields.CharField(max_length=64)
    wrapped = fields.BinaryField()
    state = WordField(CryptoKeyState, max_length=12)
    # A known text sealed by this key: opened at start, it proves that ring and database belong together.
    canary = fields.BinaryField()
    encryptions = fields.BigIntField(default=0)
    created_at = UtcField()

    class Meta:
        app = "patchbay"
        table = "crypto_key"


class KeyCheck(StrictModel):
    """The check value of a key-encryption key, so that a wrong key is noticed before anything is written."""

    kek_id = fields.CharField(max_length=64, primary_key=True)
    check_value = fields.CharField(max_length=32)

    class Meta:
        app = "patchbay"
        table = "key_check"
