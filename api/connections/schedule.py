"""When something is due: pure functions of what is known, the time, and chance."""

import random
from datetime import datetime, timedelta

import models
from api.catalog.connector import Option
from api.catalog.grant import Refresh
from models import ConnectionStatus

_FIRST_RETRY = timedelta(seconds=10)
_LAST_RETRY = timedelta(minutes=30)
_RETRY_AFTER_AT_MOST = timedelta(hours=1)
_SOONEST = timedelta(seconds=1)
# Of what is due, the lowest first.
FIRST, ORDINARY, LAST = 0, 1, 2
_USED_LATELY = timedelta(days=1)
_LONG_UNUSED = timedelta(days=30)
_ABOUT_TO_END = timedelta(minutes=5)
# What waits for so long gets a share, whatever its priority.
LATE = timedelta(minutes=10)
_SHARE_OF_LATE = 1 / 8


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


def plan(connection: models.Connection, option: Option, now: datetime, chance: random.Random) -> None:
    """Say when a connection that works is next looked at, and how urgently then. Saves nothing."""
    connection.due_at, connection.priority = planned_of(connection, option, now, chance, expires_at=connection.expires_at)


def planned_of(
    connection: models.Connection, option: Option, now: datetime, chance: random.Random, *, expires_at: datetime | None
) -> tuple[datetime | None, int]:
    """When a connection that works, whose credential now ends at `expires_at`, is next looked at, and its priority then."""
    due_at = None
    if connection.status is not ConnectionStatus.DISABLED:
        # What was obtained earlier and proven now is due by its own age, unless that is over.
        due_at = next_due(option, renewable=connection.renewable, obtained_at=now, expires_at=expires_at, chance=chance)
        due_at = max(now + _SOONEST, due_at)
    used_at, created_at = connection.last_used_at, connection.created_at
    return due_at, priority_of(due_at, now=now, expires_at=expires_at, last_used_at=used_at, created_at=created_at)


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


def priority_of(
    due_at: datetime | None,
    *,
    now: datetime,
    expires_at: datetime | None,
    last_used_at: datetime | None,
    created_at: datetime,
) -> int:
    """Who comes first when not all can at once: whoever is looked after while somebody may still notice.

    First: what was used within a day, and what is due within five minutes of the end of its token. Last: what was not used for thirty
    days, or never since it was made so long ago. All others are in between.
    """
    if last_used_at is not None and now - last_used_at <= _USED_LATELY:
        return FIRST
    if due_at is not None and expires_at is not None and abs(expires_at - due_at) <= _ABOUT_TO_END:
        return FIRST
    return LAST if now - (last_used_at or created_at) > _LONG_UNUSED else ORDINARY


def rank(connection: models.Connection, now: datetime) -> None:
    """Give a connection, as it is planned now, its priority. Saves nothing."""
    connection.priority = priority_of(
        connection.due_at,
        now=now,
        expires_at=connection.expires_at,
        last_used_at=connection.last_used_at,
        created_at=connection.created_at,
    )


def places_of_late(places: int, chance: random.Random) -> int:
    """How many of so many places go to those who wait for long: an eighth, and of what is left over by chance."""
    return int(places * _SHARE_OF_LATE + chance.random())
