"""Servers that are killed while exchanges are under way."""

import asyncio
import contextlib
import random
from pathlib import Path

from tests.faults.checker import Checker, Tally
from tests.faults.provider import Point
from tests.faults.records import Records
from tests.faults.supervisor import Installation, Terms, installed
from tests.faults.tokens import GRACE_SECONDS, Mode

# Each kill leaves sixteen alone until their leases end, a minute later; meanwhile others take their turn.
_CONNECTIONS = 400
# What is suspected at the last kill has to come to light within a lease, and then its turn among the others.
_CYCLE_SECONDS = 240.0


async def kill_server(terms: Terms, folder: Path) -> Tally:
    return await _kill_again_and_again(terms, folder, Mode.STRICT)


async def kill_both(terms: Terms, folder: Path) -> Tally:
    return await _kill_again_and_again(terms, folder, Mode.STRICT, with_courier=True)


async def kill_grace(terms: Terms, folder: Path) -> Tally:
    # What was under way is tried once more 21 seconds after it began: killed again before that, it would not be.
    return await _kill_again_and_again(terms, folder, Mode.GRACE, with_courier=True, rest_seconds=GRACE_SECONDS)


async def _kill_again_and_again(terms: Terms, folder: Path, mode: Mode, *, with_courier: bool = False, rest_seconds: float = 0.0) -> Tally:
    checker = Checker()
    async with installed(folder, terms, mode) as here:
        await here.connect(terms.connections or _CONNECTIONS)
        for _ in range(terms.trials):
            await _kill_once(here, with_courier=with_courier, rest_seconds=rest_seconds)
            await here.provider.settle()
            async with here.records() as records:
                await check(checker, here, records)
                if terms.hurry:
                    await records.let_leases_end()
            checker.tally.trials += 1
        await conclude(checker, here)
    return checker.tally


async def _kill_once(here: Installation, *, with_courier: bool, rest_seconds: float) -> None:
    async with here.serving() as server:
        await asyncio.sleep(rest_seconds)
        courier = here.courier_pid() if with_courier else None
        pids = [server.process_id] if courier is None else [server.process_id, courier]
        point, delay = _moment()
        await here.provider.trap(*pids, at=point, delay=delay)
        await server.ended()


def _moment() -> tuple[Point, float]:
    """A place in an exchange, or a time after it: anywhere in the exchanges and in the saving of what they bring."""
    return random.choice(
        [
            (Point.RECEIVED, 0.0),
            (Point.HALF_SENT, 0.0),
            (Point.SENT, 0.0),
            (Point.SENT, random.uniform(0.0, 0.03)),
            (Point.RECEIVED, random.uniform(0.0, 0.5)),
        ]
    )


async def check(checker: Checker, here: Installation, records: Records) -> None:
    """Compare, and put new grants in the place of lost ones."""
    over = checker.look(await records.held(), await here.provider.truth(), records.fingerprint)
    for held, grant in zip(over, await here.provider.issue(len(over)), strict=True):
        await records.reconnect(held.connection_id, grant)


async def conclude(checker: Checker, here: Installation) -> None:
    """Let a server work in peace until every suspect had its turn, stop it in order, and say what is lost."""
    async with here.serving():
        await _let_all_have_their_turn(checker, here)
    await here.provider.settle()
    async with here.records() as records:
        await check(checker, here, records)
        checker.conclude(await records.held())


async def _let_all_have_their_turn(checker: Checker, here: Installation) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CYCLE_SECONDS):
            while not checker.had_their_turn(await here.provider.truth()):
                await asyncio.sleep(1)
