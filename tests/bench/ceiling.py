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

from tests.bench.by_hand import AUDIT, CHECKED, ISSUED, LIST, NOTE_USE, Database, Row, opened

_USE, _VIEW = 2, 1
_CONNECTORS = {"measured": "Measured"}

_database: Database
_open: Callable[[bytes, str, str], dict[str, Any]] | None = None


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


def _answer(field: str, value: Any) -> Response:
    return Response(orjson.dumps({"data": {field: value}}), media_type="application/json")


async def _list(_: Request) -> Response:
    found = await _database.rows(LIST, _database.workspace)
    nodes = [_node(row) for row in found[:50]]
    return _answer("connections", {"nodes": nodes, "pageInfo": {"hasNextPage": len(found) > 50}})


async def _connection(request: Request) -> Response:
    public_id, secret = _token(request)
    found = await _database.rows(CHECKED, public_id, request.path_params["id"], _database.now(), _VIEW)
    return _answer("connection", _node(found[0])) if found and _is_permitted(found[0], secret) else Response(status_code=403)


async def _issue(request: Request) -> Response:
    public_id, secret = _token(request)
    assert request.client is not None
    async with _database.transaction() as session:
        now = _database.now()
        found = await session.rows(ISSUED, public_id, request.path_params["id"], now, _USE)
        if not found or not _is_permitted(found[0], secret):
            return Response(status_code=403)
        row = found[0]
        if row["status"] == "DISABLED" or row["is_over"]:
            return Response(status_code=409)
        opened = await _secrets(bytes(row["secrets"]), row["credential_id"], row["folder_id"])
        if row["is_unused"]:
            await session.rows(NOTE_USE, row[0], now)
        detail = f"generation {row['generation']}"
        who = (row["user_id"], row["user_name"], request.client.host, row["token_id"])
        await session.rows(AUDIT, now, *who, row[0], row[1], row["folder_id"], detail)
    return _answer("issueCredential", _credential(row, opened))


def _credential(row: Row, opened: dict[str, Any]) -> dict[str, Any]:
    return {
        "__typename": "IssueCredentialSuccess",
        "credential": {
            "headers": [{"name": "Authorization", "value": f"Bearer {opened['fields']['token']}"}],
            "accessToken": opened["access_token"],
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


def _is_permitted(row: Row, secret: bytes) -> bool:
    return hmac.compare_digest(bytes(row["secret_hash"]), secret) and bool(row["permitted"])


async def _secrets(sealed: bytes, row: str, folder: str) -> dict[str, Any]:
    global _open
    if _open is None:
        # Not at the top: the vault is for this alone, and takes its time to import.
        from tests.bench.by_hand import opener

        _open = await opener(os.environ)
    return _open(sealed, row, folder)


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    global _database
    async with opened(os.environ["PATCHBAY_DATABASE_URL"]) as _database:
        yield


def main() -> None:
    routes = [
        Route("/list", _list, methods=["POST"]),
        Route("/connection/{id}", _connection, methods=["POST"]),
        Route("/issue/{id}", _issue, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=_lifespan)
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False)


if __name__ == "__main__":
    main()
