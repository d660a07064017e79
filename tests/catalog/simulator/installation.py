"""A whole Patchbay whose calls to the outside are answered by one vendor's player."""

import math
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from tortoise.transactions import in_transaction

import models
from api.access import Actor
from api.connections.requests import ConnectRequest, OwnApp
from api.errors import ProviderFailure
from api.opening import open_patchbay
from api.outbound.dialling import Progress
from api.outbound.egress import Destination, EgressGuard
from api.outbound.exchanges import Exchanges
from api.outbound.http import Answer, OutboundClient, OutboundRequest
from api.patchbay import Patchbay
from api.secret import Secret
from api.settings import Settings
from api.vault.keys import generate_key_text
from models import AuthenticationType, FolderKind
from tests.catalog.simulator.player import CLIENT_ID, CLIENT_SECRET, Player
from tests.catalog.simulator.signatures import Arrived
from tests.catalog.simulator.vendor import Way
from tests.clock import HeldClock

CONSENT = AuthenticationType.OAUTH2_AUTHORIZATION_CODE
OWN_APP = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
ORIGIN = "https://patchbay.example.com"


class SimulatedClient(OutboundClient):
    """Guards, checks and waits as the real one does; only that nothing leaves this process."""

    def __init__(self, guard: EgressGuard) -> None:
        super().__init__(guard)
        self.player: Player | None = None

    async def _opened(self) -> Exchanges:
        return Played(self)


class Played(Exchanges):
    def __init__(self, client: SimulatedClient) -> None:
        self._client = client

    async def ask(self, request: OutboundRequest, destination: Destination, progress: Progress, max_bytes: int) -> Answer:
        assert self._client.player is not None, f"nobody plays {destination.origin}"
        headers = {name.lower(): value for name, value in request.headers.items()}
        return self._client.player.answer(Arrived(request.method, destination.url, headers, request.body or b""))


@dataclass
class Simulation:
    """One person, one folder, one vendor; and a Patchbay between them."""

    patchbay: Patchbay
    client: SimulatedClient
    clock: HeldClock
    ada: Actor
    folder: UUID

    def play(self, way: Way) -> "Stage":
        player = Player(way, redirect_uri=self.patchbay.connecting.redirect_uri(way.vendor), clock=self.clock)
        self.client.player = player
        return Stage(self, player)

    async def clear(self) -> None:
        """Forget all connections, for the next test."""
        self.client.player = None
        async with in_transaction():
            for rows in (models.Connection, models.Authorization, models.OAuthApp, models.TokenJournal, models.ConnectionEvent):
                await rows.all().delete()


@dataclass(frozen=True)
class Stage:
    """What a person does with one vendor."""

    simulation: Simulation
    player: Player

    @property
    def way(self) -> Way:
        return self.player.way

    @property
    def type(self) -> AuthenticationType:
        connector = self.simulation.patchbay.catalog.get(self.way.vendor)
        return next(option for option in connector.options if option.key == self.way.key).types[-1]

    async def connect(
        self, *, fields: Mapping[str, str] | None = None, callback: Mapping[str, str] | None = None, **changes: Any
    ) -> models.Connection | models.Authorization:
        """A connection; of a consent the authorization, over. `callback` is what somebody makes of the vendor's answer on its way."""
        fields = self.player.typed() if fields is None else fields
        request: dict[str, Any] = {
            "folder_id": self.simulation.folder,
            "connector_key": self.way.vendor,
            "authentication_type": self.type,
            "option": self.way.key,
            "fields": {name: Secret(value) for name, value in fields.items()},
            "scopes": self.way.all_scopes or None,
        }
        if self.way.authorize is not None:
            request["own_app"] = OwnApp(CLIENT_ID, Secret(CLIENT_SECRET))
        connecting = self.simulation.patchbay.connecting
        begun = await connecting.connect(self.simulation.ada, ConnectRequest(**(request | changes)))
        if isinstance(begun, models.Connection):
            return begun
        departure = await connecting.depart(self.simulation.ada, begun.id)
        parameters = [*(dict(self.player.consent(departure.url, (request | changes)["scopes"])) | dict(callback or {})).items()]
        cookies = {departure.cookie_name: departure.cookie_value}
        return await connecting.complete(self.simulation.ada, self.way.vendor, parameters, cookies)

    async def connected(self, **changes: Any) -> models.Connection:
        """A connection, with which the vendor found nothing wrong."""
        try:
            done = await self.connect(**changes)
        except ProviderFailure:
            self.assert_content()
            raise
        self.assert_content()
        if isinstance(done, models.Authorization):
            assert done.reason is None, done.reason
            assert done.connection_id is not None
            return await models.Connection.get(id=done.connection_id)
        return done

    async def come_due(self, connection: models.Connection, *, later_than: datetime | None = None) -> models.Connection:
        """The connection after it was due, and looked after by the refresh loop."""
        assert connection.due_at is not None
        wait = max(connection.due_at, later_than or connection.due_at) - self.simulation.clock.now
        # Whole seconds, as vendors write times.
        self.simulation.clock.move(timedelta(seconds=max(math.ceil(wait.total_seconds()), 0)))
        await self.simulation.patchbay.refresh_loop.tick()
        await self.simulation.patchbay.refresher.settled()
        return await models.Connection.get(id=connection.id)

    def assert_content(self) -> None:
        """The vendor understood everything, and refused nothing."""
        assert not self.player.complaints, "\n".join(self.player.complaints)
        assert not self.player.refusals, "\n".join(self.player.refusals)


@asynccontextmanager
async def simulated(database_url: str, folder: Path) -> AsyncIterator[Simulation]:
    """Open a Patchbay with the whole catalogue on a migrated database."""
    clients: list[SimulatedClient] = []

    def outbound(guard: EgressGuard) -> SimulatedClient:
        clients.append(SimulatedClient(guard))
        return clients[-1]

    settings = Settings.from_environment(
        {
            "PATCHBAY_DATA_FOLDER": str(folder),
            "PATCHBAY_DATABASE_URL": database_url,
            "PATCHBAY_PUBLIC_URL": ORIGIN,
            "PATCHBAY_KEYS": generate_key_text(),
            # Never by itself: tests say when.
            "PATCHBAY_REFRESH_SCHEDULE": "0 0 0 1 1 *",
        }
    )
    clock = HeldClock()
    async with open_patchbay(settings, clock=clock, chance=random.Random(1), outbound=outbound) as patchbay:
        user = await patchbay.people.add_user(name="Ada", email="ada@example.com", administrator=True)
        workspace = await models.Folder.get(owner_id=user.id, kind=FolderKind.PERSONAL)
        yield Simulation(patchbay, clients[0], clock, Actor(user.id, user.name, administrator=True), workspace.id)
