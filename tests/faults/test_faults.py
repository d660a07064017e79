"""A short form of the campaign, so that it keeps running; `scripts/faults` does the rest."""

from pathlib import Path

import pytest

from tests.faults import cuts, kills
from tests.faults.databases import CampaignDatabase, Kind
from tests.faults.supervisor import Terms
from tests.faults.tokens import Grants, Mode


@pytest.mark.anyio
# Servers that start on a busy machine.
@pytest.mark.timeout(60)
async def test_whatever_a_killed_server_loses_is_flagged(database_url: str, tmp_path: Path) -> None:
    kind: Kind = "sqlite" if database_url.startswith("sqlite") else "postgresql"

    tally = await kills.kill_server(Terms(CampaignDatabase(kind, database_url), trials=1, connections=60, hurry=True), tmp_path)

    assert tally.flagged == tally.lost
    assert (tally.falsely_healthy, tally.falsely_broken, tally.duplicates) == (0, 0, 0)


@pytest.mark.anyio
@pytest.mark.timeout(60)
async def test_whatever_byte_an_answer_ends_after_the_status_tells_the_truth(sqlite_url: str, tmp_path: Path) -> None:
    tally = await cuts.cut_answer(Terms(CampaignDatabase("sqlite", sqlite_url), trials=12), tmp_path)

    # The tokens of each were used up, and nobody has the new ones.
    assert tally.lost == tally.flagged == tally.trials
    assert (tally.falsely_healthy, tally.falsely_broken, tally.duplicates) == (0, 0, 0)


def test_a_strict_provider_takes_a_refresh_token_once() -> None:
    grants = Grants(Mode.STRICT)
    grant = grants.issue()
    used = grant.current

    successor = grants.exchange(grant, used, now=0.0)

    assert successor == grant.current
    assert grants.exchange(grant, used, now=1.0) is None
    assert (grant.rotations, grant.repeats, grant.has_ended) == (1, 1, False)


def test_a_provider_with_a_grace_window_gives_the_same_successor_within_it() -> None:
    grants = Grants(Mode.GRACE)
    grant = grants.issue()
    used = grant.current

    successor = grants.exchange(grant, used, now=0.0)

    assert grants.exchange(grant, used, now=29.9) == successor
    assert grants.exchange(grant, used, now=30.0) is None


def test_a_provider_that_ends_families_ends_the_grant_of_a_token_used_twice() -> None:
    grants = Grants(Mode.FAMILY)
    grant = grants.issue()
    used = grant.current

    successor = grants.exchange(grant, used, now=0.0)

    assert grants.exchange(grant, used, now=1.0) is None
    assert grant.accepted(Mode.FAMILY, now=1.0) == []
    assert successor is not None
    assert grants.exchange(grant, successor, now=2.0) is None
