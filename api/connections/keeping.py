"""Writing a proven credential down: a new connection, or a new credential for one that is there. One transaction each."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from tortoise.exceptions import IntegrityError

import models
from api.catalog.using import Proof
from api.clock import Clock
from api.connections.consent import ConsentOver
from api.connections.provider import Provider
from api.connections.requests import OwnApp
from api.connections.schedule import next_due, rank
from api.connections.secrets import Secrets, credential_place
from api.errors import Conflict, NameTaken
from api.events.log import EventLog, Record
from api.names import free_name
from api.organization.apps import OAuthApps
from api.vault.vault import Vault
from models import AuthenticationType, AuthorizationStatus, ConnectionEventType, ConnectionStatus, OAuthAppOrigin, fold

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Proven:
    """A credential that the provider took, with all that is known of it."""

    provider: Provider
    authentication_type: AuthenticationType
    secrets: Secrets
    account: str | None
    scopes: tuple[str, ...] = ()
    missing_scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    refresh_expires_at: datetime | None = None
    oauth_app_id: UUID | None = None
    # When the app's secret was given that the provider took.
    app_secret_at: datetime | None = None
    # An app that a person brought, to be kept with the connection.
    own_app: OwnApp | None = field(default=None, repr=False)

    @property
    def renewable(self) -> bool:
        """Whether a new token can be had without a person."""
        option = self.provider.option
        if option.grant is None:
            return False
        refreshes = option.grant.refresh.supported and self.secrets.refresh_token is not None
        return option.repeatable or option.grant.refresh.swaps or refreshes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new connection goes, and how it is called."""

    folder_id: UUID
    owner_id: UUID
    # None: made from the connector's name.
    name: str | None
    # A name that was free when the person consented may be taken now: then the connection gets a number rather than getting lost.
    name_is_a_wish: bool = False


@dataclass(frozen=True, slots=True)
class Idempotency:
    key: str
    request: str


# Raises where what allowed it has gone meanwhile. Called first in the transaction that it is to allow.
Permit = Callable[[], Awaitable[None]]


class KeyUsed(Exception):
    """Someone with the same idempotency key was faster: their result is the answer."""


# What a new credential changes of a connection; a rename or a move at the same moment is not undone.
_REPLACED = [
    "connector_version",
    "oauth_app_id",
    "app_secret_at",
    "site",
    "account",
    "scopes",
    "missing_scopes",
    "expires_at",
    "renewable",
    "last_verified_at",
    "updated_at",
    "failures",
    "due_at",
    "priority",
    "status",
    "reason_json",
    "status_changed_at",
    "before_suspension",
    "lease_holder",
    "lease_until",
    "lease_number",
]


