"""What Patchbay holds, read and set up with its real key, in this process, while no server of it runs."""

import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

import models
from api.access import Access
from api.audit import Audit
from api.catalog.catalog import Catalog
from api.clock import utc_now
from api.connections.keeping import Keeper, Place, Proven
from api.connections.provider import Provider
from api.connections.refresher import LEASE
from api.connections.secrets import Secrets, journal_place
from api.events.log import EventLog
from api.events.wakeup import Wakeup
from api.master_keys import master_keys
from api.opening import load_catalog
from api.organization.apps import OAuthApps
from api.organization.folders import Folders
from api.organization.people import People
from api.secret import Secret
from api.settings import Settings
from api.vault.opening import open_vault
from api.vault.vault import Vault
from models import AuthenticationType, ConnectionEventType, ConnectionStatus, FolderKind, StatusReasonCode
from models.database import open_database
from tests.faults.at_provider import NewGrant


@dataclass(frozen=True, slots=True)
class Held:
    """What Patchbay holds of one grant, and what it shows of its connection. Tokens are known by their fingerprints."""

    connection_id: UUID
    grant_id: str
    # Of the credential, and of answers in the journal that are not saved yet.
    fingerprints: frozenset[str]
    status: ConnectionStatus
    reason: StatusReasonCode | None
    last_refreshed_at: datetime | None


class Records:
    def __init__(self, catalog: Catalog, vault: Vault) -> None:
        access, audit, self._log = Access(), Audit(utc_now), EventLog(utc_now, Wakeup())
        self._catalog = catalog
        self._vault = vault
        self._apps = OAuthApps(access, catalog, vault, utc_now, audit=audit)
        self._keeper = Keeper(vault=vault, log=self._log, apps=self._apps, clock=utc_now, chance=random.Random())
        self.people = People(access=access, log=self._log, audit=audit, clock=utc_now)
        self.folders = Folders(access, utc_now, audit=audit)

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncIterator[Self]:
        catalog = load_catalog(settings)
        async with open_database(settings.database_url.reveal()):
            yield cls(catalog, await open_vault(master_keys(settings), utc_now))

    def fingerprint(self, token: str) -> str:
        return self._vault.fingerprint(Secret(token))

    async def register_apps(self, connector_keys: Sequence[str]) -> None:
        for key in connector_keys:
            await self._apps.keep_registered(key, client_id="campaign", client_secret=Secret("campaign-secret"))

    async def add_owner(self) -> Secret:
        """The one to whom every connection belongs; an API token of theirs."""
        user = await self.people.add_user(name="Ada", administrator=True)
        return (await self.people.add_token(user.id, name="campaign")).token

    async def connect(self, connector_keys: Sequence[str], grants: Sequence[NewGrant]) -> None:
        """A connection for each grant, spread over the connectors: as if somebody had consented, with a token that has just ended."""
        owner = await models.User.get(name="Ada")
        workspace = await models.Folder.get(owner_id=owner.id, kind=FolderKind.PERSONAL)
        for number, grant in enumerate(grants):
            proven = await self._proven(connector_keys[number % len(connector_keys)], grant)
            await self._keeper.create(Place(workspace.id, owner.id, f"Grant {grant.id}"), proven, permit=_permitted)

    async def reconnect(self, connection_id: UUID, grant: NewGrant) -> None:
        """Another grant for a connection whose grant is lost."""
        connection = await models.Connection.get(id=connection_id)
        proven = await self._proven(connection.connector_key, grant)
        await self._keeper.replace(connection, proven, permit=_permitted, actor_id=connection.owner_id)

    async def tell(self, connection: models.Connection, names: Sequence[str]) -> None:
        """Let a connection be renamed to each of these, as far as its events tell, in one transaction."""
        async with self._log.change(connection.owner_id) as record:
            for name in names:
                connection.rename(name)
                await record.append(connection, ConnectionEventType.RENAMED)

    async def held(self) -> list[Held]:
        """What is held of every grant."""
        credentials = await models.Credential.all().select_related("connection")
        journaled = await self._journaled()
        return [
            Held(
                credential.connection_id,
                credential.connection.account or "",
                frozenset({credential.fingerprint}) | journaled.get(credential.connection_id, frozenset()),
                credential.connection.status,
                credential.connection.reason.code if credential.connection.reason else None,
                credential.connection.last_refreshed_at,
            )
            for credential in credentials
        ]

    async def plan(self, first: datetime, *, apart: timedelta = timedelta(0)) -> None:
        """Make every connection due: the first then, and the others one by one so much later."""
        if not apart:
            await models.Connection.all().update(due_at=first)
            return
        for number, connection in enumerate(await models.Connection.all().only("id")):
            await models.Connection.filter(id=connection.id).update(due_at=first + number * apart)

    async def let_leases_end(self) -> None:
        """Move the end of every lease to now, as if its minute were over."""
        now = utc_now()
        await models.TokenJournal.all().update(started_at=now - LEASE)
        await models.TokenJournal.filter(answered_at__not_isnull=True).update(answered_at=now - LEASE)
        await models.Connection.filter(lease_until__gt=now).update(lease_until=now, due_at=now)

    async def _journaled(self) -> dict[UUID, frozenset[str]]:
        """Fingerprints of the refresh tokens in answers that were journaled and not saved."""
        found: dict[UUID, frozenset[str]] = {}
        for row in await models.TokenJournal.filter(answered_at__not_isnull=True):
            assert row.answer is not None
            token = json.loads(self._vault.open(row.answer, journal_place(row.id, row.folder_id)))["refresh_token"]
            found[row.connection_id] = found.get(row.connection_id, frozenset()) | {self.fingerprint(token)}
        return found

    async def _proven(self, connector_key: str, grant: NewGrant) -> Proven:
        connector = self._catalog.get(connector_key)
        option = connector.find_option(AuthenticationType.OAUTH2_AUTHORIZATION_CODE)
        assert option is not None
        app = await models.OAuthApp.get(connector_key=connector_key)
        return Proven(
            Provider(connector, option, {}),
            AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
            Secrets(access_token=Secret("ended"), refresh_token=Secret(grant.refresh_token), token_type="Bearer"),
            grant.id,
            scopes=("read",),
            expires_at=utc_now(),
            oauth_app_id=app.id,
        )


async def _permitted() -> None:
    """Nobody is asked."""
