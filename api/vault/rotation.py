"""A new data key takes over, while everything runs.

    PENDING         made; every process learns to open it, none seals with it
    ACTIVE          the one that seals; the former is DECRYPT_ONLY
    RETIRED         nothing is sealed with it any more

What the former keys sealed is sealed anew in the order of ids, some rows at a time, each in a transaction of its own that waits for no
row: what somebody else holds is met again on the next round. Whoever writes meanwhile wins. A rotation that was cut off anywhere goes on
where it was: the database alone says how far it came.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tortoise.exceptions import IntegrityError

import models
from api.clock import Clock
from api.errors import KeyTrouble
from api.vault.following import RingFollower
from api.vault.keys import MasterKeys
from api.vault.opening import new_key, unwrap, wrapping_context
from api.vault.vault import KeyUnavailable, Place, Unreadable, Vault, key_id_of, sealed_header
from models import CryptoKeyPurpose, CryptoKeyState, Sealed
from models.database import transaction
from models.locks import Lock, hold
from models.sealed_values import BEFORE_ALL, SEALED_COLUMNS, SealedColumn, SealedValue

_AT_ONCE: Final = 500
# Rows that others hold are met again; whoever holds one for so many rounds is waited for by the next command.
_ROUNDS: Final = 10
_POLL_SECONDS: Final = 1.0

Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Resealed:
    """What a round over all sealed values came to."""

    values: int = 0
    # They do not open at all: nothing can be done for them.
    unreadable: int = 0


async def count_values() -> Counter[int]:
    """How many sealed values lie under each data key."""
    counts: Counter[int] = Counter()
    for column in SEALED_COLUMNS:
        for header, number in (await column.count()).items():
            counts[key_id_of(header)] += number
    return counts


class Rotation:
    """`tell` is given, in whole sentences, what is done and whom it waits for."""

    def __init__(self, vault: Vault, follower: RingFollower, master_keys: MasterKeys, clock: Clock, tell: Tell) -> None:
        self._vault = vault
        self._follower = follower
        self._master_keys = master_keys
        self._clock = clock
        self._tell = tell

    async def rotate(self, *, waits: bool = True, begins: bool = True) -> None:
        """Finish the rotation that was begun; where there is none, and `begins`, do one from its beginning.

        Without `waits` no server is waited for: one that cannot open the new key leaves alone what it seals, until it can.
        """
        pending = await self._find_pending()
        if pending is None:
            if await self._finish(waits=waits):
                return
            if not begins:
                self._tell("There is no rotation to finish.")
                return
            pending = await self._add_pending()
            self._tell(f"Made the data key {pending.id}, wrapped by the master key {pending.kek_id}.")
        if waits:
            await self._wait(lambda replica: pending.id in replica.data_keys, f"open the data key {pending.id}")
        await self._activate(pending)
        await self._finish(waits=waits)

    async def rewrap(self) -> int:
        """Wrap every key by the primary master key; how many were wrapped by another. Raises KeyTrouble where one does not open."""
        primary, count = self._master_keys.primary, 0
        for row in await models.CryptoKey.exclude(kek_id=primary.id).order_by("id"):
            if row.state is CryptoKeyState.RETIRED and row.kek_id not in self._master_keys.ids:
                self._tell(f"The data key {row.id} is retired and stays as it is: its master key {row.kek_id} was not given.")
                continue
            former, key = row.kek_id, await unwrap(row, self._master_keys)
            row.kek_id = primary.id
            row.wrapped = await primary.wrap(key, wrapping_context(row))
            if await unwrap(row, self._master_keys) != key:
                raise KeyTrouble(f"The master key “{primary.id}” does not give back what it wraps.", "Nothing was written.")
            count += await models.CryptoKey.filter(id=row.id, kek_id=former).update(kek_id=row.kek_id, wrapped=row.wrapped)
        await self._forget_unused_checks()
        return count

    async def _finish(self, *, waits: bool) -> bool:
        """Seal anew what lies under former keys, and retire those; whether there was anything to do."""
        await self._follow()
        resealed = await self._reseal()
        if waits and await models.CryptoKey.exists(purpose=CryptoKeyPurpose.DATA, state=CryptoKeyState.DECRYPT_ONLY):
            active = self._vault.ring.active
            await self._wait(lambda replica: replica.data_keys[:1] == [active], f"seal with the data key {active}")
            # What they sealed with the former key meanwhile.
            last = await self._reseal()
            resealed = Resealed(resealed.values + last.values, last.unreadable)
        if resealed.values:
            self._tell(f"Sealed {_values(resealed.values)} anew, with the data key {self._vault.ring.active}.")
        if resealed.unreadable:
            self._tell(f"Left as found, because no key opens it: {_values(resealed.unreadable)}.")
        return bool(await self._retire_empty()) or resealed.values > 0

    async def _follow(self) -> None:
        """Have every key at hand that a value names."""
        for key_id in await count_values():
            if key_id not in self._vault.ring.ciphers:
                self._follower.seek(key_id)
        await self._follower.read()
        self._vault.ring.sealing_cipher()

    async def _reseal(self) -> Resealed:
        total = Resealed()
        for column in SEALED_COLUMNS:
            for _ in range(_ROUNDS):
                done = await self._reseal_column(column)
                total = Resealed(total.values + done.values, total.unreadable + done.unreadable)
                counts = await column.count()
                left = counts.total() - counts[sealed_header(self._vault.ring.active)]
                if left <= done.unreadable:
                    break
                total = Resealed(total.values, total.unreadable - done.unreadable)
                await asyncio.sleep(_POLL_SECONDS)
        return total

    async def _reseal_column(self, column: SealedColumn) -> Resealed:
        header, after = sealed_header(self._vault.ring.active), BEFORE_ALL
        total = Resealed()
        while True:
            async with transaction():
                held = await column.hold_others(header, after=after, limit=_AT_ONCE)
                changes = self._sealed_anew(column, held)
                await column.replace(changes)
            await self._vault.record_use()
            total = Resealed(total.values + len(changes), total.unreadable + len(held) - len(changes))
            if len(held) < _AT_ONCE:
                return total
            after = held[-1].row

    def _sealed_anew(self, column: SealedColumn, held: Sequence[SealedValue]) -> list[tuple[SealedValue, Sealed]]:
        changes = []
        for value in held:
            place = Place(column.table, column.name, value.row, value.folder)
            try:
                changes.append((value, self._vault.reseal(value.sealed, place, place)))
            except (Unreadable, KeyUnavailable):
                continue
        return changes

    async def _find_pending(self) -> models.CryptoKey | None:
        return await models.CryptoKey.filter(purpose=CryptoKeyPurpose.DATA, state=CryptoKeyState.PENDING).order_by("id").first()

    async def _add_pending(self) -> models.CryptoKey:
        last = await models.CryptoKey.all().order_by("-id").first()
        assert last is not None
        # Wrapped before the transaction: that may be a call to a key service.
        row = await new_key(last.id + 1, CryptoKeyPurpose.DATA, self._master_keys.primary, self._clock(), state=CryptoKeyState.PENDING)
        try:
            await row.save(force_create=True)
        except IntegrityError:
            # Another command made one at the same time: it is as good as this one.
            return await models.CryptoKey.get(id=row.id)
        return row

    async def _activate(self, pending: models.CryptoKey) -> None:
        async with transaction():
            await hold(Lock.KEYS, to_change=True)
            # Not where another command did it meanwhile.
            if await models.CryptoKey.exists(id=pending.id, state=CryptoKeyState.PENDING):
                former = models.CryptoKey.filter(purpose=CryptoKeyPurpose.DATA, state=CryptoKeyState.ACTIVE)
                await former.update(state=CryptoKeyState.DECRYPT_ONLY)
                await models.CryptoKey.filter(id=pending.id).update(state=CryptoKeyState.ACTIVE)
        self._tell(f"The data key {pending.id} is active: what is sealed from now on is sealed with it.")

    async def _retire_empty(self) -> list[int]:
        """Retire the former keys under which nothing lies any more, and that no server seals with."""
        async with transaction():
            await hold(Lock.KEYS, to_change=True)
            former = await models.CryptoKey.filter(purpose=CryptoKeyPurpose.DATA, state=CryptoKeyState.DECRYPT_ONLY).order_by("id")
            counts = await count_values()
            sealing = {replica.data_keys[0] for replica in await models.Replica.alive(self._clock()) if replica.data_keys}
            empty = [row.id for row in former if not counts[row.id] and row.id not in sealing]
            await models.CryptoKey.filter(id__in=empty).update(state=CryptoKeyState.RETIRED)
        for row in former:
            self._tell(
                f"The data key {row.id} is retired: nothing is sealed with it any more."
                if row.id in empty
                else f"The data key {row.id} is still needed. Run `patchbay keys rotate --resume` in a minute."
            )
        return empty

    async def _wait(self, ready: Callable[[models.Replica], bool], what: str) -> None:
        """Until every server that is alive is ready; tells for whom it waits, each time that this changes."""
        told: list[str] = []
        while waiting := [replica.id for replica in await models.Replica.alive(self._clock()) if not ready(replica)]:
            if waiting != told:
                self._tell(f"Waiting until these servers {what}: {', '.join(waiting)}.")
                told = waiting
            await asyncio.sleep(_POLL_SECONDS)

    async def _forget_unused_checks(self) -> None:
        used = [row.kek_id for row in await models.CryptoKey.all()]
        await models.KeyCheck.exclude(kek_id__in=[*used, self._master_keys.primary.id]).delete()


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"
