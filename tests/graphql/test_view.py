"""The endpoint by HTTP: who may ask, in which form, and that nothing that is sent makes it stumble."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tortoise.context import require_context

from api.graphql import routes
from models import OrganizationPermission
from tests.clock import HeldClock
from tests.graphql.asking import Graph
from tests.graphql.endpoint import Endpoint, open_endpoint, open_routes
from tests.graphql.tiny import Endless, begin, ran, tiny
from tests.installation import installed

pytestmark = pytest.mark.anyio

HELLO = {"query": "{ hello }"}
ACT = {"query": "mutation { act }"}
FOREIGN = "https://evil.example"
GRAPHQL = "application/graphql-response+json"

UNKNOWN: list[dict[str, str]] = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": "Bearer nonsense"},
    {"authorization": "Basic YTpi"},
    {"authorization": "Bearer " + "a" * 2_000},
    {"cookie": "patchbay-session=nonsense", "sec-fetch-site": "same-origin"},
    {"cookie": "other=1"},
]
# What a browser says of the page that asks, and whether it is one of ours.
PAGES = [
    (None, None, False),
    (None, "ours", True),
    (None, "allowed", True),
    (None, FOREIGN, False),
    (None, "null", False),
    (None, "ours.evil.example", False),
    ("same-origin", None, True),
    ("same-origin", "ours", True),
    ("same-site", None, False),
    ("same-site", "allowed", True),
    ("same-site", FOREIGN, False),
    ("cross-site", None, False),
    ("cross-site", FOREIGN, False),
    ("none", None, False),
]
BODIES = [
    (b"", 400),
    (b"not json", 400),
    (b"\xff\xfe\x00", 400),
    (b'{"query": "\xff"}', 400),
    (b'{"query": "\\ud800"}', 400),
    (b'{"query": "{ hello }", "variables": {"a": ' + b"9" * 5_000 + b"}}", 400),
    (b"null", 400),
    (b"true", 400),
    (b"1", 400),
    (b'"{ hello }"', 400),
    (b"[]", 400),
    (b'[{"query": "{ hello }"}]', 400),
    (b"[" * 50_000, 400),
    (b'{"a":' * 10_000, 400),
    (b'{"query": "{ hello }", "variables": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}", 400),
    (b'{"query": "{ hello }", "variables": {"a": "\\u0000"}}', 400),
    (b'{"query": "{ hello(name: \\"\\\\u0000\\") }"}', 400),
    (b"{}", 400),
    (b'{"query": null}', 400),
    (b'{"query": ""}', 400),
    (b'{"query": 1}', 400),
    (b'{"query": {"a": 1}}', 400),
    (b'{"query": "{ hello }", "variables": []}', 400),
    (b'{"query": "{ hello }", "variables": "{}"}', 400),
    (b'{"query": "{ hello }", "extensions": 1}', 400),
    (b'{"query": "{ hello }", "operationName": 1}', 400),
    (b'{"query": "{ hello }", "operationName": "Nobody"}', 400),
    (b'{"query": "fragment F on Query { hello }"}', 400),
    (b'{"query": "subscription { count }"}', 400),
    (b'{"query": "' + b"a" * 100_000 + b'"}', 413),
    (b"{" * 3_000_000, 400),
    (b"{" * 21_000_000, 413),
    (b'{"query": "{ hello }", "variables": {"document": "' + b"a" * 200_000 + b'"}}', 200),
    (b'{"query": "{ hello }", "variables": {"input": {"document": "' + b"a" * 200_000 + b'", "key": "a"}}}', 200),
    (b'{"query": "{ hello }", "variables": {"input": {"document": "a", "key": "' + b"a" * 100_000 + b'"}}}', 413),
    (b'{"query": "{ hello }", "variables": {"text": "' + b"a" * 100_000 + b'"}}', 413),
    (b'{"query": "{ hello }", "variables": {"document": "' + b"," * 2_000_000 + b'"}}', 413),
    (b'{"query": "{ hello }", "document": "' + b"a" * 100_000 + b'"}', 413),
    (b'{"query": "{ hello }", "variables": null, "operationName": null, "extensions": null}', 200),
    (b'{"query": "query Q { hello }", "operationName": "Q"}', 200),
    (b'{"query": "{ hello }", "more": 1}', 200),
]  # fmt: skip


@pytest.fixture
async def endpoint(graph: Graph) -> AsyncIterator[Endpoint]:
    begin()
    async with open_endpoint(graph.here, tiny) as endpoint:
        yield endpoint


@pytest.fixture
async def sharing_endpoint(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Endpoint]:
    """As `endpoint`, with an origin that may use it with a browser's session."""
    begin()
    async with (
        installed(sqlite_url, tmp_path, HeldClock(), PATCHBAY_ALLOWED_ORIGINS="https://front.example") as here,
        open_endpoint(here, tiny) as endpoint,
    ):
        yield endpoint