class Keeper:
    def __init__(self, *, vault: Vault, log: EventLog, apps: OAuthApps, clock: Clock, chance: random.Random) -> None:
        self._vault = vault
        self._log = log
        self._apps = apps
        self._clock = clock
        self._chance = chance

    async def create(
        self,
        place: Place,
        proven: Proven,
        *,
        permit: Permit,
        authorization: models.Authorization | None = None,
        idempotency: Idempotency | None = None,
    ) -> models.Connection:
        """A new connection. Raises NameTaken, ConsentOver, what `permit` raises; KeyUsed where the idempotency key was used meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                async with self._log.change(place.owner_id) as record:
                    await permit()
                    return await self._create(record, place, proven, authorization, idempotency)
            except IntegrityError:
                # Someone was faster: with the name, the first place (which is the default), or the idempotency key.
                if idempotency and await models.IdempotencyKey.exists(user_id=place.owner_id, key=idempotency.key):
                    raise KeyUsed from None
                await self.check_name(place, proven.provider)
        raise Conflict("Too many connections are being made here at once.", "Try again.")

    async def check_name(self, place: Place, provider: Provider) -> None:
        """Raises NameTaken where the name that was asked for cannot be had."""
        if place.name is None or place.name_is_a_wish:
            return
        if await models.Connection.exists(folder_id=place.folder_id, connector_key=provider.connector.key, name_key=fold(place.name)):
            raise NameTaken(place.name, f"this folder for {provider.name}")

    async def replace(
        self,
        connection: models.Connection,
        proven: Proven,
        *,
        permit: Permit,
        actor_id: UUID,
        authorization: models.Authorization | None = None,
    ) -> models.Connection:
        """A new credential for a connection that keeps its id, name and default. The one before is gone with this.

        Raises ConsentOver, and what `permit` raises.
        """
        now = self._clock()
        async with self._log.change(actor_id) as record:
            await permit()
            connection = await models.Connection.select_for_update().get(id=connection.id)
            credential = await models.Credential.get(connection_id=connection.id)
            previous, former_app_id = connection.status, connection.oauth_app_id
            connection.oauth_app_id = await self._app_id(proven, connection.folder_id)
            self._describe(connection, proven, now)
            connection.enter(ConnectionStatus.CONNECTED, None, now)
            connection.before_suspension = None
            # A refresh under way for the old credential loses its lease with it.
            connection.lease_holder = connection.lease_until = None
            connection.lease_number += 1
            await connection.save(update_fields=_REPLACED)
            self._seal(credential, proven, connection.folder_id, now)
            credential.generation += 1
            await credential.save()
            await record.append(connection, ConnectionEventType.RECONNECTED, previous_status=previous)
            if former_app_id != connection.oauth_app_id:
                await self._apps.forget_unused(former_app_id)
            await _succeed(authorization, connection)
        return connection

    async def _create(
        self,
        record: Record,
        place: Place,
        proven: Proven,
        authorization: models.Authorization | None,
        idempotency: Idempotency | None,
    ) -> models.Connection:
        now = self._clock()
        connector_key = proven.provider.connector.key
        siblings = models.Connection.filter(folder_id=place.folder_id, connector_key=connector_key)
        name = place.name
        if name is None or place.name_is_a_wish:
            taken = {sibling.name_key for sibling in await siblings.only("name_key")}
            name = free_name(place.name or proven.provider.name, taken)
        connection = models.Connection(
            id=uuid4(),
            folder_id=place.folder_id,
            connector_key=connector_key,
            owner_id=place.owner_id,
            authentication_type=proven.authentication_type,
            option_key=proven.provider.option.key,
            is_default=not await siblings.exists(),
            oauth_app_id=await self._app_id(proven, place.folder_id),
            status=ConnectionStatus.CONNECTED,
            status_changed_at=now,
            created_at=now,
        )
        connection.rename(name)
        self._describe(connection, proven, now)
        await connection.save(force_create=True)
        credential = models.Credential(id=uuid4(), connection_id=connection.id)
        self._seal(credential, proven, place.folder_id, now)
        await credential.save(force_create=True)
        await record.append(connection, ConnectionEventType.CREATED)
        await _succeed(authorization, connection)
        if idempotency is not None:
            await models.IdempotencyKey.create(
                user_id=place.owner_id,
                key=idempotency.key,
                request=idempotency.request,
                connection_id=connection.id,
                created_at=now,
            )
        return connection

    def _describe(self, connection: models.Connection, proven: Proven, now: datetime) -> None:
        connection.connector_version = proven.provider.connector.version
        connection.site = dict(proven.provider.site)
        connection.account = proven.account
        connection.scopes = list(proven.scopes)
        connection.missing_scopes = list(proven.missing_scopes)
        connection.expires_at = proven.expires_at
        connection.renewable = proven.renewable
        connection.app_secret_at = proven.app_secret_at
        connection.last_verified_at = now if proven.provider.option.proof is not Proof.NONE else None
        connection.updated_at = now
        connection.failures = 0
        connection.due_at = next_due(
            proven.provider.option,
            renewable=proven.renewable,
            obtained_at=now,
            expires_at=proven.expires_at,
            chance=self._chance,
        )
        rank(connection, now)

    def _seal(self, credential: models.Credential, proven: Proven, folder_id: UUID, now: datetime) -> None:
        credential.secrets = proven.secrets.seal(self._vault, credential_place(credential.id, folder_id))
        credential.fingerprint = self._vault.fingerprint(proven.secrets.consumed())
        credential.obtained_at = now
        credential.refresh_expires_at = proven.refresh_expires_at

    async def _app_id(self, proven: Proven, folder_id: UUID) -> UUID | None:
        """The app that the connection signs in with; one that a person brought is kept now."""
        if proven.own_app is None:
            return proven.oauth_app_id
        app = await self._apps.add(
            connector_key=proven.provider.connector.key,
            name=f"Own {proven.provider.name} app"[:120],
            client_id=proven.own_app.client_id,
            client_secret=proven.own_app.client_secret,
            scopes=list(proven.scopes),
            origin=OAuthAppOrigin.CONNECTION,
            folder_id=folder_id,
            endpoints=proven.provider.connector.app_endpoints,
        )
        return app.id


async def _succeed(authorization: models.Authorization | None, connection: models.Connection) -> None:
    """The consent led to this connection. What it kept secret is not needed any more. Raises ConsentOver."""
    if authorization is None:
        return
    succeeded: dict[str, Any] = {
        "status": AuthorizationStatus.SUCCEEDED,
        "connection_id": connection.id,
        "secrets": None,
        "state_hash": None,
    }
    # It may have been cancelled while the provider was asked, or have come back a second time: then nothing of this is written.
    if not await models.Authorization.filter(id=authorization.id, status=AuthorizationStatus.PENDING).update(**succeeded):
        raise ConsentOver
    authorization.update_from_dict(succeeded)
