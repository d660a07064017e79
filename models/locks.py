"""Locks: in which order a transaction takes them, and those upon what has no row.

Whoever holds one lock and waits for another must not meet who does it the other way round: PostgreSQL would let them wait for a second,
and then end one of them. So there is one order, for everybody; what is not needed is left out:

1. the locks in here, upon policies, then upon the connectors that are offered
2. people, by their ids (`Access.hold`; whoever acts is held by asking what they may do)
3. groups and folders, by their ids
4. connections, by their ids, and then what hangs upon them: credential, journal, and the place in the queue, which moves with them
5. OAuth apps; one that is to be deleted is held with its key from the beginning, so that it waits for those who are about to refer to it
6. consents
7. webhooks, then what is to be delivered to them; the place in the log that their messages come from is held before any of them

The lock upon the keys of the vault is held together with no other, and a rotation holds of the rows only those that nobody else holds.

On SQLite one transaction writes at a time, and there is nothing to order.
"""

from enum import IntEnum

from tortoise.context import require_context

from models.rows import rows


class Lock(IntEnum):
    """What is locked. The numbers are the same in every process of an installation, and name nothing else."""

    # The policies, and who is in a group: all that decides what is allowed.
    POLICIES = 3_870_215_001
    INSTALLED_CONNECTORS = 3_870_215_002
    # The states of the keys of the vault.
    KEYS = 3_870_215_003
    # How many webhooks there are.
    WEBHOOKS = 3_870_215_004


async def hold(lock: Lock, *, to_change: bool) -> None:
    """Wait for a lock, and keep it until the running transaction ends. Those who change something are alone; others share it.

    Take it before any row: whoever holds a row and waits for this would wait for one who holds this and waits for the row. On SQLite
    one transaction writes at a time, so that it holds all of them.
    """
    if require_context().db().capabilities.dialect == "postgres":
        await rows(f"SELECT pg_advisory_xact_lock{'' if to_change else '_shared'}($1)", [int(lock)])
