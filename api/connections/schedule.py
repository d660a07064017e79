"""When something is due: pure functions of what is known, the time, and chance."""

import random
from datetime import datetime, timedelta

from api.catalog.connector import Option
from api.catalog.grant import Refresh

_FIRST_RETRY = timedelta(seconds=10)
_LAST_RETRY = timedelta(minutes=30)
_RETRY_AFTER_AT_MOST = timedelta(hours=1)
_SOONEST = timedelta(seconds=1)


def next_due(option: Option, *, renewable: bool, obtained_at: datetime, expires_at: datetime | None, chance: random.Random) -> datetime:
    """When a credential that works is next looked at.

    A token that ends and can be renewed: at 50 to 80 % of its life, so that those obtained together are not refreshed together. One that
    ends and cannot: at its end. Any other: when it is to be proven again.
    """
    refresh = option.grant.refresh if option.grant is not None and renewable else Refresh()
    if refresh.idle_lifetime is not None:
        # The refresh token would die of disuse, however long the access token lives.
        longest = obtained_at + refresh.idle_lifetime
        expires_at = longest if expires_at is None else min(expires_at, longest)
    if expires_at is None:
        return obtained_at + option.verify_every * chance.uniform(0.9, 1.1)
    if not renewable:
        return expires_at
    wait = max((expires_at - obtained_at) * chance.uniform(0.5, 0.8), _SOONEST)
    return obtained_at + max(wait, min(refresh.minimum_age or _SOONEST, expires_at - obtained_at))


def retry_at(now: datetime, failures: int, chance: random.Random, *, retry_after: timedelta | None = None) -> datetime:
    """When to try again after so many failures in a row: doubling from ten seconds to half an hour, with full jitter.

    Never before the provider asked for, within the hour.
    """
    doublings: int = min(failures - 1, 20)
    longest = min(_FIRST_RETRY * float(2**doublings), _LAST_RETRY)
    wait = max(longest * chance.random(), _SOONEST)
    if retry_after is not None:
        wait = max(wait, min(retry_after, _RETRY_AFTER_AT_MOST))
    return now + wait
