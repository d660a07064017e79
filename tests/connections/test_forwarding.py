"""What is passed on, up and down, by tables."""

import pytest

from api.connections.forwarding import Passage, Redaction, headers_down, headers_up, leads_away, secrets_of
from api.errors import InvalidInput

PREFIX = "/proxy/7"
PASSAGE = Passage("https://api.example/v1", PREFIX)
KEYED = Passage("https://api.example/v1?format=json", PREFIX, frozenset({"api_key"}))


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("", "", "https://api.example/v1"),
        ("/", "", "https://api.example/v1/"),
        ("/items", "", "https://api.example/v1/items"),
        ("/a%2Fb%20c/%7e", "q=%2B+&q&=", "https://api.example/v1/a%2Fb%20c/%7e?q=%2B+&q&="),
        ("//evil.example/x", "", "https://api.example/v1//evil.example/x"),
        ("/@evil.example", "", "https://api.example/v1/@evil.example"),
        ("/:443@evil.example", "", "https://api.example/v1/:443@evil.example"),
        ("/https://evil.example/", "", "https://api.example/v1/https://evil.example/"),
        ("/...", "", "https://api.example/v1/..."),
        ("/.well-known/a..b", "", "https://api.example/v1/.well-known/a..b"),
        ("/100%25", "x=../..", "https://api.example/v1/100%25?x=../.."),
    ],
)
def test_a_path_goes_behind_the_base_url_as_it_was_sent(path: str, query: str, target: str) -> None:
    assert PASSAGE.target(path, query) == target


@pytest.mark.parametrize("root", ["https://api.example", "https://api.example/"])
def test_a_path_never_becomes_a_part_of_the_host(root: str) -> None:
    assert Passage(root, PREFIX).target("/.evil.example", "") == "https://api.example/.evil.example"
    for path in (".evil.example", "@evil.example", ":1", "evil"):
        with pytest.raises(InvalidInput):
            Passage(root, PREFIX).target(path, "")


@pytest.mark.parametrize(
    "path",
    [
        "/..",
        "/.",
        "/../admin",
        "/a/../../admin",
        "/a/./b",
        "/%2e%2e/admin",
        "/.%2e/admin",
        "/%2E./admin",
        "/a%2f..%2f..%2fadmin",
        "/a%2F%2e%2e%2Fadmin",
        "/..%2fadmin",
        "/..%5cadmin",
        "/..\\admin",
        "/a\\..\\admin",
        "/%252e%252e/admin",
        "/%25252e%25252e%25252fadmin",
        "/%2525252525252e",
        "/..;/admin",
        "/..;x=1/admin",
        "/%2e%2e%3b/admin",
        "/.. /admin",
        "/..%20/admin",
        "/..%00/admin",
        "/..%0d%0a/admin",
        "/%c0%ae%c0%ae/admin",
        "/%c0%ae%c0%ae%c0%afadmin",
    ],
)
def test_a_path_that_could_lead_above_the_base_url_is_refused(path: str) -> None:
    assert leads_away(path)
    with pytest.raises(InvalidInput):
        PASSAGE.target(path, "")


def test_what_the_credential_says_in_a_query_nobody_else_says() -> None:
    query = "a=1&api_key=mine&api%5Fkey=mine&API_KEY=other&b=2&api_key"

    assert KEYED.target("/items", query) == "https://api.example/v1/items?format=json&a=1&API_KEY=other&b=2"


@pytest.mark.parametrize(("path", "query"), [("/a b", ""), ("/a", "q={x}"), ("/a#b", ""), ("/é", ""), ("/a", "x\r\ny"), ("/<a>", "")])
def test_what_has_to_be_encoded_is_not_guessed_at(path: str, query: str) -> None:
    with pytest.raises(InvalidInput):
        PASSAGE.target(path, query)


def test_an_address_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidInput):
        PASSAGE.target("/" + "x" * 12_000, "")


@pytest.mark.parametrize(
    ("location", "inward"),
    [
        ("https://api.example/v1/items/", "/proxy/7/items/"),
        ("https://API.example:443/v1/items?page=2#top", "/proxy/7/items?page=2#top"),
        ("https://api.example/v1", "/proxy/7"),
        ("/v1/items/", "/proxy/7/items/"),
        ("other", "/proxy/7/a/other"),
        ("../up", "/proxy/7/up"),
        ("?page=2", "/proxy/7/a/b?page=2"),
        ("//api.example/v1/x", "/proxy/7/x"),
        ("/v2/items", "https://api.example/v2/items"),
        ("/v10", "https://api.example/v10"),
        ("../../../x", "https://api.example/x"),
        ("http://api.example/v1/items", "http://api.example/v1/items"),
        ("https://api.example:8443/v1/items", "https://api.example:8443/v1/items"),
        ("https://files.example/signed?x=1", "https://files.example/signed?x=1"),
        ("https://api.example.evil.example/v1/items", "https://api.example.evil.example/v1/items"),
        ("app://open", "app://open"),
    ],
)
def test_a_redirect_below_the_base_url_leads_through_here_again(location: str, inward: str) -> None:
    assert PASSAGE.inward(location, "https://api.example/v1/a/b?q=1") == inward


def test_a_redirect_tells_no_credential_of_a_query() -> None:
    target = "https://api.example/v1/items?format=json&api_key=secret"

    assert KEYED.inward("/v1/items/?format=json&api_key=secret&a=1", target) == "/proxy/7/items/?format=json&a=1"
    assert KEYED.inward("/elsewhere?api_key=secret", target) == "https://api.example/elsewhere"


