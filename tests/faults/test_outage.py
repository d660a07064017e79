"""A small outage, by the same means as the large one."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.faults.outage import Scenario, simulate

pytestmark = pytest.mark.anyio


async def test_after_an_outage_all_are_renewed_by_themselves_no_faster_than_the_cap(sqlite_url: str, tmp_path: Path) -> None:
    scenario = Scenario(connections=120, rate=0.1, away=timedelta(minutes=62), lifetime=timedelta(minutes=60))

    result = await simulate(scenario, sqlite_url, tmp_path)

    assert result.asked_to_sign_in == 0
    assert result.peak <= result.cap
    # Ten minutes are the ramp, and five at most the wait for the probe, which of so few connections is much.
    assert result.times_the_least < 1.7
    assert result.share_of_first > 0.5
    # A few that find out, and then one at a time, every five minutes at the most.
    assert 5 < result.sent_while_away < 40
