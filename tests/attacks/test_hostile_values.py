"""Attacks by what is filled in: a site value that leads elsewhere, and an answer that is no token."""

from pathlib import Path

import pytest

from tests.fuzzing import answers, sites
from tests.fuzzing.scene import Run
from tests.fuzzing.tally import watching

pytestmark = pytest.mark.anyio


async def test_a18_a_site_value_leads_to_no_host_but_the_connectors_own(tmp_path: Path) -> None:
    """60 values for each of some 280 fields that go into a URL, of every connector in the catalogue."""
    with watching() as watch:
        tally = await sites.try_sites(Run(watch, tmp_path, seed=18), 60)

    assert tally.trials > 15_000
    assert tally.found == 0, tally.examples
    assert tally.outcomes["taken"] > 500


async def test_a24_a_hostile_token_answer_is_read_or_refused(tmp_path: Path) -> None:
    """1,000 answers: nothing but the errors of the reader, and no token with a control character in it."""
    with watching() as watch:
        tally = await answers.read_answers(Run(watch, tmp_path, seed=24), 1_000)

    assert (tally.trials, tally.found) == (1_000, 0), tally.examples
    assert set(tally.outcomes) == {"granted", "ServerFailed", "ServerRefused", "UnusableAnswer"}


async def test_a24_a_refresh_with_a_hostile_answer_leaves_the_old_token_or_saves_a_plain_one(sqlite_template: Path) -> None:
    with watching() as watch:
        tally = await answers.refresh_with_answers(Run(watch, sqlite_template, seed=24), 30)

    assert (tally.trials, tally.found) == (30, 0), tally.examples
    assert set(tally.outcomes) == {"kept", "renewed"}
