"""Secrets of OAuth apps that end soon: said by the app for as long as it is so, and told 30, 7 and 1 days before, once each."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import models
from api.audit import Audit
from api.clock import Clock
from models.database import transaction

logger = logging.getLogger(__name__)

_DAYS_BEFORE = (30, 7, 1)


class AppWarningKind(StrEnum):
    SECRET_EXPIRES = "SECRET_EXPIRES"
    SECRET_EXPIRED = "SECRET_EXPIRED"


@dataclass(frozen=True, slots=True)
class AppWarning:
    kind: AppWarningKind
    message: str
    remedy: str


class AppWarnings:
    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock

    async def tell(self) -> None:
        """Tell of every secret that came closer to its end than it was told of: in the audit log, and as a warning in the logs."""
        now = self._clock()
        for app in await models.OAuthApp.filter(secret_expires_at__lte=now + timedelta(days=_DAYS_BEFORE[0])):
            days = _days_to_tell(app, now)
            if days is not None:
                await self._tell_of(app, days, now)

    async def _tell_of(self, app: models.OAuthApp, days: int, now: datetime) -> None:
        (warning,) = warnings_of(app, now)
        seen = models.OAuthApp.filter(id=app.id, secret_expires_at=app.secret_expires_at)
        seen = seen.filter(warned_days__isnull=True) if app.warned_days is None else seen.filter(warned_days=app.warned_days)
        async with self._audit.act(None, "oauth_app.secret_expires", app.id) as act, transaction():
            # Another process may have told of it, or the secret may be another by now.
            if not await seen.update(warned_days=days):
                return
            await act.done(subject_name=app.name, folder_id=app.folder_id, detail=warning.message)
        logger.warning(
            "client secret ends soon",
            extra={"oauth_app": str(app.id), "expires_at": app.secret_expires_at and app.secret_expires_at.isoformat(), "days": days},
        )


def warnings_of(app: models.OAuthApp, now: datetime) -> list[AppWarning]:
    """What should be done about an app before it fails."""
    ends_at = app.secret_expires_at
    if ends_at is None or ends_at > now + timedelta(days=_DAYS_BEFORE[0]):
        return []
    remedy = "Make a new client secret at the provider, and give it to the app; the one before is tried until it is retired."
    if ends_at <= now:
        return [AppWarning(AppWarningKind.SECRET_EXPIRED, f"Its client secret ended on {ends_at:%Y-%m-%d}.", remedy)]
    return [AppWarning(AppWarningKind.SECRET_EXPIRES, f"Its client secret ends on {ends_at:%Y-%m-%d}, {_in(ends_at - now)}.", remedy)]


def _days_to_tell(app: models.OAuthApp, now: datetime) -> int | None:
    """Of how many days before the end is to be told now; None where that was done, or is not due yet."""
    assert app.secret_expires_at is not None
    left = app.secret_expires_at - now
    days = min((days for days in _DAYS_BEFORE if left <= timedelta(days=days)), default=None)
    return None if days is None or (app.warned_days is not None and app.warned_days <= days) else days


def _in(left: timedelta) -> str:
    match round(left / timedelta(days=1)):
        case 0:
            return "in less than a day"
        case 1:
            return "in a day"
        case days:
            return f"in {days} days"
