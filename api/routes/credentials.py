"""Credentials for scripts, and for languages without a GraphQL client: the same use case as `issueCredential`, by plain HTTP.

POST /credentials/{connection id}               {"minimumTtl": 60}, or nothing
GET  /credentials/{connection id}?minimumTtl=60
POST /credentials/{connection id}/rejections    {"generation": 3}
GET  /credentials?folder={id}&connector={key}   the default connection; by POST likewise
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import models
from api.connections.issued import Issued
from api.errors import InvalidInput, NotFound
from api.routes.browser import patchbay_of
from api.routes.programs import Callers, Door, asked

_USUAL_TTL = 60
# What is longer names neither a moment nor a generation.
_LONGEST_NUMBER = 9


def routes(callers: Callers) -> list[BaseRoute]:
    credentials = Credentials(callers)
    return [
        Route("/credentials", Door(credentials.issue_default, "GET", "POST")),
        Route("/credentials/{connection_id}", Door(credentials.issue, "GET", "POST")),
        Route("/credentials/{connection_id}/rejections", Door(credentials.report_rejected, "POST")),
    ]


class Credentials:
    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def issue(self, request: Request) -> Response:
        actor, said = await self._callers.enter(request), Said(await asked(request), "minimumTtl")
        id = _id(request.path_params["connection_id"], "connection")
        return _answer(_told(await patchbay_of(request).issuing.issue(actor, id, said.minimum_ttl())))

    async def issue_default(self, request: Request) -> Response:
        actor, said = await self._callers.enter(request), Said(await asked(request), "folder", "connector", "minimumTtl")
        folder_id = _id(said.text("folder"), "folder")
        issued = await patchbay_of(request).issuing.issue_default(actor, folder_id, said.text("connector"), said.minimum_ttl())
        return _answer(_told(issued))

    async def report_rejected(self, request: Request) -> Response:
        actor, said = await self._callers.enter(request), Said(await asked(request), "generation")
        id = _id(request.path_params["connection_id"], "connection")
        connection = await patchbay_of(request).issuing.report_rejected(actor, id, said.number("generation"))
        return _answer({"connection": _shown(connection)})


class Said:
    """What a request says, by name. Raises InvalidInput for a name that means nothing here."""

    def __init__(self, said: Mapping[str, Any], *names: str) -> None:
        if unknown := said.keys() - set(names):
            raise InvalidInput({name[:64]: "is not known here" for name in sorted(unknown)})
        self._said = said

    def text(self, name: str) -> str:
        """Raises InvalidInput."""
        value = self._said.get(name)
        if not isinstance(value, str) or not value:
            raise InvalidInput({name: "must be a text"})
        return value

    def number(self, name: str, usual: int | None = None) -> int:
        """A whole number, which the query has as a text. Raises InvalidInput."""
        value = self._said.get(name, usual)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 10**_LONGEST_NUMBER:
            raise InvalidInput({name: "must be a whole number"})
        return value

    def minimum_ttl(self) -> timedelta:
        return timedelta(seconds=self.number("minimumTtl", _USUAL_TTL))


def _id(text: str, noun: str) -> UUID:
    """What is no id names nothing. Raises NotFound."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(noun) from None


def _told(issued: Issued) -> dict[str, Any]:
    return {
        "headers": dict(issued.headers),
        "query": dict(issued.query),
        "accessToken": None if issued.access_token is None else issued.access_token.reveal(),
        "tokenType": issued.token_type,
        "baseUrl": issued.base_url,
        "expiresAt": issued.expires_at,
        "generation": issued.generation,
        "connection": _shown(issued.connection),
    }


def _shown(connection: models.Connection) -> dict[str, Any]:
    return {"id": connection.id, "name": connection.name, "status": connection.status}


def _answer(told: dict[str, Any]) -> Response:
    return Response(orjson.dumps(told), headers={"content-type": "application/json", "cache-control": "no-store"})
