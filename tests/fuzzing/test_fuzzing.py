"""A little of `scripts/fuzz`, always the same."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzzing.__main__ import KINDS
from tests.fuzzing.asking import but_for_issued
from tests.fuzzing.scene import Run
from tests.fuzzing.tally import Tally, Watch, watching

pytestmark = [
    pytest.mark.anyio,
    # What an operation has begun when its socket ends is left by the executor as it is.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]

COUNTS = {"documents": 100, "drawn": 10, "bodies": 200, "frames": 16, "answers": 300, "refreshes": 12, "sites": 4}


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watching() as watch:
        yield watch


@pytest.mark.parametrize("name", KINDS)
async def test_nothing_is_found(name: str, watch: Watch, sqlite_template: Path) -> None:
    tally = await KINDS[name][0](Run(watch, sqlite_template, seed=1), COUNTS[name])

    assert tally.trials >= COUNTS[name] or name == "drawn"
    assert tally.found == 0, tally.examples
    assert len(tally.outcomes) > 1


async def test_what_goes_wrong_in_a_trial_is_counted(watch: Watch) -> None:
    tally = Tally("trials")
    watch.plant(["hidden treasure"])

    async def go_wrong(number: int) -> None:
        if number == 1:
            raise RuntimeError("broken")
        if number == 2:
            logging.getLogger("api").error("it failed", extra={"token": "aGlkZGVuIHRyZWFzdXJl"})

    await watch.trials(tally, [0, 1, 2], go_wrong)

    assert (tally.trials, tally.crashes, tally.leaks, tally.server_errors, tally.slow) == (3, 2, 1, 0, 0)


def test_what_was_issued_is_no_leak_and_anything_beside_it_is_looked_at() -> None:
    issued = {"a1": "IssueCredentialSuccess", "a2": {"accessToken": "issued to who asked"}}

    assert but_for_issued({"data": {"b": issued, "c": [{"name": "kept"}, issued]}}) == {
        "data": {"b": "issued", "c": [{"name": "kept"}, "issued"]}
    }
