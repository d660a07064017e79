"""Answers of the provider that end too early: after each of their bytes once."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from api.clock import utc_now
from tests.faults.at_provider import NewGrant
from tests.faults.checker import Checker, Tally
from tests.faults.kills import check
from tests.faults.supervisor import CONNECTORS, HOSTS, Installation, Terms, installed
from tests.faults.tokens import Mode

# One after the other, so that a second try comes as soon as Patchbay wants it, and not after all the others.
_APART = timedelta(seconds=0.05)
# Of so many answers of each host one is cut. A host that mostly fails would be left alone.
_ONE_OF = 3
_FIRST_AFTER = timedelta(seconds=5)
# From the last to be due to its second try; a host that failed often is asked slowly for ten minutes.
_CYCLE_SECONDS = 900.0


async def cut_answer(terms: Terms, folder: Path) -> Tally:
    return await _cut(terms, folder, Mode.STRICT)


async def cut_answer_grace(terms: Terms, folder: Path) -> Tally:
    return await _cut(terms, folder, Mode.GRACE)


async def cut_answer_family(terms: Terms, folder: Path) -> Tally:
    return await _cut(terms, folder, Mode.FAMILY)


async def _cut(terms: Terms, folder: Path, mode: Mode) -> Tally:
    checker = Checker()
    async with installed(folder, terms, mode) as here:
        length = await here.provider.answer_length()
        offsets = range(length) if terms.trials >= length else range(0, length, length // terms.trials)
        grants = await here.provider.issue(_ONE_OF * (len(offsets) + HOSTS))
        harmed = [grant for number, grant in enumerate(grants) if number // HOSTS % _ONE_OF == 0][: len(offsets)]
        cuts = {grant.id: offset for grant, offset in zip(harmed, offsets, strict=True)}
        # Long enough that nobody asks a third time.
        await here.provider.behave(cuts=cuts, lifetime=3600)
        async with here.records() as records:
            await records.connect(CONNECTORS, grants)
            await records.plan(utc_now() + _FIRST_AFTER, apart=_APART)
        async with here.serving():
            await _let_all_be_tried_again(here, harmed, within=_CYCLE_SECONDS + len(grants) * _APART.total_seconds())
        checker.excuse(cuts)
        async with here.records() as records:
            await check(checker, here, records)
            checker.conclude(await records.held())
    checker.tally.trials = len(offsets)
    return checker.tally


async def _let_all_be_tried_again(here: Installation, grants: Sequence[NewGrant], *, within: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while not await _all_tried_again(here, grants):
                await asyncio.sleep(0.5)


async def _all_tried_again(here: Installation, grants: Sequence[NewGrant]) -> bool:
    truth = await here.provider.truth()
    return all(truth[grant.id].rotations + truth[grant.id].repeats >= 2 for grant in grants)
