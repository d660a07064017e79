"""Tuned Strawberry: the list as fast as Strawberry itself can do it.

usage: python -m tests.bench.tuned PORT, with PATCHBAY_DATABASE_URL in its environment. It checks nothing. Documents are parsed and
validated once, the one resolver runs the statement of the ceiling, all below it are plain attributes, and orjson writes the answer.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import orjson
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.types import Info

from tests.bench.by_hand import CONNECTORS, LIST, Database, Row, opened
from tests.bench.nouns import ConnectionAlone, Connector, Folder, PageInfo


@strawberry.type
class Connection(ConnectionAlone):
    connector: Connector
    folder: Folder


@strawberry.type
class ConnectionPage:
    nodes: list[Connection]
    page_info: PageInfo


@strawberry.type
class Query:
    @strawberry.field
    async def connections(self, info: Info[Database, None], first: int) -> ConnectionPage:
        found = await info.context.rows(LIST, info.context.workspace)
        return ConnectionPage(nodes=[_of(row) for row in found[:first]], page_info=PageInfo(has_next_page=len(found) > first))


def _of(row: Row) -> Connection:
    """A connection as its SELECT gives it, in the order of its columns."""
    return Connection(
        id=row[0],
        name=row[1],
        status=row[2],
        status_changed_at=_time(row[3]),
        is_default=bool(row[4]),
        account=row[5],
        scopes=orjson.loads(row[6]),
        expires_at=_time(row[7]),
        next_refresh_at=_time(row[8]),
        last_refreshed_at=_time(row[9]),
        created_at=_time(row[10]),
        updated_at=_time(row[11]),
        connector=Connector(key=row[12], name=CONNECTORS[row[12]]),
        folder=Folder(id=row[13], name=row[14]),
    )


def _time(value: Any) -> Any:
    """On SQLite it is a text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


class _View(GraphQL[Database, None]):
    database: Database

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Database:
        return self.database

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)


def main() -> None:
    view = _View(strawberry.Schema(Query, extensions=[ParserCache, ValidationCache]))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with opened(os.environ["PATCHBAY_DATABASE_URL"]) as view.database:
            yield

    app = Starlette(routes=[Mount("/", view)], lifespan=lifespan)
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False, proxy_headers=False)


if __name__ == "__main__":
    main()
