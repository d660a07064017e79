"""When a host is asked nothing, and how it gets back to all."""

import itertools
import random
from collections.abc import Iterable

import pytest

from api.connections.breaker import Breaker


class Most(random.Random):
    """The latest that chance may have it."""

    def random(self) -> float:
        return 1.0


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(Most())


def ask(breaker: Breaker, now: float, *, served: bool | None) -> bool:
    """One request, if one may go."""
    if breaker.held_until(now) is not None:
        return False
    breaker.leave(now, probes=breaker.enter(), served=served)
    return True


def asked(breaker: Breaker, times: Iterable[float], *, served: bool) -> list[float]:
    """When requests went."""
    return [now for now in times if ask(breaker, now, served=served)]


def test_five_failures_in_a_row_open_it(breaker: Breaker) -> None:
    assert asked(breaker, range(8), served=False) == [0, 1, 2, 3, 4]
    assert breaker.held_until(5) == 14


def test_a_success_in_between_begins_the_row_again(breaker: Breaker) -> None:
    for now in (0, 5, 10):
        assert asked(breaker, range(now, now + 4), served=False) == list(range(now, now + 4))
        assert ask(breaker, now + 4, served=True)

    assert breaker.held_until(15) is None


def test_more_than_half_of_twenty_within_a_minute_open_it(breaker: Breaker) -> None:
    outcomes = [False, True] * 9 + [True, False]
    for now, served in enumerate(outcomes):
        assert ask(breaker, now, served=served)
    assert breaker.held_until(20) is None

    ask(breaker, 20, served=False)

    assert breaker.held_until(20) == 30


def test_what_is_longer_ago_than_a_minute_does_not_count(breaker: Breaker) -> None:
    for now in range(200):
        assert ask(breaker, now * 3.2, served=now % 3 == 0)


def test_what_is_not_known_counts_neither_way(breaker: Breaker) -> None:
    asked(breaker, range(4), served=False)
    for _ in range(20):
        ask(breaker, 4, served=None)
    assert breaker.held_until(4) is None

    ask(breaker, 5, served=False)

    assert breaker.held_until(5) == 15


def test_one_alone_probes_when_the_wait_is_over(breaker: Breaker) -> None:
    asked(breaker, range(5), served=False)

    assert breaker.held_until(14) is None
    assert breaker.enter()
    assert breaker.held_until(14) == 19
    breaker.leave(15, probes=True, served=True)

    assert breaker.held_until(15) is None
    assert not breaker.enter()


def test_a_probe_that_was_not_sent_leaves_it_to_another(breaker: Breaker) -> None:
    asked(breaker, range(5), served=False)

    assert breaker.enter()
    breaker.leave(15, probes=True, served=None)

    assert breaker.held_until(15) is None
    assert breaker.enter()


def test_the_wait_doubles_from_ten_seconds_to_five_minutes(breaker: Breaker) -> None:
    times = asked(breaker, range(2000), served=False)

    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits[4:11] == [10, 20, 40, 80, 160, 300, 300]


def test_the_wait_is_by_chance_and_no_shorter_than_a_second() -> None:
    waits = set()
    for seed in range(200):
        breaker = Breaker(random.Random(seed))
        asked(breaker, range(5), served=False)
        held_until = breaker.held_until(4)
        assert held_until is not None
        waits.add(held_until - 4)

    assert 1 <= min(waits) < 1.5
    assert 9.5 < max(waits) <= 10
    assert len(waits) > 100


def test_what_was_under_way_when_it_opened_changes_nothing(breaker: Breaker) -> None:
    asked(breaker, range(5), served=False)

    breaker.leave(5, probes=False, served=True)
    breaker.leave(5, probes=False, served=False)

    assert breaker.held_until(5) == 14


def test_the_rate_comes_back_within_ten_minutes(breaker: Breaker) -> None:
    assert breaker.share(0) == 1
    asked(breaker, range(5), served=False)
    ask(breaker, 14, served=True)

    assert [round(breaker.share(14 + seconds), 3) for seconds in (0, 60, 300, 599, 600, 10_000)] == [0.1, 0.19, 0.55, 0.998, 1, 1]


def test_one_that_fails_again_while_it_comes_back_waits_longer_than_the_first_time(breaker: Breaker) -> None:
    asked(breaker, range(5), served=False)
    ask(breaker, 14, served=True)

    asked(breaker, range(100, 105), served=False)
    assert breaker.held_until(105) == 124

    ask(breaker, 124, served=True)
    asked(breaker, range(1000, 1005), served=False)
    assert breaker.held_until(1005) == 1014


def test_it_is_at_rest_once_nothing_is_to_be_remembered(breaker: Breaker) -> None:
    assert breaker.is_at_rest(0)
    asked(breaker, range(5), served=False)
    assert not breaker.is_at_rest(1000)

    ask(breaker, 1000, served=True)

    assert not breaker.is_at_rest(1599)
    assert breaker.is_at_rest(1600)
