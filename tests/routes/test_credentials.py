"""Credentials by plain HTTP: the same use case as the mutations, its failures as problem details."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

import api.routes.programs
import models
from api import graphql, routes
from api.connections.issued import Issued
from api.connections.issuing import Issuing
from api.organization.policy_wishes import PolicyWish
from api.sandbox.provider import Answer
from api.throttling import calls_of_users
from models import AuditOutcome, ConnectionStatus, FolderKind, Permission, PolicyEnforcement
from tests.clock import HeldClock
from tests.connections.test_refreshing import secrets_of
from tests.connections.trouble import Endpoint as ProviderEndpoint
from tests.graphql.endpoint import Endpoint, open_routes
from tests.installation import Installation, installed

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.shows_secrets("credentials are handed out here", "an answer", "access token"),
    pytest.mark.shows_secrets("static ones too", "an answer", "other typed field"),
]

MINUTE = timedelta(minutes=1)
SUSPENDED = PolicyWish("sandbox", allowed=False, enforcement=PolicyEnforcement.SUSPEND)


@pytest.fixture
async def here(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    async with installed(sqlite_url, tmp_path, HeldClock()) as installation:
        yield installation


@pytest.fixture
async def door(here: Installation) -> AsyncIterator[Endpoint]:
    """The doors on a socket, with Ada's token."""
    settings, calls = here.patchbay.settings, calls_of_users(1, lambda: 0.0)
    async with open_routes(here, [*routes.routes(settings, calls), *graphql.routes(settings, calls)]) as endpoint:
        yield endpoint


@pytest.fixture
async def connection(here: Installation) -> models.Connection:
    return await here.connect_by_consent()


async def ask(door: Endpoint, method: str, path: str, *, headers: dict[str, str] | None = None, **sent: Any) -> httpx2.Response:
    authorization = {"authorization": f"Bearer {door.token}"} if headers is None else headers
    return await door.client.request(method, f"{door.origin}{path}", headers=authorization, **sent)


async def issues() -> int:
    return await models.AuditEntry.filter(action="credential.issue", outcome=AuditOutcome.DONE).count()


