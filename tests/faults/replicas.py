"""Two replicas on one database: all due at once, one restarted after the other, one that stands still."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from api.clock import utc_now
from tests.faults.checker import Checker, Tally
from tests.faults.kills import check, conclude
from tests.faults.reader import Reader
from tests.faults.supervisor import Installation, Terms, installed
from tests.faults.tokens import Mode

_DUE_AT_ONCE = 10_000
# Far more than it takes from the first to the last of them.
_ALL_SECONDS = 900.0
_QUIET_SECONDS = 5.0

_CONNECTIONS = 400
# The lease of an exchange lasts a minute.
_BEFORE_LEASES_END_SECONDS = 50.0
_PAUSE_SECONDS = 90.0
_UNDER_WAY = 10
_AFTER_PAUSE_SECONDS = 5.0


async def two_replicas(terms: Terms, folder: Path) -> Tally:
    """Each is exchanged exactly once, whoever claims it. A trial is all of them once."""
    checker, count = Checker(), terms.connections or _DUE_AT_ONCE
    async with installed(folder, terms, Mode.STRICT, PATCHBAY_REFRESH_CONCURRENCY="64") as here:
        # No connection is due again while this lasts, unless it is made so.
        await here.provider.behave(latency=(0.01, 0.05), lifetime=100_000)
        await here.connect(count)
        async with here.records() as records:
            await records.plan(utc_now() + timedelta(days=1))
        async with here.serving(**here.replica(0)), here.serving(**here.replica(1)):
            for trial in range(1, terms.trials + 1):
                async with here.records() as records:
                    await records.plan(utc_now())
                await _exchanged(here, trial * count)
                async with here.records() as records:
                    await check(checker, here, records)
                checker.tally.trials += 1
    checker.tally.note = f"{checker.tally.rotations} exchanges of {terms.trials * count}"
    return checker.tally


async def _exchanged(here: Installation, count: int) -> None:
    """Wait until there were so many exchanges in all, and then whether there are more."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ALL_SECONDS):
            while sum(known.rotations for known in (await here.provider.truth()).values()) < count:
                await asyncio.sleep(2)
    await asyncio.sleep(_QUIET_SECONDS)


async def rolling(terms: Terms, folder: Path) -> Tally:
    """Each replica is stopped in order and started again, while tokens are exchanged and somebody reads all the time."""
    checker = Checker()
    async with installed(folder, terms, Mode.STRICT) as here, AsyncExitStack() as stack:
        await here.connect(terms.connections or _CONNECTIONS)
        places = [here.replica(number) for number in range(2)]
        reader = Reader([f"http://127.0.0.1:{place['PATCHBAY_PORT']}" for place in places], here.token)
        replicas = [await stack.enter_async_context(_restartable(here, place)) for place in places]
        await stack.enter_async_context(reader.reading())
        for _ in range(terms.trials):
            for replica in replicas:
                await anext(replica)
            async with here.records() as records:
                await check(checker, here, records)
            checker.tally.trials += 1
        checker.tally.note = f"{reader.failed} of {reader.reads} reads failed {sorted(reader.failures)}"
        await stack.aclose()
        await conclude(checker, here)
    return checker.tally


@asynccontextmanager
async def _restartable(here: Installation, place: dict[str, str]) -> AsyncIterator[AsyncGenerator[None, None]]:
    """A replica that runs for as long as this lasts, and is restarted at each step of what this yields."""

    async def steps() -> AsyncGenerator[None, None]:
        while True:
            async with here.serving(**place):
                yield

    running = steps()
    await anext(running)
    try:
        yield running
    finally:
        await running.aclose()


async def paused(terms: Terms, folder: Path) -> Tally:
    """A server stands still for longer than its leases while ten exchanges are under way, as one whose machine is asleep.

    On PostgreSQL another replica runs meanwhile. A trial is an exchange.
    """
    checker = Checker()
    async with installed(folder, terms, Mode.STRICT) as here:
        await here.connect(terms.connections or _CONNECTIONS)
        too_early = 0
        for _ in range(-(-terms.trials // _UNDER_WAY)):
            async with here.serving() as server:
                await here.provider.trap(server.process_id, under_way=_UNDER_WAY, deed=signal.SIGSTOP)
                too_early += await _stand_still(here, server.process_id, terms)
            async with here.records() as records:
                await check(checker, here, records)
            checker.tally.trials += _UNDER_WAY
        await conclude(checker, here)
    checker.tally.note = f"{too_early} presented again before the lease ended"
    return checker.tally


async def _stand_still(here: Installation, pid: int, terms: Terms) -> int:
    """Until it goes on; how many tokens were presented again before the leases of what it does had ended."""
    async with AsyncExitStack() as stack:
        if terms.database.kind == "postgresql":
            await stack.enter_async_context(here.serving(**here.replica(1)))
        before = await _repeats(here)
        await asyncio.sleep(_BEFORE_LEASES_END_SECONDS)
        too_early = await _repeats(here) - before
        await asyncio.sleep(_PAUSE_SECONDS - _BEFORE_LEASES_END_SECONDS)
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(_AFTER_PAUSE_SECONDS)
    return too_early


async def _repeats(here: Installation) -> int:
    return sum(known.repeats for known in (await here.provider.truth()).values())
