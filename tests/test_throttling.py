"""How often, and how many at once."""

from datetime import timedelta

from api.clock import steady_beside
from api.throttling import Buckets, Rate, Seat, Seats
from tests.clock import HeldClock


def buckets(clock: HeldClock, *, kept: int = 10) -> Buckets:
    return Buckets(Rate(2, in_one_go=3), steady_beside(clock), kept=kept)


def test_after_so_many_in_one_go_the_next_are_told_how_long_to_wait() -> None:
    held = buckets(HeldClock())

    assert [held.take("a") for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert held.take("b") == 0


def test_a_bucket_fills_with_time_and_no_further_than_to_its_brim() -> None:
    clock = HeldClock()
    held = buckets(clock)
    for _ in range(3):
        held.take("a")

    clock.move(timedelta(seconds=0.5))
    assert [held.take("a") for _ in range(2)] == [0, 0.5]

    clock.move(timedelta(hours=1))
    assert [held.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_of_very_many_the_one_that_was_away_for_longest_is_forgotten() -> None:
    held = buckets(HeldClock(), kept=2)
    for key in "aaabbb":
        held.take(key)

    held.take("a")
    held.take("c")

    assert len(held) == 2
    assert [held.take(key) for key in "ab"] == [0.5, 0]


def test_a_seat_is_free_again_after_its_block_or_once_another_is_taken() -> None:
    strangers, callers = Seats(1), Seats(1)

    with Seat() as first, Seat() as second:
        assert first.take(strangers, "here")
        assert not second.take(strangers, "here")
        assert first.take(callers, "ada")
        assert second.take(strangers, "here")
        assert not second.take(callers, "ada")
        assert (len(strangers), len(callers)) == (1, 1)

    assert (len(strangers), len(callers)) == (0, 0)
