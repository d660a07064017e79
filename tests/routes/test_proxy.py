"""Calls through Patchbay, over sockets, at a provider of the test's own."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from starlette.types import Receive, Send

import models
from api.outbound.streaming import Patience
from api.routes import relay
from api.secret import Secret
from models import AuditOutcome, AuthenticationType, ConnectionStatus, Permission
from tests.clock import HeldClock
from tests.routes.proxied import Scene, Told, begin, body_of, open_scene, say, saying

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-files"
KEY = "a-key-in-the-query"
MB = 1024 * 1024
# More than the buffers of the sockets in between can hold.
MUCH = 256 * MB


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def scene(sqlite_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[Scene]:
    async with open_scene(sqlite_url, tmp_path, clock) as scene:
        yield scene


@pytest.fixture
async def scene_on_each(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[Scene]:
    """Once on each database."""
    async with open_scene(database_url, tmp_path, clock, PATCHBAY_PROXY_CONCURRENCY="50") as scene:
        yield scene


def assert_ours(answer: httpx2.Response, status: int, name: str) -> None:
    """It is Patchbay that refuses, and says so."""
    assert (answer.status_code, answer.headers["patchbay-error"]) == (status, "true"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:patchbay:problem:{name}"


async def entries() -> list[tuple[str, AuditOutcome, str | None]]:
    found = await models.AuditEntry.filter(action__startswith="credential.").order_by("id")
    return [(entry.action, entry.outcome, entry.detail) for entry in found]


METHODS = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "PROPPATCH", "REPORT", "MKCOL", "MKCALENDAR", "COPY", "MOVE",
    "LOCK", "UNLOCK", "SEARCH", "QUERY", "LINK", "PURGE", "M-SEARCH",
]  # fmt: skip


async def test_any_method_is_passed_on_with_the_credential_put_in(scene: Scene) -> None:
    connection = await scene.connect_by_token()

    for method in METHODS:
        answer = await scene.call(connection, method, "/a%2Fb/%7e?q=%2B+&q", content=b"<x/>", headers={"Content-Type": "text/xml"})
        assert (answer.status_code, answer.headers.get("patchbay-error")) == (200, None)

    assert [told.method for told in scene.files.told] == METHODS
    for told in scene.files.told:
        assert (told.target, told.body) == ("/sandbox/files/v1/a%2Fb/%7e?q=%2B+&q", b"<x/>")
        assert (told.header("x-api-key"), told.header("authorization"), told.header("content-type")) == (TOKEN, None, "text/xml")
        assert (told.header("files-version"), told.header("x-home")) == ("1", "home")


async def test_a_method_that_does_not_come_through_can_be_named(scene: Scene) -> None:
    connection = await scene.connect_by_token()

    answer = await scene.call(connection, "POST", headers={"Patchbay-Method": "REPORT"}, content=b"x")

    assert (answer.status_code, [(told.method, told.body) for told in scene.files.told]) == (200, [("REPORT", b"x")])
    assert scene.files.told[0].header("patchbay-method") is None


async def test_a_method_that_would_show_the_credential_is_not_passed_on(scene: Scene) -> None:
    connection = await scene.connect_by_token()

    traced = await scene.call(connection, "TRACE")
    named = [await scene.call(connection, "POST", headers={"Patchbay-Method": name}) for name in ("TRACE", "CONNECT", "HEAD", "get", "A B")]
    by_get = await scene.call(connection, "GET", headers={"Patchbay-Method": "REPORT"})

    assert_ours(traced, 405, "method-not-allowed")
    assert "TRACE is not passed on" in traced.json()["detail"]
    assert [answer.status_code for answer in [*named, by_get]] == [405, 405, 400, 400, 400, 400]
    assert scene.files.told == []


async def test_a_caller_says_neither_the_credential_nor_who_they_are_to_patchbay(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    headers = {
        "x-api-key": "mine",
        "Cookie": "patchbay-session=x",
        "X-Forwarded-For": "1.2.3.4",
        "Origin": "https://x.example",
        "Files-Version": "2",
    }

    await scene.call(connection, "GET", headers=headers)

    told = scene.files.told[0]
    assert [value for name, value in told.headers if name == "x-api-key"] == [TOKEN]
    # What the connector says by itself, a caller may say otherwise.
    assert told.header("files-version") == "2"
    assert {name for name, _ in told.headers} <= {
        "host", "user-agent", "accept", "accept-encoding", "files-version", "x-home", "x-api-key"
    }  # fmt: skip
    assert scene.token.reveal() not in str(told.headers)


async def test_a_credential_in_the_query_takes_the_place_of_the_callers(scene: Scene) -> None:
    connection = await scene.connect(AuthenticationType.API_KEY, key=KEY)

    await scene.call(connection, "GET", "/a?key=mine&k%65y=mine&b=1")

    assert scene.files.told[0].target == f"/sandbox/files/v1/a?b=1&key={KEY}"


async def test_what_comes_back_runs_nothing_at_our_origin(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    page = b"<script>alert(1)</script>"
    said = [
        ("Content-Type", "text/html"), ("Set-Cookie", "patchbay-session=evil"), ("Access-Control-Allow-Origin", "*"), ("Refresh", "0"),
        ("Content-Security-Policy", "script-src *"), ("Service-Worker-Allowed", "/"), ("Cache-Control", "public, max-age=9"),
        ("Patchbay-Error", "true"), ("X-Accel-Redirect", "/internal"), ("Retry-After", "7"), ("X-RateLimit-Remaining", "0"),
        ("ETag", '"1"'), ("X-Many", "1"), ("X-Many", "2"),
    ]  # fmt: skip
    scene.files.respond = saying(429, page, *said)

    answer = await scene.call(connection, "GET")

    assert (answer.status_code, answer.content) == (429, page)
    assert answer.headers.multi_items().count(("x-many", "1")) == 1
    assert answer.headers.get_list("x-many") == ["1", "2"]
    kept = {name: value for name, value in answer.headers.items() if name not in ("date", "server", "x-many")}
    assert kept == {
        "content-length": str(len(page)),
        "content-type": "text/html",
        "retry-after": "7",
        "x-ratelimit-remaining": "0",
        "etag": '"1"',
        "cache-control": "no-store",
        "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


async def test_a_compressed_answer_comes_as_it_is(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    scene.files.respond = saying(200, gzip.compress(b"there"), ("Content-Encoding", "gzip"))

    answer = await scene.call(connection, "GET", headers={"Accept-Encoding": "gzip"})

    assert (answer.content, answer.headers["content-encoding"]) == (b"there", "gzip")
    assert scene.files.told[0].header("accept-encoding") == "gzip"


async def test_a_redirect_is_an_answer_and_leads_through_here_where_it_stays_below(scene: Scene) -> None:
    connection = await scene.connect(AuthenticationType.API_KEY, key=KEY)
    places = [f"/sandbox/files/v1/b/?key={KEY}&c=1", "/sandbox/other", "https://elsewhere.example/x"]
    base = f"http://127.0.0.1:{scene.here.patchbay.settings.public_url.rpartition(':')[2]}"
    seen = []
    for place in places:
        scene.files.respond = saying(302, b"", ("Location", place))
        seen.append((await scene.call(connection, "GET", "/b")).headers["location"])

    assert seen == [f"/proxy/{connection.id}/b/?c=1", f"{base}/sandbox/other", "https://elsewhere.example/x"]
    assert len(scene.files.told) == 3


async def test_a_header_that_repeats_the_credential_does_not_show_it(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    scene.files.respond = saying(200, b"", ("X-Seen", f"key={TOKEN};"), ("Link", f"<https://x.example/?k={TOKEN}>; rel=next"))

    answer = await scene.call(connection, "GET")

    assert answer.headers["x-seen"] == "key=***;"
    assert TOKEN not in str(answer.headers)


PATHS = ["/../x", "/%2e%2e/x", "/a/..%2f..%2fx", "/..%5cx", "/%252e%252e/x", "/..;/x", "/%c0%ae%c0%ae/x", "/.", "/a/%2e/b"]


async def test_no_path_leads_above_the_base_url(scene: Scene) -> None:
    connection = await scene.connect_by_token()

    assert {await scene.status_of(f"/proxy/{connection.id}{path}") for path in PATHS} == {422}
    assert scene.files.told == []
    assert [entry[:2] for entry in await entries()] == [("credential.proxy", AuditOutcome.FAILED)] * len(PATHS)


async def test_no_path_chooses_the_host(scene: Scene) -> None:
    connection = await scene.connect_by_token()

    for path in ("//evil.example/x", "/@evil.example", "", "?a=1", "/http://evil.example/"):
        assert await scene.status_of(f"/proxy/{connection.id}{path}") == 200
    # A whole URL as the target is taken for its path alone.
    assert await scene.status_of(f"http://evil.example/proxy/{connection.id}/b") == 200

    paths = ["//evil.example/x", "/@evil.example", "", "?a=1", "/http://evil.example/", "/b"]
    assert [told.target for told in scene.files.told] == [f"/sandbox/files/v1{path}" for path in paths]
    assert {told.header("host") for told in scene.files.told} == {scene.here.patchbay.settings.public_url.removeprefix("http://")}


async def test_what_does_not_begin_with_an_id_is_no_connection(scene: Scene) -> None:
    id = (await scene.connect_by_token()).id

    places = ["everything", f"{id}@evil.example", f"{id}.evil.example/x", f"{id}0/x", f"{id}:443/x", f"{id}%2fx", f"%20{id}/x", uuid4()]

    assert {await scene.status_of(f"/proxy/{place}") for place in places} == {404}
    assert scene.files.told == []


async def test_a_host_inside_our_network_is_not_called(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await scene.connect(AuthenticationType.API_KEY, connector="inside", key=KEY)
    asked: list[str] = []

    async def lookup(host: str) -> list[str]:
        asked.append(host)
        return ["10.0.0.7"]

    monkeypatch.setattr(scene.here.patchbay.proxying._client.guard, "_lookup", lookup)
    answer = await scene.call(connection, "GET")

    assert_ours(answer, 502, "provider-unreachable")
    assert "is not called: its address is not public" in answer.json()["detail"]
    assert asked == ["inside.example"]


async def test_bodies_stream_both_ways_at_once(scene: Scene) -> None:
    connection = await scene.connect_by_token()

    async def echo(_: Told, receive: Receive, send: Send) -> None:
        await begin(send, 200)
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message.get("body", b"").upper(), "more_body": more})

    scene.files.respond = echo
    head = f"POST /proxy/{connection.id}/a HTTP/1.1\r\nTransfer-Encoding: chunked"
    async with scene.raw(head) as (reader, writer):
        for word in (b"one", b"two"):
            writer.write(b"3\r\n" + word + b"\r\n")
            # Each word is back before the next one is said.
            await reader.readuntil(word.upper())
        writer.write(b"0\r\n\r\n")
        await reader.readuntil(b"0\r\n\r\n")


async def test_an_upload_that_nobody_takes_is_not_taken_from_the_caller(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    go_on, asked = asyncio.Event(), asyncio.Event()

    async def wait(told: Told, receive: Receive, send: Send) -> None:
        asked.set()
        await go_on.wait()
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        await say(send, 200, str(size).encode())

    scene.files.respond = wait
    written, stuck = 0, asyncio.Event()

    async def upload(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        while written < MUCH:
            writer.write(bytes(MB))
            pending = asyncio.get_running_loop().call_later(1, stuck.set)
            await writer.drain()
            pending.cancel()
            written += MB

    head = f"PUT /proxy/{connection.id}/a HTTP/1.1\r\nContent-Length: {MUCH}"
    async with scene.raw(head) as (reader, writer), asyncio.TaskGroup() as tasks:
        tasks.create_task(upload(writer))
        await asyncio.wait_for(asked.wait(), 15)
        await asyncio.wait_for(stuck.wait(), 15)
        # The rest stands in buffers of the system: three sockets' worth, and no more.
        assert written < MUCH // 2
        go_on.set()
        await reader.readuntil(str(MUCH).encode())


async def test_an_answer_that_the_caller_does_not_take_is_not_taken_from_the_provider(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    poured, stuck = [0], asyncio.Event()

    async def pour(_: Told, receive: Receive, send: Send) -> None:
        await body_of(receive)
        await begin(send, 200, ("Content-Length", str(MUCH)))
        while poured[0] < MUCH:
            pending = asyncio.get_running_loop().call_later(1, stuck.set)
            await send({"type": "http.response.body", "body": bytes(MB), "more_body": poured[0] + MB < MUCH})
            pending.cancel()
            poured[0] += MB

    scene.files.respond = pour
    async with scene.raw(f"GET /proxy/{connection.id}/a HTTP/1.1\r\nConnection: close") as (reader, _):
        await asyncio.wait_for(stuck.wait(), 15)
        assert poured[0] < MUCH // 2
        received = len((await reader.readuntil(b"\r\n\r\n"))[:0])
        while piece := await reader.read(MB):
            received += len(piece)
        assert received == MUCH


async def test_a_caller_who_leaves_ends_the_call_at_the_provider(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    asked = asyncio.Event()

    async def wait(_: Told, receive: Receive, send: Send) -> None:
        await body_of(receive)
        if scene.files.told[-1].target.endswith("/begun"):
            await begin(send, 200)
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        scene.files.left.set()

    scene.files.respond = wait
    for path in ("waited", "begun"):
        async with scene.raw(f"GET /proxy/{connection.id}/{path} HTTP/1.1"):
            await asyncio.wait_for(asked.wait(), 15)
        await asyncio.wait_for(scene.files.left.wait(), 15)
        asked.clear()
        scene.files.left.clear()


async def test_who_may_not_call_is_not_asked_for_the_body(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    rest = "HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close"

    async with scene.raw(f"PUT /proxy/{uuid4()}/a {rest}") as (reader, _):
        refused = await reader.read()
    async with scene.raw(f"PUT /proxy/{connection.id}/a {rest}") as (reader, writer):
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"four")
        answered = await reader.read()

    assert refused.startswith(b"HTTP/1.1 404 ")
    assert (asked, answered.split(b" ")[1]) == (b"HTTP/1.1 100 Continue\r\n\r\n", b"200")
    assert [told.body for told in scene.files.told] == [b"four"]


async def test_a_head_says_how_long_the_body_would_be(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    scene.files.respond = saying(200, b"there")

    answer = await scene.call(connection, "HEAD")

    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "5")


@pytest.mark.parametrize("length", [1_000, 1_000_000])
async def test_a_caller_who_sends_no_more_is_told_so(scene: Scene, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    connection = await scene.connect_by_token()
    monkeypatch.setattr(relay, "_STILL_SECONDS", 0.3)

    async with scene.raw(f"PUT /proxy/{connection.id}/a HTTP/1.1\r\nContent-Length: {length}", b"a part") as (reader, _):
        answer = await reader.readuntil(b"}")

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"patchbay-error: true" in answer
    # One that is little goes out as a whole or not at all.
    assert len(scene.files.told) == (0 if length == 1_000 else 1)


async def test_a_caller_who_takes_no_more_is_left_and_so_is_the_provider(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await scene.connect_by_token()
    monkeypatch.setattr(relay, "_STILL_SECONDS", 0.3)

    async def pour(_: Told, receive: Receive, send: Send) -> None:
        await body_of(receive)
        await begin(send, 200)
        while True:
            pouring = asyncio.ensure_future(send({"type": "http.response.body", "body": bytes(MB), "more_body": True}))
            leaving = asyncio.ensure_future(receive())
            await asyncio.wait([pouring, leaving], return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                pouring.cancel()
                break
            leaving.cancel()
        scene.files.left.set()

    scene.files.respond = pour
    async with scene.raw(f"GET /proxy/{connection.id}/a HTTP/1.1"):
        await asyncio.wait_for(scene.files.left.wait(), 15)


@pytest.mark.parametrize("has_length", [True, False])
async def test_an_answer_that_breaks_off_breaks_off_for_the_caller(scene: Scene, has_length: bool) -> None:
    connection = await scene.connect_by_token()

    async def break_off(_: Told, receive: Receive, send: Send) -> None:
        await body_of(receive)
        await begin(send, 200, *([("Content-Length", "100")] if has_length else []))
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    scene.files.respond = break_off

    with pytest.raises(httpx2.TransportError):
        await scene.call(connection, "GET")


async def test_a_provider_that_gives_no_answer_is_told_as_our_own_error(scene: Scene) -> None:
    connection = await scene.connect_by_token()

    async def hang_up(_: Told, __: Receive, send: Send) -> None:
        await begin(send, 101, ("Upgrade", "websocket"), ("Connection", "upgrade"))

    scene.files.respond = hang_up
    broken = await scene.call(connection, "POST")
    scene.here.patchbay.proxying._client._patience = Patience(head=timedelta(milliseconds=200))
    scene.files.respond = hang

    assert_ours(broken, 502, "provider-unreachable")
    assert broken.json()["mayHaveArrived"] is True
    assert_ours(await scene.call(connection, "GET"), 504, "provider-timeout")


async def hang(_: Told, receive: Receive, __: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def renewals(connection: models.Connection) -> int:
    return (await models.Credential.get(connection_id=connection.id)).generation - 1


async def access_token(scene: Scene, connection: models.Connection) -> str:
    subject = await scene.here.patchbay.proxying._subjects.get(connection.id)
    assert subject.secrets.access_token is not None
    return subject.secrets.access_token.reveal()


async def test_fifty_calls_that_are_rejected_at_once_renew_the_credential_once(scene_on_each: Scene) -> None:
    scene = scene_on_each
    connection = await scene.connect_renewably()
    scene.files.rejected.add(await access_token(scene, connection))

    answers = await asyncio.gather(*(scene.call(connection, "PROPFIND", content=b"<x/>") for _ in range(50)))

    assert {answer.status_code for answer in answers} == {200}
    assert await renewals(connection) == 1
    assert {answer.json()["bytes"] for answer in answers} == {4}
    assert (await models.Connection.get(id=connection.id)).status is ConnectionStatus.CONNECTED
    assert await entries() == [("credential.proxy", AuditOutcome.DONE, "PROPFIND 127.0.0.1")] * 50


async def test_a_call_that_may_do_harm_twice_is_not_made_twice_unless_the_caller_says_so(scene: Scene) -> None:
    connection = await scene.connect_renewably()

    scene.files.rejected.add(await access_token(scene, connection))
    passed_on = await scene.call(connection, "POST", content=b"x")
    # It was renewed all the same, for the next call.
    renewed = await renewals(connection)
    next_one = await scene.call(connection, "POST", content=b"x")
    other = await scene.connect_renewably()
    scene.files.rejected.add(await access_token(scene, other))
    wanted = await scene.call(other, "POST", content=b"x", headers={"Patchbay-Retry": "yes"})

    assert (passed_on.status_code, passed_on.json(), renewed) == (401, {"error": "invalid_token"}, 1)
    assert "patchbay-error" not in passed_on.headers
    assert (next_one.status_code, wanted.status_code) == (200, 200)
    assert [told.body for told in scene.files.told] == [b"x"] * 4


async def test_a_body_that_comes_piece_by_piece_is_sent_twice_where_it_is_little(scene: Scene) -> None:

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(300_000)

    seen = []
    for count in (3, 5):
        connection = await scene.connect_renewably()
        scene.files.rejected.add(await access_token(scene, connection))
        answer = await scene.call(connection, "PUT", content=pieces(count))
        seen.append((answer.status_code, await renewals(connection)))

    assert seen == [(200, 1), (401, 1)]
    assert [len(told.body) for told in scene.files.told] == [900_000, 900_000, 1_500_000]


async def test_a_credential_that_cannot_be_renewed_is_proven_once_and_the_answer_passed_on(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    scene.files.respond = saying(401, b"no")

    answers = await asyncio.gather(*(scene.call(connection, "GET") for _ in range(5)))

    assert {(answer.status_code, answer.content) for answer in answers} == {(401, b"no")}
    assert len(scene.files.told) == 5
    # The provider's own proof says that the credential is good: what it refuses is the call.
    assert (await models.Connection.get(id=connection.id)).status is ConnectionStatus.CONNECTED


async def test_a_token_that_has_ended_is_renewed_before_the_call(scene: Scene) -> None:
    connection = await scene.connect_renewably()
    scene.here.clock.move(timedelta(hours=2))

    answers = await asyncio.gather(*(scene.call(connection, "POST") for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert (await renewals(connection), len(scene.files.told)) == (1, 20)


async def test_a_call_is_noted_as_a_use(scene_on_each: Scene) -> None:
    scene = scene_on_each
    connection = await scene.connect_by_token()

    await scene.call(connection, "GET", f"/secret/{KEY}?q={KEY}")

    assert (await models.Connection.get(id=connection.id)).last_used_at == scene.here.clock.now
    assert await entries() == [("credential.proxy", AuditOutcome.DONE, "GET 127.0.0.1")]
    entry = await models.AuditEntry.get(action="credential.proxy")
    assert (entry.subject_id, entry.subject_name, entry.actor_id) == (str(connection.id), connection.name, scene.here.ada.user_id)


async def test_it_takes_use_and_who_does_not_see_a_connection_learns_nothing(scene_on_each: Scene) -> None:
    scene = scene_on_each
    shared = await scene.here.patchbay.folders.create(scene.here.ada, name="Sales", parent_id=None)
    given = {"folder_id": shared.id, "connector_key": "files", "fields": {"token": Secret(TOKEN)}}
    connection = await scene.here.connect_with_token(**given)
    ben = await scene.here.add_person("Ben")
    scene.token = (await scene.here.patchbay.people.add_token(ben.user_id, name="Ben's")).token

    hidden, missing = await scene.call(connection, "GET"), await scene.call(models.Connection(id=uuid4()), "GET")
    await scene.here.patchbay.folders.set_access(scene.here.ada, shared.id, user_id=ben.user_id, permissions=Permission.VIEW)
    seen = await scene.call(connection, "GET")
    await scene.here.patchbay.folders.set_access(
        scene.here.ada, shared.id, user_id=ben.user_id, permissions=Permission.VIEW | Permission.USE
    )
    used = await scene.call(connection, "GET")

    assert_ours(hidden, 404, "not-found")
    assert hidden.json() == missing.json()
    assert_ours(seen, 403, "permission-denied")
    assert (used.status_code, len(scene.files.told)) == (200, 1)
    assert [outcome for _, outcome, _ in await entries()] == [AuditOutcome.REFUSED] * 3 + [AuditOutcome.DONE]


async def test_a_connection_that_is_switched_off_is_not_called(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    await scene.here.patchbay.connections.disable(scene.here.ada, connection.id)

    assert_ours(await scene.call(connection, "GET"), 409, "conflict")
    assert scene.files.told == []


async def test_a_login_by_another_protocol_is_not_called(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    await models.Connection.filter(id=connection.id).update(authentication_type=AuthenticationType.CUSTOM, option_key="custom")

    answer = await scene.call(connection, "GET")

    assert_ours(answer, 409, "conflict")
    assert "by another protocol than HTTP" in answer.json()["detail"]
    assert scene.files.told == []


async def test_a_call_to_aws_is_signed_here_and_so_sent_as_a_whole(scene: Scene) -> None:
    connection = await scene.connect(
        AuthenticationType.AWS_ACCESS_KEY, access_key_id="AKIAEXAMPLE", secret_access_key="a-secret-access-key"
    )

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield bytes(MB)

    signed = await scene.call(connection, "POST", "/a?b=1", content=b"x", headers={"X-Amz-Target": "List"})
    too_large = [await scene.call(connection, "PUT", content=body) for body in (pieces(), bytes(9 * MB))]

    told = scene.files.told[0]
    assert (signed.status_code, told.body, told.target) == (200, b"x", "/sandbox/files/v1/a?b=1")
    authorization = told.header("authorization") or ""
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")
    assert "x-amz-target" in authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    for answer in too_large:
        assert_ours(answer, 413, "too-large")
        assert "in parts" in answer.json()["remedy"]
    assert len(scene.files.told) == 1


async def test_a_connection_gets_so_many_calls_at_once_and_no_more(sqlite_url: str, tmp_path: Path, clock: HeldClock) -> None:
    async with open_scene(sqlite_url, tmp_path, clock, PATCHBAY_PROXY_CONCURRENCY="2") as scene:
        connection, other = await scene.connect_by_token(), await scene.connect_by_token("another-token")
        go_on, begun = asyncio.Event(), asyncio.Semaphore(0)

        async def wait(told: Told, receive: Receive, send: Send) -> None:
            told.body = await body_of(receive)
            begun.release()
            await go_on.wait()
            await say(send, 200)

        scene.files.respond = wait
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(scene.call(connection, "GET")) for _ in range(2)]
            for _ in calls:
                await asyncio.wait_for(begun.acquire(), 15)
            refused = await scene.call(connection, "GET")
            calls.append(tasks.create_task(scene.call(other, "GET")))
            await asyncio.wait_for(begun.acquire(), 15)
            go_on.set()
        again = await scene.call(connection, "GET")

    assert_ours(refused, 429, "throttled")
    assert refused.headers["retry-after"] == "1"
    assert [call.result().status_code for call in calls] == [200] * 3
    assert again.status_code == 200


async def test_a_connection_gets_so_many_calls_a_second_and_what_is_too_much_is_no_entry(
    sqlite_url: str, tmp_path: Path, clock: HeldClock
) -> None:
    async with open_scene(sqlite_url, tmp_path, clock, PATCHBAY_PROXY_RATE="1") as scene:
        connection = await scene.connect_by_token()
        answers = [await scene.call(connection, "GET") for _ in range(12)]

        assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
        assert_ours(answers[-1], 429, "throttled")
        assert answers[-1].headers["retry-after"] == "1"
        assert len(await entries()) == len(scene.files.told) == 10


async def test_who_is_nobody_gets_nothing(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    url = f"{scene.url}/proxy/{connection.id}/a"

    without = await scene.client.get(url)
    wrong = await scene.client.get(url, headers={"Authorization": "Bearer wrong"})

    for answer in (without, wrong):
        assert_ours(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert scene.files.told == []


async def test_a_browser_calls_only_for_pages_of_ours_and_is_not_asked_for_passwords(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    people = scene.here.patchbay.people
    session = await people.sign_in_with_link(await people.new_sign_in_link(scene.here.ada.user_id))
    assert session is not None
    cookie = {"Cookie": f"patchbay-session={session.reveal()}"}
    scene.files.respond = saying(403, b"", ("WWW-Authenticate", "Basic"))
    url = f"{scene.url}/proxy/{connection.id}/a"

    foreign = [await scene.client.get(url, headers=cookie | {"Sec-Fetch-Site": site}) for site in ("cross-site", "same-site", "none")]
    ours = await scene.client.get(url, headers=cookie | {"Sec-Fetch-Site": "same-origin"})
    by_token = await scene.call(connection, "GET")

    for answer in foreign:
        assert_ours(answer, 403, "foreign-page")
    assert (ours.status_code, "www-authenticate" in ours.headers, by_token.headers["www-authenticate"]) == (403, False, "Basic")
    assert all(told.header("cookie") is None for told in scene.files.told)
    assert len(scene.files.told) == 2


async def test_a_socket_is_refused_with_a_reason(scene: Scene) -> None:
    connection = await scene.connect_by_token()
    head = (
        f"GET /proxy/{connection.id}/a?canary HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    )

    async with scene.raw(head) as (reader, _):
        answer = await reader.readuntil(b"}")

    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"WebSockets are not passed on" in answer
    assert scene.files.told == []


async def test_a_call_is_logged_without_its_path_its_query_or_its_headers(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    connection = await scene.connect_by_token()

    with caplog.at_level(logging.INFO, logger="api"):
        await scene.call(connection, "PUT", f"/{KEY}?{KEY}", content=b"four", headers={"X-Own": KEY})
        await scene.status_of(f"/proxy/{connection.id}/../{KEY}")

    logged = [record for record in caplog.records if record.message == "call proxied"]
    shown = [[getattr(record, name) for name in ("method", "connection", "status", "bytes_up", "outcome")] for record in logged]
    assert shown == [["PUT", str(connection.id), 200, 4, "answered"], ["GET", str(connection.id), 422, 0, "answered"]]
    assert KEY not in str([record.__dict__ for record in caplog.records if record.name.startswith("api")])


async def test_a_fault_of_ours_is_told_by_its_id_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await scene.connect_by_token()
    monkeypatch.setattr(scene.here.patchbay.proxying, "_client", None)

    answer = await scene.call(connection, "GET")

    assert_ours(answer, 500, "fault")
    assert answer.json().keys() == {"type", "title", "status", "detail", "requestId"}
