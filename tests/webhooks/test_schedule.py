"""When a message is sent again."""

import random
from datetime import timedelta

from api.webhooks.schedule import RETRIES, next_wait


class Never(random.Random):
    """Chance that always takes the middle."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def test_ten_attempts_are_made_within_three_days_and_some_hours() -> None:
    waits = [next_wait(attempts, Never()) for attempts in range(1, 11)]

    assert waits == [*RETRIES, None]
    assert sum(RETRIES, timedelta()) == timedelta(hours=75, minutes=35, seconds=5)


def test_chance_moves_each_retry_by_a_tenth_at_most() -> None:
    chance = random.Random(1)
    for attempts, usual in enumerate(RETRIES, 1):
        waits = {next_wait(attempts, chance) for _ in range(50)}
        assert len(waits) > 10
        assert all(wait is not None and usual * 0.9 <= wait <= usual * 1.1 for wait in waits)


def test_who_asks_to_be_left_alone_is_never_asked_sooner() -> None:
    assert next_wait(1, Never(), retry_after=timedelta(minutes=10)) == timedelta(minutes=10)
    assert next_wait(5, Never(), retry_after=timedelta(minutes=10)) == timedelta(hours=5)
    assert next_wait(10, Never(), retry_after=timedelta(minutes=10)) is None
