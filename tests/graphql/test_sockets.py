"""The endpoint by WebSocket: who may ask, what is said, and that every frame that is not the protocol's ends with a code."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tortoise.context import require_context
from websockets.exceptions import InvalidStatus

from api.graphql import view
from tests.graphql.asking import Graph
from tests.graphql.endpoint import Endpoint, close_code, hear, open_endpoint, say
from tests.graphql.tiny import CANARY, Endless, begin, ran, tiny

pytestmark = pytest.mark.anyio

FRAMES: list[str | bytes] = [
    "", "not json", "null", "true", "1", '"text"', "[]", '[{"type": "ping"}]', "{}", b"", b"{}", b'{"type":"ping"}',
    "[" * 30_000, '{"a":' * 5_000,
    '{"type": null}', '{"type": 1}', '{"type": {}}', '{"type": "unknown"}', '{"type": "' + "a" * 10_000 + '"}', '{"type": "next"}',
    '{"type": "ping", "payload": 1}', '{"type": "pong", "payload": []}', '{"type": "connection_init", "payload": 1}',
    '{"type": "connection_init", "payload": "Bearer"}', '{"type": "connection_init"}',
    '{"type": "subscribe"}', '{"type": "subscribe", "id": "1"}', '{"type": "subscribe", "id": 1, "payload": {"query": "{ hello }"}}',
    '{"type": "subscribe", "id": {}, "payload": {"query": "{ hello }"}}',
    '{"type": "subscribe", "id": "", "payload": {"query": "{ hello }"}}',
    '{"type": "subscribe", "id": "1", "payload": "{ hello }"}', '{"type": "subscribe", "id": "1", "payload": {}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": 1}}', '{"type": "subscribe", "id": "1", "payload": {"query": null}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "variables": []}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "operationName": 1}}',
    '{"type": "complete"}', '{"type": "complete", "id": 1}', '{"type": "complete", "id": []}',
]  # fmt: skip


@pytest.fixture
async def endpoint(graph: Graph) -> AsyncIterator[Endpoint]:
    begin()
    async with open_endpoint(graph.here, tiny) as endpoint:
        yield endpoint


def subscribe(query: str, *, id: str = "1", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "subscribe", "payload": {"query": query, **more}}


async def test_every_frame_that_is_not_the_protocols_ends_with_a_code(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    for frame in FRAMES:
        async with endpoint.initiated() as opened:
            await opened.send(frame)
            code = await close_code(opened)

        assert code in (4400, 4429), frame[:100]
    assert ran == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_frame_that_is_too_long_ends_the_socket(endpoint: Endpoint) -> None:
    async with endpoint.initiated() as opened:
        await opened.send("a" * 100_000)

        assert await close_code(opened) == 1009


@pytest.mark.parametrize("payload", ["authorization", "Authorization", "bearer"])
async def test_a_token_may_come_in_the_first_frame(endpoint: Endpoint, payload: str) -> None:
    given = {"authorization": f"Bearer {endpoint.token}"} if payload == "bearer" else {payload: endpoint.token}
    async with endpoint.socket() as opened:
        await say(opened, {"type": "connection_init", "payload": given})

        assert await hear(opened) == {"type": "connection_ack"}


async def test_a_token_may_come_in_a_header(endpoint: Endpoint) -> None:
    async with endpoint.socket(headers=endpoint.with_token) as opened:
        await say(opened, {"type": "connection_init", "payload": None})

        assert await hear(opened) == {"type": "connection_ack"}


@pytest.mark.parametrize(
    "payload", [None, {}, {"authorization": "nonsense"}, {"authorization": 1}, {"authorization": ""}, {"authorization": "Basic YTpi"}]
)
async def test_who_is_not_known_is_refused(endpoint: Endpoint, payload: object) -> None:
    async with endpoint.socket() as opened:
        await say(opened, {"type": "connection_init", "payload": payload})

        assert await close_code(opened) == 4403


async def test_a_bad_token_is_not_helped_by_a_good_cookie(endpoint: Endpoint) -> None:
    async with endpoint.socket(origin=endpoint.here.patchbay.settings.public_url, headers=endpoint.with_cookie) as opened:
        await say(opened, {"type": "connection_init", "payload": {"authorization": "nonsense"}})

        assert await close_code(opened) == 4403


async def test_a_cookie_counts_from_a_page_of_ours(endpoint: Endpoint) -> None:
    async with endpoint.socket(origin=endpoint.here.patchbay.settings.public_url, headers=endpoint.with_cookie) as opened:
        await say(opened, {"type": "connection_init"})

        assert await hear(opened) == {"type": "connection_ack"}


async def test_a_cookie_without_a_page_is_refused(endpoint: Endpoint) -> None:
    async with endpoint.socket(headers=endpoint.with_cookie) as opened:
        await say(opened, {"type": "connection_init"})

        assert await close_code(opened) == 4403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1.evil.example"])
async def test_a_foreign_page_gets_no_socket(endpoint: Endpoint, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with endpoint.socket(origin=origin, headers=endpoint.with_cookie):
            pass

    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("protocol", [None, "graphql-ws", "unknown"])
async def test_only_the_current_protocol_is_spoken(endpoint: Endpoint, protocol: str | None) -> None:
    async with endpoint.socket(protocol=protocol) as opened:
        assert await close_code(opened) == 4406


async def test_who_says_nothing_is_not_waited_for(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timedelta(seconds=5) == view._INIT_WITHIN
    monkeypatch.setattr(view, "_INIT_WITHIN", timedelta(seconds=0.1))
    async with open_endpoint(graph.here, tiny) as endpoint, endpoint.socket() as opened:
        assert await close_code(opened) == 4408


async def test_nothing_is_executed_before_the_caller_is_known(endpoint: Endpoint) -> None:
    async with endpoint.socket(headers=endpoint.with_token) as opened:
        await say(opened, subscribe("{ hello }"))

        assert await close_code(opened) == 4401
    assert ran == []


async def test_a_caller_says_who_they_are_once(endpoint: Endpoint) -> None:
    async with endpoint.initiated() as opened:
        await say(opened, {"type": "connection_init"})

        assert await close_code(opened) == 4429


@pytest.mark.parametrize("id", ["1", "a" * 128, "é" * 128, "🙂" * 128])
async def test_an_id_is_used_once_at_a_time_however_long_it_is(endpoint: Endpoint, id: str, caplog: pytest.LogCaptureFixture) -> None:
    async with endpoint.initiated() as opened:
        await say(opened, subscribe("subscription { endless }", id=id))
        await hear(opened)
        await say(opened, subscribe("subscription { endless }", id=id))

        assert await close_code(opened) == 4409
        assert f"Subscriber for {id} already exists".startswith(opened.close_reason or "none")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_stream_runs_to_its_end(endpoint: Endpoint) -> None:
    async with endpoint.initiated() as opened:
        await say(opened, {"type": "ping"})
        assert await hear(opened) == {"type": "pong"}
        await say(opened, subscribe("subscription { count }"))

        messages = [await hear(opened) for _ in range(4)]

    assert messages == [{"id": "1", "type": "next", "payload": {"data": {"count": number}}} for number in range(3)] + [
        {"id": "1", "type": "complete"}
    ]


async def test_a_stream_ends_when_the_client_completes_it(endpoint: Endpoint) -> None:
    async with endpoint.initiated() as opened:
        await say(opened, subscribe("subscription { endless }"))
        await hear(opened)

        await say(opened, {"id": "1", "type": "complete"})

        await asyncio.wait_for(Endless.ended.wait(), 5)


async def test_an_operation_that_is_refused_leaves_the_socket_open(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    queries = {
        "{": "INVALID_DOCUMENT",
        f'{{ hello "{CANARY}"': "INVALID_DOCUMENT",
        "{ helo }": "INVALID_DOCUMENT",
        '{ hello(size: "a") }': "BAD_USER_INPUT",
        "query($n: Int!) { hello(size: $n) }": "BAD_USER_INPUT",
        "subscription($n: Int!) { count(to: $n) }": "BAD_USER_INPUT",
        "{ " + "hello " * 501 + "}": "LIMIT_EXCEEDED",
        "mutation { act }": "BAD_REQUEST",
        "query A { hello } query B { hello }": "BAD_REQUEST",
        "fragment F on Query { hello }": "BAD_REQUEST",
        "{ slow }": "TIMEOUT",
    }
    async with endpoint.initiated() as opened:
        for query, code in queries.items():
            await say(opened, subscribe(query))
            refused = await hear(opened)

            assert (refused["id"], refused["type"]) == ("1", "error"), query
            assert [error["extensions"]["code"] for error in refused["payload"]] == [code]
            assert CANARY not in str(refused)
        assert ran == []

        await say(opened, subscribe("{ hello }", id="2"))
        assert await hear(opened) == {"id": "2", "type": "next", "payload": {"data": {"hello": "hello Ada"}}}
    assert [record for record in caplog.records if record.levelno > logging.WARNING] == []


async def test_a_stream_that_cannot_begin_says_why(endpoint: Endpoint) -> None:
    async with endpoint.initiated() as opened:
        await say(opened, subscribe("subscription { gone }"))
        message = await hear(opened)

    assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "NOT_FOUND")


@pytest.mark.parametrize(("field", "code"), [("lagging", "STREAM_LAGGED"), ("failing", "INTERNAL")])
async def test_a_stream_that_breaks_says_why_and_is_complete(endpoint: Endpoint, field: str, code: str) -> None:
    async with endpoint.initiated() as opened:
        await say(opened, subscribe(f"subscription {{ {field} }}"))
        messages = [await hear(opened)]
        while messages[-1]["type"] != "complete":
            messages.append(await hear(opened))

    assert messages[-2]["payload"]["errors"][0]["extensions"]["code"] == code
    assert CANARY not in str(messages)


async def test_a_token_that_was_revoked_begins_nothing_more(endpoint: Endpoint) -> None:
    people = endpoint.here.patchbay.people
    new = await people.add_token(endpoint.here.ada.user_id, name="Second")
    async with endpoint.socket() as opened:
        await say(opened, {"type": "connection_init", "payload": {"authorization": new.token.reveal()}})
        await hear(opened)
        await people.revoke_token(endpoint.here.ada, new.row.id)

        await say(opened, subscribe("{ hello }"))

        assert await close_code(opened) == 4403
    assert ran == []


async def test_a_socket_carries_at_most_fifty_operations_at_once(endpoint: Endpoint) -> None:
    async with endpoint.initiated() as opened:
        for number in range(51):
            await say(opened, subscribe("subscription { endless }", id=str(number)))
        messages = [await hear(opened) for _ in range(51)]

    refused = [message for message in messages if message["type"] == "error"]
    assert [message["id"] for message in refused] == ["50"]
    assert refused[0]["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_a_fault_before_any_operation_ends_the_socket(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    await require_context().db().execute_script("DROP TABLE api_token")
    async with endpoint.socket() as opened:
        await say(opened, {"type": "connection_init", "payload": {"authorization": endpoint.token}})

        assert await close_code(opened) == 1011
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["operation failed"]
    assert endpoint.token not in caplog.text
