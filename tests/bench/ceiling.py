"""The ceiling: the same answers by hand, with nothing between the database and the JSON but Starlette. One process, as Patchbay is.

usage: python -m tests.bench.ceiling PORT, with PATCHBAY_DATABASE_URL and PATCHBAY_KEYS in its environment. `/list` checks nothing;
`/connection/{id}` and `/issue/{id}` ask the database what Patchbay asks it too: whether the token is one and good (an unlimited one), and
whether its owner may do this in the folder. What is issued is in the audit log before it is handed out. SQLite is asked in the event
loop, which is faster than any way around it as long as nobody else writes.
"""

import hashlib
import hmac
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.by_hand import AUDIT, CHECKED, ISSUED, LIST, NOTE_USE, Database, Row, opened, opener

# As the database has them.
_USE, _VIEW = 2, 1
_CONNECTORS = {"measured": "Measured"}


class Ceiling:
    database: Database

    def __init__(self) -> None:
        self._open: Callable[[bytes, str, str], dict[str, Any]] | None = None

    async def list(self, _: Request) -> Response:
        found = await self.database.rows(LIST, self.database.workspace)
        nodes = [_node(row) for row in found[:50]]
        return _answer("connections", {"nodes": nodes, "pageInfo": {"hasNextPage": len(found) > 50}})

    async def connection(self, request: Request) -> Response:
        public_id, digest = _token(request)
        found = await self.database.rows(CHECKED, public_id, request.path_params["id"], self.database.now(), _VIEW)
        return _answer("connection", _node(found[0])) if found and _is_permitted(found[0], digest) else Response(status_code=403)

    async def issue(self, request: Request) -> Response:
        public_id, digest = _token(request)
        assert request.client is not None
        async with self.database.transaction() as session:
            now = self.database.now()
            found = await session.rows(ISSUED, public_id, request.path_params["id"], now, _USE)
            if not found or not _is_permitted(found[0], digest):
                return Response(status_code=403)
            row = found[0]
            if row["status"] == "DISABLED" or row["is_over"]:
                return Response(status_code=409)
            secrets = await self._secrets(bytes(row["secrets"]), row["credential_id"], row["folder_id"])
            if row["is_unused"]:
                await session.rows(NOTE_USE, row[0], now)
            who = (row["user_id"], row["user_name"], request.client.host, row["token_id"])
            await session.rows(AUDIT, now, *who, row[0], row[1], row["folder_id"], f"generation {row['generation']}")
        return _answer("issueCredential", _issued(row, secrets))

    async def _secrets(self, sealed: bytes, row: str, folder: str) -> dict[str, Any]:
        if self._open is None:
            self._open = await opener(os.environ)
        return self._open(sealed, row, folder)


def _answer(field: str, value: Any) -> Response:
    return Response(orjson.dumps({"data": {field: value}}), media_type="application/json")


def _node(row: Row) -> dict[str, Any]:
    """A connection as its SELECT gives it, in the order of its columns."""
    return {
        "id": row[0],
        "name": row[1],
        "status": row[2],
        "statusChangedAt": row[3],
        "isDefault": bool(row[4]),
        "account": row[5],
        "scopes": orjson.Fragment(row[6]),
        "expiresAt": row[7],
        "nextRefreshAt": row[8],
        "lastRefreshedAt": row[9],
        "createdAt": row[10],
        "updatedAt": row[11],
        "connector": {"key": row[12], "name": _CONNECTORS[row[12]]},
        "folder": {"id": row[13], "name": row[14]},
    }


def _issued(row: Row, secrets: dict[str, Any]) -> dict[str, Any]:
    return {
        "__typename": "IssueCredentialSuccess",
        "credential": {
            "headers": [{"name": "Authorization", "value": f"Bearer {secrets['fields']['token']}"}],
            "accessToken": secrets["access_token"],
            "baseUrl": "https://api.measured.example/v1",
            "expiresAt": row[7],
            "generation": row["generation"],
        },
        "connection": {"id": row[0], "name": row[1], "status": row[2]},
    }


def _token(request: Request) -> tuple[str, bytes]:
    """The public id of the token, and the hash of its secret, which its checksum follows."""
    _, _, public_id, secret = request.headers["authorization"].removeprefix("Bearer ").split("_")
    return public_id, hashlib.sha256(secret[:-6].encode()).digest()


def _is_permitted(row: Row, digest: bytes) -> bool:
    return hmac.compare_digest(bytes(row["secret_hash"]), digest) and bool(row["permitted"])


def main() -> None:
    ceiling = Ceiling()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with opened(os.environ["PATCHBAY_DATABASE_URL"]) as ceiling.database:
            yield

    routes = [
        Route("/list", ceiling.list, methods=["POST"]),
        Route("/connection/{id}", ceiling.connection, methods=["POST"]),
        Route("/issue/{id}", ceiling.issue, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False)


if __name__ == "__main__":
    main()
