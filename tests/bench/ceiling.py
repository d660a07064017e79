"""The ceiling: the same answers by hand, with nothing between the database and the JSON but Starlette. One process, as Patchbay is.

usage: python -m tests.bench.ceiling PORT, with PATCHBAY_DATABASE_URL and PATCHBAY_KEYS in its environment. `/list` checks nothing;
`/connection/{id}`, `/issue/{id}` and `/rename` ask the database what Patchbay asks it too, all of it in one statement: whether the token is
one and good (an unlimited one), and whether its owner may do this in the folder. What is issued is in the audit log before it is handed
out; a new name is saved with its entry there and its event, in one transaction. SQLite is asked in the event loop, which is faster than
any way around it as long as nobody else writes.
"""

import hashlib
import hmac
import os
import sys
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.by_hand import (
    AUDIT,
    CHECKED,
    CONNECTORS,
    EVENT,
    HELD,
    ISSUED,
    LIST,
    NOTE_USE,
    RENAME,
    Database,
    Row,
    opened,
    opener,
)

# As the database has them.
_VIEW, _USE, _EDIT = 1, 2, 8
_LONGEST_NAME = 120


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
            who = _who(row, request)
            await session.rows(AUDIT, now, *who, "credential.issue", row[0], row[1], row["folder_id"], f"generation {row['generation']}")
        return _answer("issueCredential", _issued(row, secrets))

    async def rename(self, request: Request) -> Response:
        public_id, digest = _token(request)
        asked = orjson.loads(await request.body())
        name, key = _folded(asked["name"])
        if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
            return Response(status_code=400)
        async with self.database.transaction() as session:
            now = self.database.now()
            found = await session.rows(HELD, public_id, asked["id"], now, _EDIT)
            if not found or not _is_permitted(found[0], digest):
                return Response(status_code=403)
            row = found[0]
            if row[1] != name:
                await session.rows(RENAME, row[0], name, key, now)
                told = (row[0], name, row["connector_key"], row["folder_id"], row["status"], row["reason_json"])
                await session.rows(EVENT, *told, row["user_id"], now)
            await session.rows(AUDIT, now, *_who(row, request), "connection.rename", row[0], name, row["folder_id"], f"was {row[1]}")
            await session.notify()
        connection = {"id": row[0], "name": name, "status": row["status"]}
        return _answer("renameConnection", {"__typename": "ConnectionSuccess", "connection": connection})

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
        "connector": {"key": row[12], "name": CONNECTORS[row[12]]},
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


def _who(row: Row, request: Request) -> tuple[str, str, str, str]:
    assert request.client is not None
    return row["user_id"], row["user_name"], request.client.host, row["token_id"]


def _folded(name: str) -> tuple[str, str]:
    """A name as it is kept, and as it is compared."""
    kept = unicodedata.normalize("NFC", name.strip())
    return kept, unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", kept).casefold())


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
        Route("/rename", ceiling.rename, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False, proxy_headers=False)


if __name__ == "__main__":
    main()
