"""When a message is sent again: the schedule of Standard Webhooks 1.0, ten attempts within 75 hours and 35 minutes."""

import random
from datetime import timedelta

# How long after each attempt the next one is due.
RETRIES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
# Receivers that come back together must not be met by everything at once.
_JITTER = 0.1


def next_wait(attempts: int, chance: random.Random, *, retry_after: timedelta | None = None) -> timedelta | None:
    """How long to wait after so many attempts; None where that was the last. Never less than the receiver asked for."""
    if attempts > len(RETRIES):
        return None
    wait = RETRIES[attempts - 1] * chance.uniform(1 - _JITTER, 1 + _JITTER)
    return wait if retry_after is None else max(wait, retry_after)
