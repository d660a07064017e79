"""A clock that tests hold."""

from datetime import UTC, datetime, timedelta


class HeldClock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by
