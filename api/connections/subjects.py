"""A connection together with all that an attempt at it needs, read at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import models
from api.catalog.catalog import Catalog
from api.connections.gathering import Gathering
from api.connections.provider import Provider
from api.connections.providers import Providers
from api.connections.secrets import Secrets, credential_place
from api.errors import NotFound
from api.oauth.tokens import ClientCredentials
from api.organization.apps import OAuthApps
from api.vault.vault import Vault
from models.joined import Joined

_NEARLY_OVER = timedelta(seconds=10)

_AT_ONCE = 250

_CREDENTIAL = Joined(
    """
    SELECT {credential}, {connection}, {folder}
    FROM credential JOIN connection ON connection.id = credential.connection_id JOIN folder ON folder.id = connection.folder_id
    WHERE credential.connection_id = $1
    """,
    {"credential": models.Credential, "connection": models.Connection, "folder": models.Folder},
)
_CREDENTIALS = Joined(
    """
    SELECT {credential}, {connection}, EXISTS (
      SELECT 1 FROM token_journal WHERE token_journal.connection_id = connection.id AND answered_at IS NOT NULL
    ) AS has_answer
    FROM credential JOIN connection ON connection.id = credential.connection_id WHERE credential.connection_id = ANY($1)
    """,
    {"credential": models.Credential, "connection": models.Connection},
    others=["has_answer"],
)


class ConnectorGone(NotFound):
    """The connector of a connection, or the way in which it authenticates, is no longer in the catalogue."""

    def __init__(self, connector_key: str) -> None:
        super().__init__("connector")
        self.connector_key = connector_key


@dataclass(frozen=True, slots=True)
class Subject:
    """A connection as it was when the attempt began."""

    connection: models.Connection
    credential: models.Credential
    secrets: Secrets
    provider: Provider
    # Whether an earlier exchange brought what nobody has saved yet.
    has_answer: bool = False

    def is_nearly_over(self, now: datetime) -> bool:
        """Whether its token has ended, or is too close to that to be worth a proof."""
        expires_at = self.connection.expires_at
        return expires_at is not None and expires_at <= now + _NEARLY_OVER


class Subjects:
    def __init__(self, *, catalog: Catalog, providers: Providers, vault: Vault, apps: OAuthApps) -> None:
        self._catalog = catalog
        self._providers = providers
        self._vault = vault
        self._apps = apps
        self._readings = Gathering(_read_some, at_most=_AT_ONCE)
        self._readings_of_apps = Gathering(_read_apps, at_most=_AT_ONCE)

    async def find(self, connection_id: UUID) -> Subject | None:
        """The connection with its secrets opened; None where it is gone. Raises Unreadable, ConnectorGone."""
        found = await self._readings.ask(connection_id)
        if found is None:
            return None
        credential, has_answer = found
        await self.look_for_rest(credential)
        return self.opened(credential, has_answer=has_answer)

    async def read(self, connection_id: UUID) -> models.Credential | None:
        """The credential as it is kept, with its connection and its folder."""
        # All at once: read one after the other, a move in between would leave secrets that do not open in the folder of before.
        for row in await _CREDENTIAL.read_alike([connection_id]):
            credential = _with_connection(row)
            credential.connection.folder = row["folder"]
            return credential
        return None

    def opened(self, credential: models.Credential, *, has_answer: bool = False) -> Subject:
        """What was read, with the secrets opened. Raises Unreadable, ConnectorGone."""
        connection = credential.connection
        secrets = Secrets.open(self._vault, credential.secrets, credential_place(credential.id, connection.folder_id))
        provider = self._providers.find(
            connection.connector_key, connection.connector_version, connection.authentication_type, connection.option_key, connection.site
        )
        if provider is None:
            raise ConnectorGone(connection.connector_key)
        return Subject(connection, credential, secrets, provider, has_answer)

    def has_rest(self, credential: models.Credential) -> bool:
        """Whether all is here that it is opened with, also what another process made a moment ago: its key, and the connector's version."""
        key, version = credential.connection.connector_key, credential.connection.connector_version
        return self._vault.knows_key(credential.secrets) and (version is None or self._catalog.find_version(key, version) is not None)

    async def look_for_rest(self, credential: models.Credential) -> None:
        """Never within a transaction: whoever reads what is new would wait for it on SQLite, and it for them."""
        await self._vault.look_for_key(credential.secrets)
        await self._catalog.look_up_version(credential.connection.connector_key, credential.connection.connector_version)

    async def get(self, connection_id: UUID) -> Subject:
        """As `find`. Raises NotFound where it is gone."""
        subject = await self.find(connection_id)
        if subject is None:
            raise NotFound("connection")
        return subject

    async def app_of(self, subject: Subject) -> models.OAuthApp | None:
        """The app that it signs in with, as it is now; None where it has none."""
        app_id = subject.connection.oauth_app_id
        if app_id is None:
            return None
        app = await self._readings_of_apps.ask(app_id) or await models.OAuthApp.get(id=app_id)
        await self._apps.secrets.look_for_keys(app)
        return app

    def client_of(self, subject: Subject, app: models.OAuthApp | None) -> ClientCredentials:
        """As whom it asks for tokens. Raises Unreadable, SecretForElsewhere."""
        return subject.provider.client(subject.secrets) if app is None else self._apps.client_of(app, subject.provider.connector)


async def _read_some(connection_ids: Sequence[UUID]) -> list[tuple[models.Credential, bool] | None]:
    read = await _CREDENTIALS.read([tuple(connection_ids)])
    found = {row["credential"].connection_id: (_with_connection(row), bool(row["has_answer"])) for row in read}
    return [found.get(id) for id in connection_ids]


async def _read_apps(app_ids: Sequence[UUID]) -> list[models.OAuthApp | None]:
    """All who ask for the same one are given the same object: it is only read."""
    found = {app.id: app for app in await models.OAuthApp.filter(id__in=set(app_ids))}
    return [found.get(id) for id in app_ids]


def _with_connection(row: Mapping[str, Any]) -> models.Credential:
    credential: models.Credential = row["credential"]
    credential.connection = row["connection"]
    return credential