WAYS: dict[str, dict[str, Any]] = {
    "POST with nothing": {"method": "POST"},
    "POST with an object": {"method": "POST", "json": {"minimumTtl": 60}},
    "POST as curl sends it": {
        "method": "POST",
        "content": '{"minimumTtl": 60}',
        "headers": {"content-type": "application/x-www-form-urlencoded"},
    },
    "GET": {"method": "GET"},
    "GET with a time": {"method": "GET", "params": {"minimumTtl": "60"}},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
async def test_a_credential_is_issued(here: Installation, door: Endpoint, connection: models.Connection, way: dict[str, Any]) -> None:
    token = (await secrets_of(here, connection)).access_token
    assert token is not None
    headers = {"authorization": f"Bearer {door.token}", **way.get("headers", {})}

    answer = await ask(door, path=f"/credentials/{connection.id}", **(way | {"headers": headers}))

    assert (answer.status_code, answer.headers["content-type"], answer.headers["cache-control"]) == (200, "application/json", "no-store")
    assert answer.json() == {
        "headers": {"Authorization": f"Bearer {token.reveal()}"},
        "query": {},
        "accessToken": token.reveal(),
        "tokenType": "Bearer",
        "baseUrl": f"{here.sandbox.issuer}/api",
        "expiresAt": "2026-01-05T12:01:00+00:00",
        "generation": 1,
        "connection": {"id": str(connection.id), "name": "Sandbox", "status": "CONNECTED"},
    }
    assert await issues() == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_default_of_a_folder_is_issued(here: Installation, door: Endpoint, connection: models.Connection, method: str) -> None:
    answer = await ask(door, method, "/credentials", params={"folder": str(here.workspace), "connector": "sandbox", "minimumTtl": "30"})

    assert (answer.status_code, answer.json()["connection"]["id"]) == (200, str(connection.id))


async def test_a_page_of_ours_may_ask_with_its_cookie_and_no_other(door: Endpoint, connection: models.Connection) -> None:
    ours = await ask(door, "GET", f"/credentials/{connection.id}", headers=door.with_cookie | {"sec-fetch-site": "same-origin"})
    foreign = await ask(door, "POST", f"/credentials/{connection.id}", headers=door.with_cookie | {"sec-fetch-site": "cross-site"})

    assert ours.status_code == 200
    assert problem(foreign) == (403, "foreign-page")
    assert await issues() == 1


async def test_a_rejected_credential_is_reported(here: Installation, door: Endpoint, connection: models.Connection) -> None:
    answer = await ask(door, "POST", f"/credentials/{connection.id}/rejections", json={"generation": 1})

    told = {"connection": {"id": str(connection.id), "name": "Sandbox", "status": "CONNECTED"}}
    assert (answer.status_code, answer.json()) == (200, told)
    assert (await models.Credential.get(connection_id=connection.id)).generation == 2


# Problems


def problem(answer: httpx2.Response) -> tuple[int, str]:
    """Its status and the name of its type, where it is a problem as RFC 9457 has them."""
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert {"type", "title", "status", "detail"} <= told.keys()
    assert told["status"] == answer.status_code
    return answer.status_code, told["type"].removeprefix("urn:patchbay:problem:")


async def test_who_is_not_known_is_told_so(door: Endpoint, connection: models.Connection) -> None:
    for headers in ({}, {"authorization": "Bearer nothing"}, {"authorization": "Basic dXNlcjpwYXNz"}):
        answer = await ask(door, "GET", f"/credentials/{connection.id}", headers=headers)

        assert problem(answer) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert await issues() == 0


async def test_what_is_hidden_and_what_never_was_are_one(here: Installation, door: Endpoint) -> None:
    ben = await here.add_person("Ben")
    workspace = await models.Folder.get(owner_id=ben.user_id, kind=FolderKind.PERSONAL)
    connection = await here.patchbay.connecting.connect(ben, here.token_request(folder_id=workspace.id))

    answers = [await ask(door, "GET", f"/credentials/{id}") for id in (connection.id, uuid4(), "nothing")]

    assert {answer.content for answer in answers} == {answers[0].content}
    assert problem(answers[0]) == (404, "not-found")
    assert answers[0].json()["remedy"] == "Check the id, or ask for access to its folder."


async def test_a_permission_that_is_missing_is_named(here: Installation, door: Endpoint) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    connection = await here.connect_with_token(folder_id=folder.id)
    ben = await here.add_person("Ben")
    await models.FolderGrant.create(folder_id=folder.id, user_id=ben.user_id, permissions=int(Permission.VIEW))
    token = (await here.patchbay.people.add_token(ben.user_id, name="laptop")).token.reveal()

    answer = await ask(door, "GET", f"/credentials/{connection.id}", headers={"authorization": f"Bearer {token}"})

    assert problem(answer) == (403, "permission-denied")
    assert answer.json()["permission"] == "USE"


async def test_what_is_switched_off_is_a_conflict_and_what_is_suspended_a_violation(
    here: Installation, door: Endpoint, connection: models.Connection
) -> None:
    await here.patchbay.connections.disable(here.ada, connection.id)
    off = await ask(door, "GET", f"/credentials/{connection.id}")
    await here.patchbay.policies.set(here.ada, SUSPENDED)
    suspended = await ask(door, "GET", f"/credentials/{connection.id}")

    assert off.json() == {
        "type": "urn:patchbay:problem:conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "This connection was switched off by Ada.",
        "remedy": "Whoever has EDIT in its folder can switch it on again, by enableConnection.",
    }
    assert problem(off) == (409, "conflict")
    assert problem(suspended) == (403, "policy-violation")


async def test_a_provider_that_wants_a_pause_says_for_how_long(
    here: Installation, door: Endpoint, connection: models.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = ProviderEndpoint(here.sandbox.issue)
    monkeypatch.setattr(here.sandbox, "issue", endpoint)
    endpoint.says = Answer(429, {"error": "slow_down"}, [("retry-after", "20")])
    here.clock.move(MINUTE)

    answer = await ask(door, "GET", f"/credentials/{connection.id}")

    assert problem(answer) == (502, "provider-failure")
    assert answer.headers["retry-after"] == "20"
    reason = {"code": "RATE_LIMITED", "fixableBy": "NOBODY", "providerError": None}
    assert (answer.json()["reason"], answer.json()["retryable"]) == (reason, True)
    assert (await models.Connection.get(id=connection.id)).status is ConnectionStatus.DEGRADED


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "too long": ({"json": {"minimumTtl": 3601}}, {"minimumTtl": "must be 0 to 3600 seconds"}),
    "a text": ({"json": {"minimumTtl": "soon"}}, {"minimumTtl": "must be a whole number"}),
    "a truth": ({"json": {"minimumTtl": True}}, {"minimumTtl": "must be a whole number"}),
    "a fraction": ({"json": {"minimumTtl": 1.5}}, {"minimumTtl": "must be a whole number"}),
    "nothing": ({"json": {"minimumTtl": None}}, {"minimumTtl": "must be a whole number"}),
    "far too long": ({"json": {"minimumTtl": 10**15}}, {"minimumTtl": "must be a whole number"}),
    "another name": ({"json": {"ttl": 60}}, {"ttl": "is not known here"}),
    "said twice": ({"json": {"minimumTtl": 60}, "params": {"minimumTtl": "60"}}, {"minimumTtl": "is in the query and in the body"}),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
async def test_a_mistake_is_told_by_its_field(
    door: Endpoint, connection: models.Connection, mistake: tuple[dict[str, Any], dict[str, str]]
) -> None:
    sent, fields = mistake

    answer = await ask(door, "POST", f"/credentials/{connection.id}", **sent)

    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["fields"] == [{"field": field, "message": message} for field, message in fields.items()]
    assert await issues() == 0


@pytest.mark.parametrize("body", [b"[]", b"{", b'"text"', b"\xff", b"[" * 5_000])
async def test_a_body_that_is_no_object_is_refused(door: Endpoint, connection: models.Connection, body: bytes) -> None:
    answer = await ask(door, "POST", f"/credentials/{connection.id}", content=body)

    assert problem(answer) == (400, "bad-request")
    assert await issues() == 0


async def test_a_body_that_does_not_come_is_not_waited_for(
    door: Endpoint, connection: models.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.routes.programs, "_READING_SECONDS", 0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(door.origin.rpartition(":")[2]))

    head = f"POST /credentials/{connection.id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.token}\r\nContent-Length: 10\r\n\r\n"
    writer.write(head.encode())
    status = await asyncio.wait_for(reader.readline(), 10)
    writer.close()

    assert status == b"HTTP/1.1 408 Request Timeout\r\n"
    assert await issues() == 0


async def test_a_parameter_that_is_said_twice_is_refused(door: Endpoint, connection: models.Connection) -> None:
    answer = await ask(door, "GET", f"/credentials/{connection.id}?minimumTtl=1&minimumTtl=2")

    assert problem(answer) == (400, "bad-request")


@pytest.mark.parametrize("missing", ["folder", "connector"])
async def test_the_default_of_what_is_not_named_is_no_default(here: Installation, door: Endpoint, missing: str) -> None:
    named = {"folder": str(here.workspace), "connector": "sandbox"}
    del named[missing]

    answer = await ask(door, "GET", "/credentials", params=named)

    assert (problem(answer), answer.json()["fields"]) == ((422, "invalid-input"), [{"field": missing, "message": "must be a text"}])


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_is_refused_and_issues_nothing(door: Endpoint, connection: models.Connection, method: str) -> None:
    answer = await ask(door, method, f"/credentials/{connection.id}")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert await issues() == 0


async def test_who_asks_too_often_waits_at_every_door(door: Endpoint, connection: models.Connection) -> None:
    """One call a second, and ten in one go."""
    for _ in range(5):
        assert (await ask(door, "GET", f"/credentials/{connection.id}")).status_code == 200
        assert (await door.post({"query": "{ viewer { id } }"})).status_code == 200

    by_http, by_graph = await ask(door, "GET", f"/credentials/{connection.id}"), await door.post({"query": "{ viewer { id } }"})

    assert (problem(by_http), by_http.headers["retry-after"]) == ((429, "throttled"), "1")
    assert by_graph.status_code == 429
    assert await issues() == 5


async def test_a_fault_of_ours_is_told_by_an_id_and_shows_no_credential(
    door: Endpoint, connection: models.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    issue = Issuing.issue

    async def broken(*arguments: Any) -> Issued:
        issued = await issue(*arguments)
        raise RuntimeError(f"broke with {dict(issued.headers)}")

    monkeypatch.setattr(Issuing, "issue", broken)

    answer = await ask(door, "GET", f"/credentials/{connection.id}")

    assert problem(answer) == (500, "fault")
    [record] = [record for record in caplog.records if record.message == "request failed"]
    assert answer.json()["detail"] == f"Something went wrong here; mention request {vars(record)['request']}."
    assert vars(record)["errors"][0]["type"] == "builtins.RuntimeError"
    assert "Bearer" not in f"{answer.text}{vars(record)}"
