"""Attacks upon the GraphQL endpoint and the transports beneath it."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.types import Message
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

import models
from api.entrance import Entrance
from api.events.order import EventPosition
from api.events.selection import EventSelection
from api.graphql import view
from api.graphql.schema import schema
from api.graphql.turnstile import MESSAGES, STRANGERS_PER_ADDRESS, STREAMS_PER_CALLER
from api.graphql.view import GraphQLView
from api.logs import EventFormatter
from api.settings import Settings
from api.throttling import calls_of_users
from tests.clock import HeldClock
from tests.events.test_feed import commit
from tests.graphql.asking import Graph
from tests.graphql.endpoint import Endpoint, close_code, hear, open_endpoint, say
from tests.graphql.tiny import Endless, begin, ran, tiny
from tests.installation import installed
from tests.routes.site import Site, open_site

pytestmark = pytest.mark.anyio

FRAMES = 500
NAMES = 400
ACT = "mutation { act }"


@pytest.fixture
async def graph(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Graph]:
    async with installed(sqlite_url, tmp_path, HeldClock()) as installation:
        yield Graph(installation, installation.ada)


@pytest.fixture
async def graph_on_both(database_url: str, tmp_path: Path) -> AsyncIterator[Graph]:
    async with installed(database_url, tmp_path, HeldClock()) as installation:
        yield Graph(installation, installation.ada)


@pytest.fixture
async def endpoint(graph: Graph) -> AsyncIterator[Endpoint]:
    """A schema that tells what ran."""
    begin()
    async with open_endpoint(graph.here, tiny) as endpoint:
        yield endpoint


@pytest.fixture
async def real_endpoint(graph: Graph) -> AsyncIterator[Endpoint]:
    async with open_endpoint(graph.here, schema) as endpoint:
        yield endpoint


@pytest.fixture
async def site(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(sqlite_url, tmp_path, "https://patchbay.example") as site:
        yield site


def subscribe(query: str, id: str = "1") -> dict[str, Any]:
    return {"id": id, "type": "subscribe", "payload": {"query": query}}


# A35


def chain(length: int, width: int, *, closed: bool = False) -> str:
    spreads = [f"fragment F{number} on User {{ {f'...F{number + 1} ' * width}}}" for number in range(length)]
    return " ".join(["{ viewer { ...F0 } }", *spreads, f"fragment F{length} on User {{ {'...F0' if closed else 'id'} }}"])


OVERLOADS: dict[str, str] = {
    "depth": "{ viewer { " + "workspace { parent { " * 8 + "id" + " } }" * 8 + " } }",
    "nesting": "{ viewer { " + "workspace { parent { " * 60 + "id" + " } }" * 60 + " } }",
    "deep brackets": "{ a " * 1_900,
    "fields": "{ viewer { " + "id " * 501 + "} }",
    "aliases": "{ " + " ".join(f"a{number}: __typename" for number in range(101)) + " }",
    "directives": "{ viewer { id " + "@skip(if: false) " * 21 + "} }",
    "unknown directives": "{ viewer { id " + "@aa" * 10 + " } }",
    "definitions": " ".join(f"query Q{number} {{ viewer {{ id }} }}" for number in range(21)),
    "tokens": "{ viewer { " + "id " * 2_100 + "} }",
    "cost": "{ folders(first: 100) { nodes { connections(first: 100) { nodes { events(first: 100) { nodes { at } } } } } } }",
    "page": "{ connections(first: 101) { nodes { id } } }",
    "negative page": "{ connections(first: -1) { nodes { id } } }",
    "introspection loop": "{ __schema { types { " + "fields { type { " * 4 + "name" + " } }" * 4 + " } } }",
    "fragment cycle": "{ viewer { ...A } } fragment A on User { ...B } fragment B on User { ...A }",
    "fragment to itself": "{ viewer { ...A } } fragment A on User { id ...A }",
}
OVERLOADS |= {f"chain {length} × {width}": chain(length, width) for length, width in product((12, 18, 50, 200), (2, 4, 8))}
OVERLOADS |= {f"closed chain {length} × {width}": chain(length, width, closed=True) for length, width in product((2, 18, 200), (2, 8))}


async def test_a35_what_asks_for_too_much_is_refused_before_anything_runs(real_endpoint: Endpoint) -> None:
    for name, query in OVERLOADS.items():
        answer = await real_endpoint.ask(query)

        codes = {error["extensions"]["code"] for error in answer["errors"]}
        assert codes <= {"LIMIT_EXCEEDED", "INVALID_DOCUMENT", "BAD_REQUEST", "BAD_USER_INPUT"}, name
        assert len(answer["errors"]) <= 3, name
        assert not answer.get("data"), name


async def test_a35_bodies_are_bounded_in_bytes_depth_and_lists(endpoint: Endpoint) -> None:
    hello = b'{"query": "{ hello }", "variables": {"a": %s}}'
    bodies = {
        b"[" + b",".join([b'{"query": "{ hello }"}'] * 10) + b"]": (400, "BAD_REQUEST"),
        hello % (b"[" * 33 + b"]" * 33): (400, "BAD_REQUEST"),
        hello % (b"9" * 5_000): (400, "BAD_REQUEST"),
        hello % (b"[" + b"1," * 1_000 + b"1]"): (400, "LIMIT_EXCEEDED"),
        hello % (b'"' + b"a" * 100_000 + b'"'): (413, "BAD_REQUEST"),
    }
    for body, expected in bodies.items():
        answer = await endpoint.post(body=body)

        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == expected
    assert ran == []


async def test_a35_what_takes_too_long_is_stopped(endpoint: Endpoint) -> None:
    answer = await endpoint.ask("{ slow }")

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["TIMEOUT"]


async def test_a35_a_user_who_asks_too_often_waits_and_others_do_not(graph: Graph) -> None:
    begin()
    ben = await graph.here.add_person("Ben")
    token = await graph.here.patchbay.people.add_token(ben.user_id, name="laptop")
    async with open_endpoint(graph.here, tiny, calls=calls_of_users(0.5, lambda: 0.0)) as endpoint:
        statuses = [(await endpoint.post({"query": "{ hello }"})).status_code for _ in range(7)]
        refused = await endpoint.post({"query": "{ hello }"}, headers=endpoint.with_cookie | {"sec-fetch-site": "same-origin"})
        other = await endpoint.post({"query": "{ hello }"}, headers={"authorization": f"Bearer {token.token.reveal()}"})
        async with endpoint.initiated() as opened:
            await say(opened, subscribe("{ hello }"))
            by_socket = await hear(opened)

    assert statuses == [200] * 5 + [429] * 2
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert refused.json()["errors"][0]["extensions"] == {"code": "THROTTLED"}
    assert (by_socket["type"], by_socket["payload"][0]["extensions"]) == ("error", {"code": "THROTTLED"})
    assert (other.status_code, len(ran)) == (200, 6)


# A36

KINDS = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "text/plain; application/json",
    "application/graphql",
    "",
]
PAGES: list[dict[str, str]] = [
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"sec-fetch-site": "same-site"},
    {},
]


async def test_a36_nothing_that_another_site_makes_a_browser_send_is_executed(endpoint: Endpoint) -> None:
    body = json.dumps({"query": ACT}).encode()
    attempts = [
        *(("POST", "", {"content-type": kind} | page) for kind, page in product([*KINDS, "application/json"], PAGES)),
        *(("GET", "?query=mutation{act}", page) for page in PAGES),
    ]
    assert len(attempts) == 40
    for method, query, headers in attempts:
        answer = await endpoint.client.request(
            method, endpoint.url + query, content=body if method == "POST" else None, headers=endpoint.with_cookie | headers
        )

        assert answer.status_code in (403, 405, 415), (method, headers)
    assert ran == []


# A37


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1.evil.example"])
async def test_a37_a_foreign_page_gets_no_socket(endpoint: Endpoint, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with endpoint.socket(origin=origin, headers=endpoint.with_cookie):
            pass

    assert refused.value.response.status_code == 403


async def test_a37_a_cookie_without_an_origin_is_nobody(endpoint: Endpoint) -> None:
    async with endpoint.socket(headers=endpoint.with_cookie) as opened:
        await say(opened, {"type": "connection_init"})

        assert await close_code(opened) == 4403


@pytest.mark.parametrize("protocol", [None, "graphql-ws"])
async def test_a37_only_the_current_protocol_is_spoken(endpoint: Endpoint, protocol: str | None) -> None:
    async with endpoint.socket(protocol=protocol) as opened:
        assert await close_code(opened) == 4406


async def test_a37_who_says_nothing_is_not_waited_for(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    assert view._INIT_WITHIN.total_seconds() == 5
    monkeypatch.setattr(view, "_INIT_WITHIN", view._INIT_WITHIN / 50)
    async with open_endpoint(graph.here, tiny) as endpoint, endpoint.socket() as opened:
        assert await close_code(opened) == 4408


async def test_a37_a_mutation_is_refused_over_a_socket(endpoint: Endpoint) -> None:
    async with endpoint.initiated() as opened:
        await say(opened, subscribe(ACT))
        refused = await hear(opened)

    assert (refused["payload"][0]["extensions"]["code"], ran) == ("BAD_REQUEST", [])


async def test_a37_a_caller_has_fifty_sockets_and_streams_and_no_more(endpoint: Endpoint) -> None:
    headers = endpoint.with_token | {"accept": "text/event-stream", "content-type": "application/json"}
    async with AsyncExitStack() as held:
        opened = [await held.enter_async_context(endpoint.initiated()) for _ in range(STREAMS_PER_CALLER)]
        async with endpoint.socket() as one_more:
            await say(one_more, {"type": "connection_init", "payload": {"authorization": endpoint.token}})
            assert await close_code(one_more) == 4429
        stream = await endpoint.client.post(endpoint.url, json={"query": "subscription { count }"}, headers=headers)
        assert (stream.status_code, stream.json()["errors"][0]["extensions"]["code"]) == (429, "THROTTLED")

        await opened[0].close()
        async with endpoint.initiated():
            pass


async def test_a37_an_address_has_twenty_sockets_whose_caller_is_not_known(endpoint: Endpoint) -> None:
    async with AsyncExitStack() as held:
        opened = [await held.enter_async_context(endpoint.socket()) for _ in range(STRANGERS_PER_ADDRESS)]
        async with endpoint.socket() as one_more:
            assert await close_code(one_more) == 4429

        await say(opened[0], {"type": "connection_init", "payload": {"authorization": endpoint.token}})
        assert await hear(opened[0]) == {"type": "connection_ack"}
        async with endpoint.initiated():
            pass


def mutated(frame: str, chance: random.Random) -> str:
    """The frame with some of it cut, doubled, exchanged or turned into other characters."""
    for _ in range(chance.randint(1, 4)):
        start, end = sorted(chance.randrange(len(frame) + 1) for _ in range(2))
        part = frame[start:end]
        other = chance.choice(["", part * 2, part[::-1], "\x00", "\ufffd", "[" * 40, "null", "-1", '"', "}", "é", "{}", "1e999", "\\ud800"])
        frame = frame[:start] + other + frame[end:]
    return frame[:2_000]


async def survives(opened: ClientConnection, frame: str) -> bool:
    """Whether the socket is still open after a frame, whatever it answers."""
    try:
        await opened.send(frame)
        await say(opened, {"type": "ping"})
        while (await hear(opened))["type"] != "pong":
            pass
    except ConnectionClosed:
        return False
    return True


async def test_a37_every_mutated_frame_is_answered_or_ends_the_socket_with_a_code(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(37)
    frames = [
        json.dumps(message)
        for message in (
            {"type": "connection_init", "payload": {}},
            {"type": "ping"},
            subscribe("{ hello }"),
            {"type": "complete", "id": "1"},
        )
    ]
    codes: list[int | None] = []
    left = FRAMES
    while left:
        async with endpoint.initiated() as opened:
            while left and await survives(opened, mutated(chance.choice(frames), chance)):
                left -= 1
            if opened.close_code is not None:
                left -= 1
                codes.append(opened.close_code)

    assert set(codes) <= {4400, 4409, 4429}
    assert len(codes) > FRAMES / 2
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# A38


async def test_a38_who_sends_messages_without_end_is_sent_away(endpoint: Endpoint) -> None:
    async with endpoint.initiated() as opened:
        for _ in range(int(MESSAGES.in_one_go) + 20):
            await say(opened, {"type": "pong"})

        assert await close_code(opened) == 4429


async def test_a38_a_socket_carries_at_most_fifty_operations(endpoint: Endpoint) -> None:
    async with endpoint.initiated() as opened:
        for number in range(51):
            await say(opened, subscribe("subscription { endless }", id=str(number)))
        messages = [await hear(opened) for _ in range(51)]

    assert [message["id"] for message in messages if message["type"] == "error"] == ["50"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a38_who_does_not_read_is_left(graph: Graph, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begin()
    assert view._TAKEN_WITHIN_SECONDS == 10
    monkeypatch.setattr(view, "_TAKEN_WITHIN_SECONDS", 0.05)
    endpoint = GraphQLView(tiny)
    token = await graph.here.patchbay.people.add_token(graph.here.ada.user_id, name="laptop")
    app, reading = type("App", (), {"state": type("State", (), {"patchbay": graph.here.patchbay})}), ("accept", "text/event-stream")
    headers = [("authorization", f"Bearer {token.token.reveal()}"), ("content-type", "application/json"), reading]
    scope = {"type": kind, "app": app, "path": "/graphql", "raw_path": b"/graphql", "query_string": b"", "method": "POST"}
    scope |= {"headers": [(name.encode(), value.encode()) for name, value in headers], "subprotocols": ["graphql-transport-ws"]}
    scope |= {"client": ("192.0.2.7", 1), "scheme": "http", "server": ("127.0.0.1", 8000), "asgi": {"spec_version": "2.3"}}
    asked = {"query": "subscription { endless }"}
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    if kind == "http":
        incoming.put_nowait({"type": "http.request", "body": json.dumps(asked).encode()})
    else:
        incoming.put_nowait({"type": "websocket.connect"})
        for message in ({"type": "connection_init"}, subscribe("subscription { endless }")):
            incoming.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    async def send(message: Message) -> None:
        if "endless" in str(message):
            await asyncio.Event().wait()

    async with asyncio.timeout(5):
        await endpoint(scope, incoming.get, send)

    assert Endless.ended.is_set()
    assert (len(endpoint.turnstile.callers), len(endpoint.turnstile.strangers)) == (0, 0)


async def test_a38_readers_who_stand_still_hold_up_nobody_and_keep_a_hundred_events_at_most(graph: Graph) -> None:
    feed = graph.here.patchbay.feed
    await commit(graph.here, graph.here.workspace, "first")
    streams = [feed.watch(graph.here.ada, EventSelection(), after=EventPosition(0, 0)) for _ in range(50)]
    for stream in streams:
        assert (await anext(stream)).event.connection_name == "first"
    names = [str(number) for number in range(150)]
    healthy = feed.watch(graph.here.ada, EventSelection(), after=EventPosition(0, 0))

    await commit(graph.here, graph.here.workspace, *names)
    async with asyncio.timeout(10):
        read = [(await anext(healthy)).event.connection_name for _ in range(151)]
        while any(subscriber.queue.qsize() < 100 for subscriber in list(feed._subscribers)[1:]):
            await asyncio.sleep(0.01)

    assert read == ["first", *names]
    assert max(subscriber.queue.qsize() for subscriber in feed._subscribers) == 100
    for stream in (*streams, healthy):
        await stream.aclose()


# A39

HOSTILE = ["\r\n", "\x1b[31m", "\u202e", "\u2066", "\x00", "\ud800", "\udfff", "\u200b", "\ufeff", "\u2028", "\ue000", "\x7f", "\x85"]
HARMLESS = ["a", "é", "e\u0301", "ß", "漢", "😀", "<b>", "'", '"', "%s", "{}", "а", "ﬁ", "İ", " "]
CREATE = """mutation($name: String!) { createFolder(input: {name: $name}) { __typename ... on InvalidInputError { fields { field } } } }"""


async def test_a39_a_name_is_taken_or_refused_alike_on_both_databases(graph_on_both: Graph) -> None:
    chance = random.Random(39)
    refused = 0
    for number in range(NAMES):
        parts = [chance.choice(HARMLESS) for _ in range(chance.randint(0, 6))] + [str(number)]
        is_hostile = chance.random() < 0.85
        if is_hostile:
            parts.insert(chance.randrange(len(parts) + 1), chance.choice(HOSTILE))
        before = await models.Folder.all().count()

        answer = (await graph_on_both.ask(CREATE, name="".join(parts)))["createFolder"]

        assert answer["__typename"] == ("InvalidInputError" if is_hostile else "FolderSuccess"), parts
        assert await models.Folder.all().count() == before + (not is_hostile)
        refused += is_hostile
    assert refused > NAMES / 2


@pytest.mark.parametrize(("first", "second"), [("Straße", "STRASSE"), ("é", "e\u0301"), ("ﬁle", "FILE"), ("Ⅳ", "iv")])
async def test_a39_names_that_look_alike_are_one_name(graph_on_both: Graph, first: str, second: str) -> None:
    answers = [(await graph_on_both.ask(CREATE, name=name))["createFolder"]["__typename"] for name in (first, second)]

    assert answers == ["FolderSuccess", "NameTakenError"]


async def test_a39_a_name_of_a_megabyte_does_not_get_in(real_endpoint: Endpoint) -> None:
    long = await real_endpoint.post({"query": CREATE, "variables": {"name": "a" * 121}})
    huge = await real_endpoint.post({"query": CREATE, "variables": {"name": "a" * 2**20}})
    lone = await real_endpoint.post(body=json.dumps({"query": CREATE, "variables": {"name": "\ud800"}}).encode())

    assert long.json()["data"]["createFolder"]["__typename"] == "InvalidInputError"
    assert (huge.status_code, lone.status_code) == (413, 400)


@pytest.mark.parametrize("text", [*HOSTILE, '"}\n{"level":"ERROR"'])
def test_a39_whatever_is_logged_stays_on_its_line(text: str) -> None:
    record = logging.getLogger("api.test").makeRecord("api.test", 20, __file__, 1, "event", (), None, extra={"subject": text})

    line = EventFormatter().format(record)

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["subject"] == text


# A40

SPOOFS: list[dict[str, str]] = [
    {"x-forwarded-for": "198.51.100.1"},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-forwarded-for": "198.51.100.2, 10.0.0.1"},
    {"x-real-ip": "198.51.100.3"},
    {"forwarded": "for=198.51.100.4"},
    {"true-client-ip": "198.51.100.5", "cf-connecting-ip": "198.51.100.6"},
]


def entered(site: Site, *, peer: str, **environment: str) -> httpx2.AsyncClient:
    """A browser behind an address, before the whole entrance."""
    changed = Settings.from_environment({"PATCHBAY_PUBLIC_URL": site.url, "PATCHBAY_KEYS": "k1:none", **environment})
    app = Entrance(site.app, settings=changed, steady=lambda: 0.0)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app, client=(peer, 50_000)), base_url=site.url, trust_env=False)


async def test_a40_a_header_gives_nobody_another_address(site: Site) -> None:
    async with entered(site, peer="203.0.113.9", PATCHBAY_SIGN_IN_RATE="2") as browser:
        for _ in range(2):
            assert (await browser.post("/sign-in", data={"token": "nonsense"})).status_code == 400
        for headers in SPOOFS:
            answer = await browser.post("/sign-in", data={"token": "nonsense"}, headers=headers)
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")

    sources = await models.AuditEntry.all().values_list("source", flat=True)
    assert set(sources) <= {"203.0.113.9"}


async def test_a40_a_proxy_that_is_named_is_believed_and_what_came_before_it_is_not(site: Site) -> None:
    proxied = {"PATCHBAY_TRUSTED_PROXIES": "10.0.0.0/8", "PATCHBAY_SIGN_IN_RATE": "1"}
    async with entered(site, peer="10.0.0.1", **proxied) as browser:
        told = ["198.51.100.1", "1.1.1.1, 198.51.100.1", "2.2.2.2, 198.51.100.1, 10.0.0.2", "198.51.100.2"]
        answers = [await browser.post("/sign-in", data={"token": "nonsense"}, headers={"x-forwarded-for": each}) for each in told]

        assert [answer.status_code for answer in answers] == [400, 429, 429, 400]


async def test_a40_a_proxy_that_is_not_named_is_told_of_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async with entered(site, peer="10.0.0.1") as browser:
        for _ in range(2):
            await browser.get("/sign-in", headers={"x-forwarded-for": "198.51.100.1"})

    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["proxy not trusted"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("patchbay.example", 200),
        ("PATCHBAY.example:443", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("patchbay.internal", 200),
        ("evil.example", 421),
        ("patchbay.example.evil.example", 421),
        ("patchbay.example@evil.example", 421),
        ("patchbay.example,evil.example", 421),
        ("evil.example/patchbay.example", 421),
        ("", 421),
    ],
)
async def test_a40_only_a_host_that_we_go_by_is_answered(site: Site, host: str, status: int) -> None:
    async with entered(site, peer="203.0.113.9", PATCHBAY_ALLOWED_HOSTS="patchbay.internal") as browser:
        answer = await browser.get("/sign-in", headers={"host": host, "x-forwarded-host": "patchbay.example"})
        health = await browser.get("/livez", headers={"host": host})

    assert (answer.status_code, health.status_code) == (status, 200)
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert (answer.headers["x-content-type-options"], answer.headers["referrer-policy"]) == ("nosniff", "no-referrer")


@pytest.mark.parametrize("header", ["x-http-method-override", "x-http-method", "x-method-override", "_method"])
async def test_a40_no_header_makes_another_method_of_one(endpoint: Endpoint, header: str) -> None:
    url = f"{endpoint.url}?query=mutation{{act}}&_method=POST"
    answer = await endpoint.client.get(url, headers=endpoint.with_token | {header: "POST"})

    assert (answer.status_code, ran) == (405, [])


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "DEBUG"])
async def test_a40_no_method_shows_a_request_to_who_sent_it(site: Site, method: str) -> None:
    async with entered(site, peer="203.0.113.9") as browser:
        for path in ("/", "/graphql", "/sign-in", "/livez"):
            answer = await browser.request(method, path, headers={"x-canary": "canary-5310"})

            assert answer.status_code in (404, 405)
            assert "canary-5310" not in answer.text


@pytest.mark.parametrize(("headers", "status"), [({"content-length": "100001"}, 413), ({"content-length": "9" * 40}, 413), ({}, 411)])
async def test_a40_a_form_says_how_long_it_is_and_is_short(site: Site, headers: dict[str, str], status: int) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"token=nonsense"

    async with entered(site, peer="203.0.113.9") as browser:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = await browser.post("/sign-in", content=body(), headers=kind | headers)

    assert answer.status_code == status


FRAMINGS = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5, 6",
    "Content-Length: +5",
    "Content-Length: 0x5",
    "Content-Length: -1",
    "Content-Length: 5\r\nTransfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding : chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "Content-Length: 5\r\nTransfer-Encoding:\x0bchunked",
    "Content-Length: 5\nTransfer-Encoding: chunked",
]


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a40_no_request_is_smuggled_within_another(endpoint: Endpoint, framing: str) -> None:
    inner = json.dumps({"query": ACT})
    common = f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {endpoint.token}\r\n"
    smuggled = f"POST /graphql HTTP/1.1\r\n{common}Content-Length: {len(inner)}\r\n\r\n{inner}"
    request = f"POST /graphql HTTP/1.1\r\n{common}{framing}\r\n\r\n0\r\n\r\n{smuggled}"
    parts = urlsplit(endpoint.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)

    writer.write(request.encode("latin-1"))
    writer.write_eof()
    async with asyncio.timeout(10):
        answers = await reader.read()
    writer.close()

    assert ran == []
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 4")


# The thirteen checks of graphql-cop, as it names them.


async def checked(endpoint: Endpoint, query: str, **more: Any) -> str:
    return json.dumps(await endpoint.ask(query, **more))


async def test_graphql_cop_alias_overloading(real_endpoint: Endpoint) -> None:
    assert '"alias100"' not in await checked(real_endpoint, "{ " + " ".join(f"alias{n}: __typename" for n in range(101)) + " }")


async def test_graphql_cop_array_based_query_batching(real_endpoint: Endpoint) -> None:
    assert (await real_endpoint.post([{"query": "{ __typename }"}] * 10)).status_code == 400


async def test_graphql_cop_directive_overloading(real_endpoint: Endpoint) -> None:
    answer = await real_endpoint.ask("query { __typename " + "@aa" * 10 + " }")

    assert len(answer["errors"]) < 10


async def test_graphql_cop_circular_query_via_introspection(real_endpoint: Endpoint) -> None:
    query = "{ __schema { types { " + "fields { type { " * 4 + "name" + " } }" * 4 + " } } }"

    assert "data" not in await real_endpoint.ask(query)


async def test_graphql_cop_field_duplication(real_endpoint: Endpoint) -> None:
    assert "data" not in await real_endpoint.ask("{ " + "__typename " * 501 + "}")


async def test_graphql_cop_introspection(real_endpoint: Endpoint) -> None:
    """Open to who is signed in, as the playground is; to nobody else."""
    answer = await real_endpoint.post({"query": "{ __schema { types { name } } }"}, headers={})

    assert (answer.status_code, "types" in answer.text) == (401, False)


async def test_graphql_cop_graphiql(site: Site) -> None:
    for path in ("/graphql", "/graphiql", "/playground", "/console"):
        page = (await site.browser().get(path, headers={"accept": "text/html"})).text

        assert [word for word in ("graphiql.min", "GraphQL Playground", "GraphiQL") if word in page] == []


async def test_graphql_cop_trace_mode(real_endpoint: Endpoint) -> None:
    assert "extensions" not in await real_endpoint.ask("{ __typename }")


async def test_graphql_cop_get_method_query_support(real_endpoint: Endpoint) -> None:
    answer = await real_endpoint.client.get(real_endpoint.url, params={"query": "{ __typename }"}, headers=real_endpoint.with_token)

    assert (answer.status_code, "Query" in answer.text) == (405, False)


async def test_graphql_cop_mutation_over_get(endpoint: Endpoint) -> None:
    answer = await endpoint.client.get(endpoint.url, params={"query": ACT}, headers=endpoint.with_token)

    assert (answer.status_code, ran) == (405, [])


async def test_graphql_cop_urlencoded_post(endpoint: Endpoint) -> None:
    answer = await endpoint.client.post(endpoint.url, data={"query": "{ hello }"}, headers=endpoint.with_token)

    assert (answer.status_code, ran) == (415, [])


async def test_graphql_cop_field_suggestions(real_endpoint: Endpoint) -> None:
    assert "Did you mean" not in await checked(real_endpoint, "{ __schema { directive } viewr { id } }")


async def test_graphql_cop_unhandled_errors(real_endpoint: Endpoint) -> None:
    for query in ("qwerty { abc }", "{", "{ viewer(", "\u202e", "query ($a: Nothing) { viewer { id } }"):
        told = await checked(real_endpoint, query)

        assert [word for word in ("Traceback", "exception", "qwerty", "graphql.error") if word in told] == []