@pytest.mark.parametrize(
    ("reference", "outward"),
    [
        ("https://patchbay.example/proxy/7/a%20b", "https://api.example/v1/a%20b"),
        ("/proxy/7/b", "https://api.example/v1/b"),
        ("https://api.example/v1/b", "https://api.example/v1/b"),
        ("/proxy/8/b", "/proxy/8/b"),
    ],
)
def test_a_destination_here_is_meant_for_the_provider(reference: str, outward: str) -> None:
    assert PASSAGE.outward(reference) == outward


def test_a_destination_does_not_lead_above_the_base_url() -> None:
    with pytest.raises(InvalidInput):
        PASSAGE.outward("/proxy/7/%2e%2e/b")


OWN = [
    "Authorization", "Proxy-Authorization", "Cookie", "Host", "Content-Length", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect",
    "Keep-Alive", "Proxy-Connection", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via", "Origin", "Referer",
    "Sec-Fetch-Site", "Sec-WebSocket-Key", "Patchbay-Retry", "Access-Control-Request-Method", "X-Original-URL", "X-Rewrite-URL",
]  # fmt: skip
THEIRS = [
    "Accept", "Accept-Encoding", "Content-Type", "Content-Encoding", "Depth", "If-None-Match", "If-Match", "Range", "User-Agent", "Prefer",
    "X-Request-Id", "Traceparent", "Idempotency-Key", "Notion-Version", "X-HTTP-Method-Override", "Lock-Token",
]  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_a_header_for_patchbay_does_not_go_on(name: str) -> None:
    assert headers_up([(name, "x"), (name.lower(), "y"), ("Accept", "z")], ()) == {"accept": "z"}


@pytest.mark.parametrize("name", THEIRS)
def test_a_header_for_the_provider_goes_on(name: str) -> None:
    assert headers_up([(name, "x")], ()) == {name.lower(): "x"}


def test_a_header_that_connection_names_goes_no_further() -> None:
    assert headers_up([("Connection", "close, X-Secret"), ("X-Secret", "1"), ("X-Open", "2")], ()) == {"x-open": "2"}
    down = headers_down([(b"Connection", b"X-Secret"), (b"X-Secret", b"1"), (b"X-Open", b"2")], 200, challenges=True)
    assert list(down) == [(b"x-open", b"2")]


def test_headers_of_one_name_become_one_list_in_the_spelling_of_the_connector() -> None:
    assert headers_up([("x-api-key", "mine"), ("accept", "a"), ("Accept", "b")], ["X-Api-Key"]) == {"X-Api-Key": "mine", "accept": "a, b"}


FOR_BROWSERS = [
    "Set-Cookie", "Access-Control-Allow-Origin", "Strict-Transport-Security", "Clear-Site-Data", "Service-Worker-Allowed", "Alt-Svc",
    "Server-Timing", "Content-Security-Policy", "Content-Security-Policy-Report-Only", "Cross-Origin-Opener-Policy", "Refresh", "NEL",
    "Report-To", "Permissions-Policy", "X-Frame-Options", "Patchbay-Error", "Connection", "Keep-Alive", "Transfer-Encoding", "Trailer",
    "Upgrade", "Proxy-Authenticate", "X-Accel-Redirect", "X-Sendfile", "CDN-Cache-Control", "Cache-Control", "Surrogate-Control",
]  # fmt: skip
FOR_CALLERS = [
    "Content-Type", "Content-Encoding", "Content-Disposition", "Content-Range", "ETag", "Last-Modified", "Retry-After", "Location", "Link",
    "X-RateLimit-Remaining", "RateLimit", "RateLimit-Policy", "WWW-Authenticate", "DAV", "Allow", "Vary", "X-Request-Id", "Accept-Ranges",
]  # fmt: skip


@pytest.mark.parametrize("name", FOR_BROWSERS)
def test_a_header_that_speaks_for_an_origin_does_not_come_back(name: str) -> None:
    said = [(name.encode(), b"x"), (name.lower().encode(), b"y"), (b"DAV", b"1")]

    assert list(headers_down(said, 200, challenges=True)) == [(b"dav", b"1")]


@pytest.mark.parametrize("name", FOR_CALLERS)
def test_a_header_for_the_caller_comes_back_as_often_as_it_was_said(name: str) -> None:
    said = [(name.encode(), b"x"), (name.encode(), b"y")]

    assert list(headers_down(said, 200, challenges=True)) == [(name.lower().encode(), b"x"), (name.lower().encode(), b"y")]


def test_an_answer_has_one_length_and_one_without_a_body_has_none() -> None:
    said = [(b"Content-Length", b"5"), (b"Content-Length", b"5")]

    assert list(headers_down(said, 200, challenges=True)) == [(b"content-length", b"5")]
    assert list(headers_down(said, 304, challenges=True)) == []


def test_a_challenge_is_not_for_browsers() -> None:
    said = [(b"WWW-Authenticate", b"Basic")]

    assert list(headers_down(said, 401, challenges=False)) == []


def test_a_credential_is_taken_out_of_what_repeats_it() -> None:
    redaction = Redaction(secrets_of({"Authorization": "Bearer abc/def+ghi"}, {"key": "pass word"}, ["short"]))

    assert redaction.of(b"x=abc/def+ghi&y=abc%2Fdef%2Bghi&z=pass%20word, Bearer abc/def+ghi") == b"x=***&y=***&z=***, ***"
    assert redaction.of(b"short") == b"short"
    assert "abc" not in repr(redaction)
