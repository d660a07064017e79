"""Moments in time, as clients write and read them: in ISO 8601, never without an offset from UTC."""

from contextlib import suppress
from datetime import UTC, datetime

import strawberry
from graphql import GraphQLError

_LONGEST = 40


def read_moment(value: object) -> datetime:
    """The moment in UTC. Raises GraphQLError, which leaves the value out."""
    if isinstance(value, str) and len(value) <= _LONGEST:
        # The first and the last hours of the calendar have no place in UTC.
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
    raise GraphQLError("A moment needs a date, a time, and an offset from UTC.")


DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="A moment in ISO 8601, with its offset from UTC: such as `2030-01-31T12:00:00Z`, or `2030-01-31T13:00:00+01:00`.",
    serialize=datetime.isoformat,
    parse_value=read_moment,
)
