"""When something is due."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from api.catalog.connector import Option
from api.connections.schedule import FIRST, LAST, ORDINARY, next_due, places_of_late, priority_of, retry_at
from models import AuthenticationType

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
OPTION = Option("api_key", AuthenticationType.OAUTH2_AUTHORIZATION_CODE, "Sign in", verify_every=timedelta(hours=6))

chances = st.integers(0, 2**32).map(random.Random)
lifetimes = st.timedeltas(timedelta(seconds=2), timedelta(days=400))
failures = st.integers(1, 10_000)


@given(lifetimes, chances)
def test_a_token_is_due_between_half_and_four_fifths_of_its_life(lifetime: timedelta, chance: random.Random) -> None:
    due = next_due(OPTION, renewable=True, obtained_at=NOW, expires_at=NOW + lifetime, chance=chance)

    # A microsecond for the rounding.
    assert lifetime * 0.5 <= due - NOW <= lifetime * 0.8 + timedelta(microseconds=1) or due - NOW == timedelta(seconds=1)


@given(st.timedeltas(-timedelta(days=400), timedelta(seconds=1)), chances)
def test_a_token_that_is_over_or_as_good_as_over_is_due_in_a_second(lifetime: timedelta, chance: random.Random) -> None:
    due = next_due(OPTION, renewable=True, obtained_at=NOW, expires_at=NOW + lifetime, chance=chance)

    assert due == NOW + timedelta(seconds=1)


@given(st.timedeltas(-timedelta(days=400), timedelta(days=400)), chances)
def test_a_token_that_cannot_be_renewed_is_due_at_its_end(lifetime: timedelta, chance: random.Random) -> None:
    assert next_due(OPTION, renewable=False, obtained_at=NOW, expires_at=NOW + lifetime, chance=chance) == NOW + lifetime


@given(st.booleans(), chances)
def test_what_does_not_end_is_proven_again_about_when_its_connector_says(renewable: bool, chance: random.Random) -> None:
    due = next_due(OPTION, renewable=renewable, obtained_at=NOW, expires_at=None, chance=chance)

    assert timedelta(hours=5.4) <= due - NOW <= timedelta(hours=6.6)


def test_tokens_that_were_obtained_together_are_not_refreshed_together() -> None:
    chance, hour = random.Random(1), NOW + timedelta(hours=1)

    due = sorted(next_due(OPTION, renewable=True, obtained_at=NOW, expires_at=hour, chance=chance) for _ in range(1000))

    # 18 minutes for a thousand: none of them has more than three in a hundred.
    busiest = max(sum(minute <= at - NOW < minute + timedelta(seconds=10) for at in due) for minute in _every_ten_seconds())
    assert busiest <= 30


@given(failures, chances)
def test_a_retry_is_no_sooner_than_a_second_and_no_later_than_half_an_hour(count: int, chance: random.Random) -> None:
    assert timedelta(seconds=1) <= retry_at(NOW, count, chance) - NOW <= timedelta(minutes=30)


@given(failures, st.timedeltas(timedelta(seconds=1), timedelta(hours=1)), chances)
def test_a_retry_is_never_before_the_provider_asked_for(count: int, retry_after: timedelta, chance: random.Random) -> None:
    assert retry_at(NOW, count, chance, retry_after=retry_after) - NOW >= retry_after


@given(failures, st.timedeltas(timedelta(hours=1), timedelta(days=10_000)), chances)
def test_no_provider_puts_a_retry_off_for_more_than_an_hour(count: int, retry_after: timedelta, chance: random.Random) -> None:
    assert retry_at(NOW, count, chance, retry_after=retry_after) == NOW + timedelta(hours=1)


@given(failures, st.timedeltas(-timedelta(days=10_000), timedelta(0)), st.integers(0, 2**32))
def test_a_retry_in_the_past_is_no_wish(count: int, retry_after: timedelta, seed: int) -> None:
    asked = retry_at(NOW, count, random.Random(seed), retry_after=retry_after)

    assert asked == retry_at(NOW, count, random.Random(seed))


@given(failures, st.integers(0, 2**32))
def test_a_retry_after_one_failure_more_is_no_sooner(count: int, seed: int) -> None:
    assert retry_at(NOW, count + 1, random.Random(seed)) >= retry_at(NOW, count, random.Random(seed))


def test_retries_double_from_ten_seconds_to_half_an_hour() -> None:
    longest = [retry_at(NOW, count, _Most()) - NOW for count in (1, 2, 3, 7, 8, 9, 1000)]

    assert longest == [timedelta(seconds=seconds) for seconds in (10, 20, 40, 640, 1280, 1800, 1800)]


def rank(*, due: timedelta = timedelta(0), ends: timedelta | None, used: timedelta | None, made: timedelta = timedelta(days=365)) -> int:
    """Who comes first of those whose token ends so long from now, and that were used and made so long ago."""
    return priority_of(
        NOW + due,
        now=NOW,
        expires_at=None if ends is None else NOW + ends,
        last_used_at=None if used is None else NOW - used,
        created_at=NOW - made,
    )


MINUTES, HOURS, DAYS = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def test_what_was_used_within_a_day_comes_first() -> None:
    assert rank(ends=None, used=24 * HOURS) == FIRST
    assert rank(ends=None, used=25 * HOURS) == ORDINARY
    assert rank(ends=-4 * HOURS, used=23 * HOURS) == FIRST


def test_what_is_due_about_when_its_token_ends_comes_first() -> None:
    assert rank(due=10 * MINUTES, ends=15 * MINUTES, used=None) == FIRST
    assert rank(due=10 * MINUTES, ends=5 * MINUTES, used=None) == FIRST
    assert rank(due=10 * MINUTES, ends=16 * MINUTES, used=None) == LAST
    # Of one that has ended long ago, nobody notices any more that it goes on for some minutes.
    assert rank(due=10 * MINUTES, ends=-4 * HOURS, used=2 * DAYS) == ORDINARY


def test_what_nobody_uses_comes_last() -> None:
    assert rank(ends=None, used=30 * DAYS) == ORDINARY
    assert rank(ends=None, used=31 * DAYS) == LAST
    assert rank(ends=None, used=None, made=30 * DAYS) == ORDINARY
    assert rank(ends=None, used=None, made=31 * DAYS) == LAST


def test_what_is_never_due_has_a_rank_all_the_same() -> None:
    assert priority_of(None, now=NOW, expires_at=NOW, last_used_at=None, created_at=NOW) == ORDINARY


@given(st.integers(0, 1000), chances)
def test_an_eighth_of_the_places_is_for_those_that_wait_long(places: int, chance: random.Random) -> None:
    assert places // 8 <= places_of_late(places, chance) <= places // 8 + 1


def test_of_one_place_at_a_time_it_is_an_eighth_too() -> None:
    chance = random.Random(1)

    assert 100 <= sum(places_of_late(1, chance) for _ in range(1000)) <= 150


class _Most(random.Random):
    """The latest that chance may have it."""

    def random(self) -> float:
        return 1.0


def _every_ten_seconds() -> list[timedelta]:
    return [timedelta(seconds=seconds) for seconds in range(0, 3600, 10)]
