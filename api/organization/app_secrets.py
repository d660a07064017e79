"""The secrets of OAuth apps: sealed; the one in use, and the one before it for as long as that is still tried.

What is done here to a row is saved by whoever does it, in the transaction in which it is done: `SECRET_FIELDS` names the columns.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import models
from api.clock import Clock
from api.oauth.tokens import ClientCredentials
from api.secret import Secret
from api.vault.vault import KeyUnavailable, Place, Unreadable, Vault

SECRET_FIELDS = ["client_secret", "previous_secret", "secret_set_at", "secret_expires_at", "warned_days", "endpoints"]
INCIDENT_FIELDS = ["incident_json", "incident_since", "probed_at"]


@dataclass(frozen=True, slots=True)
class AppClient(ClientCredentials):
    """An OAuth app as a client of its provider."""

    # When its secret was given: which of its secrets this is.
    secret_set_at: datetime | None = None
    # The secret before it, while that is kept.
    previous_secret: Secret | None = None

    @property
    def former(self) -> ClientCredentials | None:
        """The client with the secret before this one, where that is still tried."""
        return None if self.previous_secret is None else ClientCredentials(self.client_id, self.previous_secret)


def secret_place(app_id: UUID, folder_id: UUID | None) -> Place:
    """Where an app's secret is sealed for."""
    return Place("oauth_app", "client_secret", app_id, folder_id)


def previous_secret_place(app_id: UUID, folder_id: UUID | None) -> Place:
    return Place("oauth_app", "previous_secret", app_id, folder_id)


class AppSecrets:
    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock

    def client_of(self, app: models.OAuthApp) -> AppClient:
        """The app with its secrets opened, for a call to the provider. Raises Unreadable."""
        return AppClient(app.client_id, self.secret_of(app), app.secret_set_at, self._previous_of(app))

    def secret_of(self, app: models.OAuthApp) -> Secret | None:
        """The secret in use; None for a public client. Raises Unreadable."""
        if app.client_secret is None:
            return None
        return self._open(app.client_secret, secret_place(app.id, app.folder_id))

    async def look_for_keys(self, app: models.OAuthApp) -> None:
        """Before secrets of an app are opened that is not known to open: their keys may be new here."""
        await self._vault.look_for_key(app.client_secret)
        await self._vault.look_for_key(app.previous_secret)

    def is_current(self, app: models.OAuthApp, secret: Secret) -> bool:
        """Whether this is the secret in use. One that cannot be opened is not."""
        try:
            # allowed: secret-equality: two values of type Secret compare in constant time
            return self.secret_of(app) == secret
        except (Unreadable, KeyUnavailable):
            return False

    def give(self, app: models.OAuthApp, secret: Secret) -> None:
        """Make this the app's only secret."""
        self._use(app, secret)
        app.previous_secret = None

    def rotate(self, app: models.OAuthApp, secret: Secret, *, retires_previous: bool) -> None:
        """Make this the app's secret; the one in use until now is still tried, unless it is retired at once.

        A secret that the app has already replaces nothing, so that what is asked twice is done once.
        """
        if not self.is_current(app, secret):
            app.previous_secret = self._moved_behind(app)
            self._use(app, secret)
        if retires_previous:
            app.previous_secret = None

    def forget(self, app: models.OAuthApp) -> None:
        """The app has no secret any more: those that it had were another client's."""
        app.client_secret = app.previous_secret = None
        app.secret_set_at = None
        self.let_expire(app, None)

    def let_expire(self, app: models.OAuthApp, expires_at: datetime | None) -> None:
        """The secret in use ends then, or nobody knows; it is warned of anew."""
        if app.secret_expires_at != expires_at:
            app.secret_expires_at, app.warned_days = expires_at, None

    def move(self, app: models.OAuthApp, folder_id: UUID) -> None:
        """Seal the secrets of an app for the folder that it goes to. Raises Unreadable."""
        old, app.folder_id = app.folder_id, folder_id
        if app.client_secret is not None:
            app.client_secret = self._vault.reseal(app.client_secret, secret_place(app.id, old), secret_place(app.id, folder_id))
        if app.previous_secret is not None:
            places = previous_secret_place(app.id, old), previous_secret_place(app.id, folder_id)
            app.previous_secret = self._vault.reseal(app.previous_secret, *places)

    def _use(self, app: models.OAuthApp, secret: Secret) -> None:
        app.client_secret = self._vault.seal(secret.reveal().encode(), secret_place(app.id, app.folder_id))
        app.secret_set_at = self._clock()

    def _moved_behind(self, app: models.OAuthApp) -> models.Sealed | None:
        """The secret in use, sealed for the place of the one before; None where it cannot be opened: it would not be tried either."""
        if app.client_secret is None:
            return None
        places = secret_place(app.id, app.folder_id), previous_secret_place(app.id, app.folder_id)
        try:
            return self._vault.reseal(app.client_secret, *places)
        except Unreadable:
            return None

    def _previous_of(self, app: models.OAuthApp) -> Secret | None:
        """The secret before the one in use. One that cannot be opened is not tried: the one in use may do."""
        if app.previous_secret is None:
            return None
        try:
            return self._open(app.previous_secret, previous_secret_place(app.id, app.folder_id))
        except Unreadable:
            return None

    def _open(self, sealed: models.Sealed, place: Place) -> Secret:
        return Secret(self._vault.open(sealed, place).decode())
