"""PostgreSQL that goes away while exchanges are under way: restarted, or cut off in the middle of what it is told."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.faults.checker import Checker, Tally
from tests.faults.kills import check, conclude
from tests.faults.proxy import Proxy, Side
from tests.faults.supervisor import Terms, installed
from tests.faults.tokens import Mode

# What was under way at an interruption is left alone until its lease ends; meanwhile others take their turn.
_CONNECTIONS = 400
_CUT_SECONDS = 30.0
# Between two, so that attempts begin anew.
_PAUSE_SECONDS = 1.0

Interrupt = Callable[[], Awaitable[None]]


async def restart_postgresql(terms: Terms, folder: Path) -> Tally:
    """Restarted, in order and by a crash in turns."""
    return await _interrupt(terms, folder, terms.database.restart)


async def cut_commit(terms: Terms, folder: Path) -> Tally:
    """Nobody knows whether a transaction was committed."""
    return await _cut(terms, folder, b"COMMIT")


async def cut_journal(terms: Terms, folder: Path) -> Tally:
    """Nobody knows whether an exchange was journaled as begun or, without a courier, as answered."""
    return await _cut(terms, folder, b'(?:INSERT INTO|UPDATE) "token_journal"')


async def _cut(terms: Terms, folder: Path, pattern: bytes) -> Tally:
    async with Proxy.started(terms.database.socket, pattern) as proxy:

        async def cut() -> None:
            async with asyncio.timeout(_CUT_SECONDS):
                await proxy.cut(random.choice(list(Side)))

        url = f"postgres://postgres@127.0.0.1:{proxy.port}/postgres"
        return await _interrupt(terms, folder, cut, PATCHBAY_DATABASE_URL=url)


async def _interrupt(terms: Terms, folder: Path, interrupt: Interrupt, **environment: str) -> Tally:
    checker = Checker()
    async with installed(folder, terms, Mode.STRICT) as here:
        await here.connect(terms.connections or _CONNECTIONS)
        async with here.serving(**environment):
            for _ in range(terms.trials):
                await here.provider.trap()
                await interrupt()
                await asyncio.sleep(_PAUSE_SECONDS)
                async with here.records() as records:
                    await check(checker, here, records)
                checker.tally.trials += 1
        await conclude(checker, here)
    return checker.tally
