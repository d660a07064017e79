"""Keeps the ring of a running process as the database has it, so that keys rotate and masters are given without a restart.

A key whose master key is not here, or whose key service does not answer, is locked: what it sealed is left alone by this process, and
by nothing worse than that. It is tried again at each reading.
"""

import asyncio
import logging
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import models
from api.errors import KeyTrouble
from api.vault.keys import MasterKeys
from api.vault.opening import unwrap
from api.vault.vault import Ring, Vault
from models import CryptoKeyPurpose, CryptoKeyState

logger = logging.getLogger(__name__)

# Only a database that somebody tampers with names more keys that never were.
_MOST_ABSENT = 1000


class RingFollower:
    """`master_keys` reads the operator's keys; it is asked again only while a key is locked."""

    def __init__(self, vault: Vault, master_keys: Callable[[], MasterKeys]) -> None:
        self._vault = vault
        self._master_keys = master_keys
        self._sought: set[int] = set()
        self._reading = asyncio.Lock()
        # Set when a sealed value named a key that is not here.
        self.wanted = asyncio.Event()

    async def read(self) -> None:
        """Read the ring again. Keys that open already are not unwrapped again: a key service may be away meanwhile."""
        # One after the other, so that what was read later is taken later.
        async with self._reading:
            await self._read()

    async def _read(self) -> None:
        sought, self._sought = self._sought, set()
        self.wanted.clear()
        rows = await models.CryptoKey.filter(purpose=CryptoKeyPurpose.DATA).order_by("id")
        active = [row.id for row in rows if row.state is CryptoKeyState.ACTIVE]
        if len(active) != 1:
            logger.error("key ring damaged", extra={"active": active})
            return
        # A retired key seals nothing any more; should something be left that it sealed, it still opens.
        needed = [row for row in rows if row.state is not CryptoKeyState.RETIRED or row.id in sought | set(self._vault.ring.ciphers)]
        ciphers = await self._open(needed)
        locked = frozenset(row.id for row in needed) - ciphers.keys()
        absent = (self._vault.ring.absent | sought) - {row.id for row in rows}
        self._take(Ring(ciphers, active[0], locked, absent if len(absent) <= _MOST_ABSENT else frozenset()))

    def seek(self, key_id: int) -> None:
        """Look for a key at the next reading, retired or not."""
        if key_id not in self._vault.ring.locked:
            self._sought.add(key_id)
            self.wanted.set()

    async def _open(self, rows: list[models.CryptoKey]) -> dict[int, AESGCM]:
        known = self._vault.ring.ciphers
        ciphers = {row.id: known[row.id] for row in rows if row.id in known}
        closed = [row for row in rows if row.id not in known]
        master_keys = self._given_now() if closed else None
        for row in closed if master_keys is not None else []:
            try:
                assert master_keys is not None
                ciphers[row.id] = AESGCM(await unwrap(row, master_keys))
            except KeyTrouble as trouble:
                self._tell(row, trouble)
        return ciphers

    def _given_now(self) -> MasterKeys | None:
        try:
            return self._master_keys()
        except KeyTrouble as trouble:
            if not self._vault.ring.locked:
                logger.error("master keys unreadable", extra={"reason": trouble.message})
            return None

    def _tell(self, row: models.CryptoKey, trouble: KeyTrouble) -> None:
        # Once: it is tried every few seconds.
        if row.id not in self._vault.ring.locked:
            logger.error("data key unavailable", extra={"key": row.id, "master_key": row.kek_id, "reason": trouble.message})

    def _take(self, ring: Ring) -> None:
        before = self._vault.ring
        if ring.active != before.active:
            logger.info("active data key changed", extra={"key": ring.active})
        for key_id in sorted(before.locked & ring.ciphers.keys()):
            logger.info("data key available", extra={"key": key_id})
        self._vault.take(ring)
