"""So many requests a second, and the place of whoever waits."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.connections.lanes import Lane


@pytest.fixture
def lane() -> Lane:
    """Ten a second."""
    return Lane(10, now=0)


def taken(lane: Lane, now: float, *, share: float = 1, comes_first: bool = True) -> int:
    """How many go at one moment."""
    count = 0
    while lane.take(now, share, comes_first=comes_first):
        count += 1
    return count


def test_a_second_of_the_rate_goes_at_once_and_then_the_rate(lane: Lane) -> None:
    assert taken(lane, 0) == 10
    assert taken(lane, 0.05) == 0
    # An eighth is kept for those that come second, until it is as much as they may have at once.
    assert sum(taken(lane, now / 10) for now in range(1, 101)) in (98, 99)
    assert taken(lane, 100) == 10


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200), st.booleans(), st.floats(0.1, 1))
def test_never_more_than_the_rate_and_a_second_of_it(waits: list[float], comes_first: bool, share: float) -> None:
    lane, now, count = Lane(10, now=0), 0.0, 0
    for wait in waits:
        now += wait
        count += taken(lane, now, share=share, comes_first=comes_first)

    # And what those that come second may have at once.
    assert count <= 10 * now * share + 10 + 2


def test_those_that_come_second_get_an_eighth_where_the_first_take_all_they_can(lane: Lane) -> None:
    first = second = 0
    taken(lane, 0)
    for now in range(1, 801):
        first += taken(lane, now / 10)
        second += taken(lane, now / 10, comes_first=False)

    assert (first, second) in {(700, 100), (699, 100), (700, 99)}


def test_those_that_come_second_get_all_where_nobody_is_first(lane: Lane) -> None:
    taken(lane, 0)

    assert sum(taken(lane, now / 10, comes_first=False) for now in range(1, 801)) in (799, 800)


def test_a_tenth_of_the_rate_is_a_tenth(lane: Lane) -> None:
    taken(lane, 0)

    assert sum(taken(lane, now / 10, share=0.1) for now in range(1, 1001)) in (98, 99, 100)
    # Nor has it saved up for the moment when it is back.
    assert taken(lane, 101, share=0.1) <= 2


def test_who_does_not_wait_is_waited_for(lane: Lane) -> None:
    taken(lane, 0)
    for _ in range(5):
        lane.owe(0, 1)

    assert taken(lane, 0.5) == 0
    assert taken(lane, 1) == 3


def test_a_wish_for_fewer_requests_halves_the_rate_and_it_comes_back(lane: Lane) -> None:
    lane.slow_down(0, 5)
    # As all that were under way are told.
    lane.slow_down(1, 4)

    assert lane.held_until(4.9) == 5
    assert lane.held_until(5) is None
    taken(lane, 5)
    assert 24 <= sum(taken(lane, 5 + now / 10) for now in range(1, 51)) <= 26
    taken(lane, 400)
    assert 97 <= sum(taken(lane, 400 + now / 10) for now in range(1, 101)) <= 100


def test_wishes_again_and_again_leave_a_sixteenth(lane: Lane) -> None:
    for now in range(0, 40, 2):
        lane.slow_down(now, 1)
    taken(lane, 40)

    # Of which it has got back a twentieth by then.
    assert 25 <= sum(taken(lane, 40 + now) for now in range(1, 31)) <= 28


@pytest.mark.parametrize(("asked", "held"), [(-5, 1), (0, 1), (0.5, 1), (30, 30), (3600, 3600), (1e9, 3600)])
def test_a_pause_is_between_a_second_and_an_hour(lane: Lane, asked: float, held: float) -> None:
    lane.pause(0, asked)

    assert lane.held_until(0) == held


def test_a_shorter_pause_does_not_end_a_longer_one(lane: Lane) -> None:
    lane.pause(0, 30)
    lane.pause(0, 5)

    assert lane.held_until(10) == 30


def test_those_who_wait_come_as_far_apart_as_they_can_be_sent(lane: Lane) -> None:
    chance = random.Random(1)

    places = [lane.next_place(100, 1, chance) for _ in range(50)]

    assert all(100 + number / 10 <= place <= 100 + (number + 1) / 10 for number, place in enumerate(places))
    # One queue for each priority: those that come first do not stand behind the others.
    assert lane.next_place(100, 0, chance) <= 100.1


def test_a_place_after_the_end_of_the_token_is_left_to_others(lane: Lane) -> None:
    chance = random.Random(1)
    for _ in range(50):
        lane.next_place(0, 1, chance)

    assert lane.next_place(0, 1, chance, no_later_than=3) == 3
    assert 5 <= lane.next_place(0, 1, chance, no_later_than=60) <= 5.1


def test_nobody_waits_for_more_than_half_an_hour_before_looking_again(lane: Lane) -> None:
    chance = random.Random(1)

    places = [lane.next_place(0, 1, chance) for _ in range(20_000)]

    assert max(places) <= 1800
    assert all(place >= 900 for place in places[18_000:])
    assert len(set(places)) == 20_000


def test_it_is_at_rest_once_nothing_is_to_be_remembered(lane: Lane) -> None:
    assert lane.is_at_rest(0)
    taken(lane, 0)
    assert not lane.is_at_rest(0.5)
    assert lane.is_at_rest(2)
    lane.next_place(10, 1, random.Random(1))
    assert lane.has_queue(10)
    assert not lane.is_at_rest(10)
    assert lane.is_at_rest(11)
    lane.slow_down(11, 1)
    assert not lane.is_at_rest(300)
    assert lane.is_at_rest(312)