def code_of(answer: object) -> object:
    assert isinstance(answer, dict)
    return answer["errors"][0]["extensions"]["code"]


async def test_every_body_gets_an_answer_in_the_form_of_graphql(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    for body, status in BODIES:
        ran.clear()

        answer = await endpoint.post(body=body)

        assert answer.status_code == status, body[:100]
        if status == 200:
            assert answer.json() == {"data": {"hello": "hello Ada"}}
        else:
            assert (code_of(answer.json()), list(answer.json()), ran) == ("BAD_REQUEST", ["errors"], [])
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_only_json_is_taken(endpoint: Endpoint) -> None:
    kinds = ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/graphql"]
    kinds += ["application/jsonp", "text/plain; application/json", "application/json; charset=utf-16", "application/json, text/plain"]
    kinds += ["application/json; charset*=utf-8''utf-8", "application/json; charset*0*=utf-8''utf; charset*1=-8"]
    for kind in kinds:
        answer = await endpoint.post(ACT, headers=endpoint.with_token | {"content-type": kind})

        assert (answer.status_code, code_of(answer.json()), ran) == (415, "BAD_REQUEST", [])


async def test_only_post_is_taken(endpoint: Endpoint) -> None:
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = await endpoint.client.request(method, f"{endpoint.url}?query=mutation{{act}}", headers=endpoint.with_token)

        assert (answer.status_code, answer.headers["allow"], ran) == (405, "POST", [])


async def test_an_audit_may_ask_by_get_but_not_act(graph: Graph) -> None:
    begin()
    async with open_endpoint(graph.here, tiny, allow_get=True) as endpoint:
        asked = await endpoint.client.get(endpoint.url, params={"query": "{ hello }", "variables": "{}"}, headers=endpoint.with_token)
        acted = await endpoint.client.get(endpoint.url, params={"query": "mutation { act }"}, headers=endpoint.with_token)

    assert (asked.status_code, asked.json()) == (200, {"data": {"hello": "hello Ada"}})
    assert (acted.status_code, ran) == (405, ["hello"])


async def test_who_is_not_known_gets_nothing(endpoint: Endpoint) -> None:
    for headers in UNKNOWN:
        for query in ("{ hello }", "mutation { act }", "{ __typename }", "{ __schema { types { name } } }", "{"):
            answer = await endpoint.post({"query": query}, headers=headers)

            assert (answer.status_code, code_of(answer.json()), ran) == (401, "UNAUTHENTICATED", [])
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_that_was_revoked_is_unknown_at_once(endpoint: Endpoint) -> None:
    people = endpoint.here.patchbay.people
    new = await people.add_token(endpoint.here.ada.user_id, name="Second")
    headers = {"authorization": f"bearer {new.token.reveal()}"}
    before = await endpoint.post(HELLO, headers=headers)

    await people.revoke_token(endpoint.here.ada, new.row.id)

    assert before.status_code == 200
    assert (await endpoint.post(HELLO, headers=headers)).status_code == 401


async def test_a_bad_token_is_not_helped_by_a_good_cookie(endpoint: Endpoint) -> None:
    headers = endpoint.with_cookie | {"authorization": "Bearer nonsense", "sec-fetch-site": "same-origin"}

    assert (await endpoint.post(HELLO, headers=headers)).status_code == 401


async def test_a_cookie_counts_only_for_pages_of_ours(sharing_endpoint: Endpoint) -> None:
    ours = sharing_endpoint.here.patchbay.settings.public_url
    named = {"ours": ours, "allowed": "https://front.example", "ours.evil.example": f"{ours}.evil.example"}
    for site, origin, is_ours in PAGES:
        told = {"sec-fetch-site": site, "origin": named.get(origin or "", origin)}
        headers = sharing_endpoint.with_cookie | {name: value for name, value in told.items() if value}
        for asked in (HELLO, ACT):
            ran.clear()

            answer = await sharing_endpoint.post(asked, headers=headers)

            assert (answer.status_code, len(ran)) == ((200, 1) if is_ours else (403, 0)), told
            assert is_ours or code_of(answer.json()) == "FORBIDDEN"


async def test_only_allowed_origins_may_read_the_answers(sharing_endpoint: Endpoint) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    here = sharing_endpoint.here
    async with open_routes(here, routes(here.patchbay.settings)) as endpoint:
        for origin, allowed in (("https://front.example", "https://front.example"), (FOREIGN, None)):
            preflight = await endpoint.client.options(endpoint.url, headers={"origin": origin, **asked})
            answer = await endpoint.post({"query": "{ viewer { name } }"}, headers=endpoint.with_token | {"origin": origin})

            assert (preflight.status_code, answer.status_code) == (200 if allowed else 400, 200)
            assert answer.headers.get("access-control-allow-origin") == allowed


async def test_a_token_needs_no_page(endpoint: Endpoint) -> None:
    answer = await endpoint.post(ACT, headers=endpoint.with_token | {"origin": FOREIGN, "sec-fetch-site": "cross-site"})

    assert (answer.status_code, answer.json()) == (200, {"data": {"act": "done"}})


async def test_the_client_chooses_the_media_type(endpoint: Endpoint) -> None:
    choices = {
        "": "application/json",
        "*/*": "application/json",
        "application/json": "application/json",
        GRAPHQL: GRAPHQL,
        f"{GRAPHQL}, application/json;q=0.9": GRAPHQL,
        f"application/json, {GRAPHQL};q=0.5": "application/json",
        f"{GRAPHQL};q=0": "application/json",
        f"{GRAPHQL};q=much": "application/json",
        f"{GRAPHQL}, application/json, text/event-stream, multipart/mixed": GRAPHQL,
        "text/html": "application/json",
    }
    for accept, kind in choices.items():
        answer = await endpoint.post(HELLO, headers=endpoint.with_token | {"accept": accept})

        assert (answer.status_code, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8"), accept
        assert (answer.headers["cache-control"], answer.headers["vary"]) == ("no-store", "accept")


async def test_what_is_not_executed_has_no_data(endpoint: Endpoint) -> None:
    queries = {
        "{": (400, "INVALID_DOCUMENT"),
        "{ helo }": (400, "INVALID_DOCUMENT"),
        '{ hello(size: "a") }': (400, "BAD_USER_INPUT"),
        "query($n: Int!) { hello(size: $n) }": (400, "BAD_USER_INPUT"),
        "query A { hello } query B { hello }": (400, "BAD_REQUEST"),
        "{ " + "hello " * 501 + "}": (400, "LIMIT_EXCEEDED"),
        "{ slow }": (503, "TIMEOUT"),
    }
    for query, (status, code) in queries.items():
        new = await endpoint.post({"query": query}, headers=endpoint.with_token | {"accept": GRAPHQL})
        old = await endpoint.post({"query": query}, headers=endpoint.with_token | {"accept": "application/json"})

        assert (new.status_code, old.status_code, ran) == (status, 200, []), query
        for answer in (new.json(), old.json()):
            assert (list(answer), code_of(answer)) == (["errors"], code)


async def test_what_failed_while_executed_has_data(endpoint: Endpoint) -> None:
    answer = await endpoint.post({"query": "{ hello missing }"}, headers=endpoint.with_token | {"accept": GRAPHQL})

    assert (answer.status_code, answer.json()["data"]) == (200, {"hello": "hello Ada", "missing": None})
    assert code_of(answer.json()) == "NOT_FOUND"


async def test_a_stream_of_server_sent_events_runs_to_its_end(endpoint: Endpoint) -> None:
    answer = await endpoint.post({"query": "subscription { count }"}, headers=endpoint.with_token | {"accept": "text/event-stream"})

    events = [event.splitlines() for event in answer.text.split("\r\n\r\n") if event]
    assert answer.headers["content-type"] == "text/event-stream"
    assert events == [["event: next", f'data: {{"data":{{"count":{number}}}}}'] for number in range(3)] + [["event: complete", "data: "]]


async def test_a_stream_needs_to_know_who_asks(endpoint: Endpoint) -> None:
    answer = await endpoint.post({"query": "subscription { count }"}, headers={"accept": "text/event-stream"})

    assert (answer.status_code, code_of(answer.json())) == (401, "UNAUTHENTICATED")


async def test_a_stream_ends_with_its_client(endpoint: Endpoint) -> None:
    headers = endpoint.with_token | {"accept": "text/event-stream", "content-type": "application/json"}
    async with endpoint.client.stream("POST", endpoint.url, json={"query": "subscription { endless }"}, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data:"):
                break

    await asyncio.wait_for(Endless.ended.wait(), 5)


async def test_a_fault_before_the_operation_is_masked_too(graph: Graph, caplog: pytest.LogCaptureFixture) -> None:
    async with open_endpoint(graph.here, tiny) as endpoint:
        await require_context().db().execute_script("DROP TABLE api_token")
        answer = await endpoint.post(HELLO)

    assert (answer.status_code, code_of(answer.json())) == (500, "INTERNAL")
    assert "api_token" not in answer.text
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["operation failed"]
    assert endpoint.token not in caplog.text


async def test_only_who_may_make_connectors_sends_whole_documents(endpoint: Endpoint) -> None:
    eve = await endpoint.here.add_person("Eve")
    token = await endpoint.here.patchbay.people.add_token(eve.user_id, name="Eve's")
    asked = {"query": "{ hello }", "variables": {"document": "a" * 200_000}}
    headers = {"authorization": f"Bearer {token.token.reveal()}"}

    refused = await endpoint.post(asked, headers=headers)
    await endpoint.here.patchbay.organization_permissions.set(endpoint.here.ada, eve.user_id, OrganizationPermission.MANAGE_CONNECTORS)
    taken = await endpoint.post(asked, headers=headers)

    assert (refused.status_code, taken.status_code) == (413, 200)
