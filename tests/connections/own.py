"""A Patchbay with a connector of one's own, and two providers: the one that it is for, and another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import models
from api.access import Actor
from api.catalog.connector import Connector
from api.connections.requests import ConnectRequest, OwnApp, ReconnectRequest
from api.patchbay import Patchbay
from api.secret import Secret
from models import AuthenticationType
from tests.clock import HeldClock
from tests.connections.vendor import CLIENT, TOKEN, Vendor, vendors
from tests.installation import Installation, installed

CONSENT = AuthenticationType.OAUTH2_AUTHORIZATION_CODE
OWN_APP = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
MACHINE = AuthenticationType.OAUTH2_CLIENT_CREDENTIALS
CLIENT_FIELDS = {"client_id": Secret(CLIENT[0]), "client_secret": Secret(CLIENT[1])}


@dataclass(frozen=True)
class Bench:
    here: Installation
    acme: Vendor
    # Whoever may change a connector would like secrets to go here.
    evil: Vendor

    @property
    def patchbay(self) -> Patchbay:
        return self.here.patchbay

    @property
    def ada(self) -> Actor:
        return self.here.ada

    async def create(self, **changes: Any) -> Connector:
        return await self.patchbay.building.create(self.ada, self.acme.definition(**changes))

    async def update(self, **changes: Any) -> Connector:
        return await self.patchbay.building.update(self.ada, self.acme.definition(**changes))

    async def move_to_evil(self) -> Connector:
        """The next version sends everything to another host."""
        return await self.update(base_url=f"{self.evil.url}/v1", oauth2=self.evil.oauth2())

    def request(self, type: AuthenticationType = AuthenticationType.PERSONAL_ACCESS_TOKEN, **changes: Any) -> ConnectRequest:
        fields = {AuthenticationType.PERSONAL_ACCESS_TOKEN: {"token": Secret(TOKEN)}, MACHINE: CLIENT_FIELDS}.get(type, {})
        given: dict[str, Any] = {
            "folder_id": self.here.workspace,
            "connector_key": "acme",
            "authentication_type": type,
            "fields": fields,
            "own_app": OwnApp(CLIENT[0], Secret(CLIENT[1])) if type is OWN_APP else None,
        }
        return ConnectRequest(**(given | changes))

    async def connect(self, type: AuthenticationType = AuthenticationType.PERSONAL_ACCESS_TOKEN, **changes: Any) -> models.Connection:
        begun = await self.patchbay.connecting.connect(self.ada, self.request(type, **changes))
        return begun if isinstance(begun, models.Connection) else await self.come_back(begun)

    async def reconnect(self, connection: models.Connection, **changes: Any) -> models.Connection:
        begun = await self.patchbay.connecting.reconnect(self.ada, ReconnectRequest(connection.id, **changes))
        return begun if isinstance(begun, models.Connection) else await self.come_back(begun)

    async def come_back(self, begun: models.Authorization) -> models.Connection:
        ended = await self.answer(begun)
        assert ended.connection_id is not None, ended.reason
        return await models.Connection.get(id=ended.connection_id)

    async def answer(self, begun: models.Authorization, *, key: str = "acme") -> models.Authorization:
        """Depart, and come back with the provider's consent, to the callback of a connector."""
        departure = await self.patchbay.connecting.depart(self.ada, begun.id)
        state = parse_qs(urlsplit(departure.url).query)["state"][0]
        cookies = {departure.cookie_name: departure.cookie_value}
        return await self.patchbay.connecting.complete(self.ada, key, [("code", "good-code"), ("state", state)], cookies)

    async def register_app(self) -> models.OAuthApp:
        client_id, client_secret = CLIENT
        return await self.patchbay.oauth_apps.register(
            self.ada, connector_key="acme", client_id=client_id, client_secret=Secret(client_secret)
        )

    async def version_of(self, connection: models.Connection) -> int | None:
        return (await models.Connection.get(id=connection.id)).connector_version


@asynccontextmanager
async def bench_on(database_url: str, folder: Path, **environment: str) -> AsyncIterator[Bench]:
    async with vendors(folder) as ((acme, evil), allowed):
        settings: dict[str, Any] = {**allowed, **environment}
        async with installed(database_url, folder, HeldClock(), **settings) as here:
            yield Bench(here, acme, evil)
