"""Stock Strawberry: the list as its documentation has one write it. Plain types, DataLoaders, Tortoise models, its own ASGI view.

usage: python -m tests.bench.stock PORT, with PATCHBAY_DATABASE_URL in its environment. It checks nothing.
"""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.types import Info

import models
from models.database import Database, open_database
from tests.bench.by_hand import CONNECTORS
from tests.bench.nouns import ConnectionAlone, Connector, Folder, PageInfo


@strawberry.type
class Connection(ConnectionAlone):
    connector_key: strawberry.Private[str]
    folder_id: strawberry.Private[UUID]

    @strawberry.field
    async def connector(self, info: Info[dict[str, Any], None]) -> Connector:
        connector: Connector = await info.context["connectors"].load(self.connector_key)
        return connector

    @strawberry.field
    async def folder(self, info: Info[dict[str, Any], None]) -> Folder:
        folder: Folder = await info.context["folders"].load(self.folder_id)
        return folder


@strawberry.type
class ConnectionPage:
    nodes: list[Connection]
    page_info: PageInfo


@strawberry.type
class Query:
    @strawberry.field
    async def connections(self, info: Info[dict[str, Any], None], first: int) -> ConnectionPage:
        found = await models.Connection.filter(folder_id=info.context["workspace"]).order_by("name_key", "id").limit(first + 1)
        return ConnectionPage(nodes=[_of(row) for row in found[:first]], page_info=PageInfo(has_next_page=len(found) > first))


def _of(row: models.Connection) -> Connection:
    return Connection(
        id=strawberry.ID(str(row.id)),
        name=row.name,
        status=row.status,
        status_changed_at=row.status_changed_at,
        is_default=row.is_default,
        account=row.account,
        scopes=row.scopes,
        expires_at=row.expires_at,
        next_refresh_at=row.next_refresh_at,
        last_refreshed_at=row.last_refreshed_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        connector_key=row.connector_key,
        folder_id=row.folder_id,
    )


async def _connectors(keys: list[str]) -> Sequence[Connector]:
    return [Connector(key=key, name=CONNECTORS[key]) for key in keys]


async def _folders(ids: list[UUID]) -> Sequence[Folder]:
    found = {row.id: Folder(id=strawberry.ID(str(row.id)), name=row.name) for row in await models.Folder.filter(id__in=ids)}
    return [found[id] for id in ids]


class _View(GraphQL[dict[str, Any], None]):
    # The one that holds the connections.
    workspace: UUID

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> dict[str, Any]:
        return {"workspace": self.workspace, "connectors": DataLoader(_connectors), "folders": DataLoader(_folders)}


class _InDatabase:
    """The view, with the database that its process has open."""

    database: Database

    def __init__(self) -> None:
        self.view = _View(strawberry.Schema(Query))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.database.entered():
            await self.view(scope, receive, send)


def main() -> None:
    server = _InDatabase()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with open_database(os.environ["PATCHBAY_DATABASE_URL"]) as server.database:
            server.view.workspace = UUID(str((await models.Connection.all().limit(1).values("folder_id"))[0]["folder_id"]))
            yield

    app = Starlette(routes=[Mount("/", server)], lifespan=lifespan)
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False, proxy_headers=False)


if __name__ == "__main__":
    main()
