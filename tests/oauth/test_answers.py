"""What the reader of token answers takes, and what it refuses."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.oauth.answers import Refused, Unreadable, find, parse_json, parse_revocation_answer, parse_token_answer
from api.oauth.errors import ServerFailed, ServerRefused, TokenError, UnusableAnswer, read_retry_after
from api.oauth.tokens import AuthorizationServer, TokenPaths, TokenSet
from api.outbound.http import Answer
from api.secret import Secret

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SERVER = AuthorizationServer("https://provider.example/token", default_lifetime=timedelta(hours=2))
TOO_LONG = timedelta(days=400)
DEFAULT = timedelta(hours=2)


def parse(body: bytes | str | dict[str, Any], server: AuthorizationServer = SERVER, *, status: int = 200, **headers: str) -> TokenSet:
    raw = json.dumps(body) if isinstance(body, dict) else body
    said = Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw.encode() if isinstance(raw, str) else raw)
    return parse_token_answer(said, server, NOW, secrets=[Secret("client-canary"), Secret("refresh canary")])


def granted(**members: Any) -> dict[str, Any]:
    return {"access_token": "access"} | members


def test_reads_a_whole_grant() -> None:
    tokens = parse(
        granted(token_type="bearer", expires_in=3600, refresh_token="refresh", refresh_token_expires_in=86400, scope="read write")
    )

    assert tokens == TokenSet(
        access_token=Secret("access"),
        token_type="Bearer",
        refresh_token=Secret("refresh"),
        expires_at=NOW + timedelta(hours=1),
        refresh_expires_at=NOW + timedelta(days=1),
        scopes=("read", "write"),
    )


def test_reads_the_least_of_a_grant() -> None:
    assert parse(granted()) == TokenSet(Secret("access"), expires_at=NOW + DEFAULT)


def test_a_token_without_a_known_lifetime_does_not_end_where_the_connector_says_nothing() -> None:
    assert parse(granted(expires_in=0), AuthorizationServer("https://provider.example/token")).expires_at is None


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        ("3600", timedelta(hours=1)),
        ('"3600"', timedelta(hours=1)),
        ('" 3600 "', timedelta(hours=1)),
        ("3599.7", timedelta(seconds=3599)),
        ('"3599.7"', timedelta(seconds=3599)),
        ("3.6e3", timedelta(hours=1)),
        ("1", timedelta(seconds=1)),
        ("34560000", TOO_LONG),
        ("34560001", TOO_LONG),
        ("1000000000000000000", TOO_LONG),
        ("99999999999999999999", TOO_LONG),
        ("1e300", TOO_LONG),
        ("0", DEFAULT),
        ("0.5", DEFAULT),
        ("-5", DEFAULT),
        ('"-5"', DEFAULT),
        ("-1e400", DEFAULT),
        ("1e400", DEFAULT),
        ('"abc"', DEFAULT),
        ('"1e400"', DEFAULT),
        ('"Infinity"', DEFAULT),
        ('"٣٦٠٠"', DEFAULT),
        ('""', DEFAULT),
        ("[1]", DEFAULT),
        ("{}", DEFAULT),
        ("true", DEFAULT),
        ("null", DEFAULT),
    ],
)
def test_a_lifetime_is_read_as_vendors_write_it(expires_in: str, lifetime: timedelta) -> None:
    tokens = parse(f'{{"access_token":"access","expires_in":{expires_in}}}')

    assert tokens.expires_at == NOW + lifetime


def test_a_refresh_lifetime_of_zero_means_that_it_does_not_end() -> None:
    assert parse(granted(refresh_token="refresh", refresh_token_expires_in=0)).refresh_expires_at is None


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
@pytest.mark.parametrize("token", ["a\r\nX: b", "a\x00", "a b", "ä", "\ud800", "\x7f", "a" * 16_385, 5, True, ["a"], {"a": "b"}])
def test_a_token_that_could_not_travel_in_a_header_is_refused(name: str, token: object) -> None:
    with pytest.raises(UnusableAnswer):
        parse(granted() | {name: token})


def test_the_longest_token_is_taken() -> None:
    assert parse(granted(refresh_token="~" * 16_384)).refresh_token == Secret("~" * 16_384)


@pytest.mark.parametrize(
    "body", [{}, {"access_token": None}, {"access_token": ""}, {"message": "hello"}, "[]", '["access"]', '"access"', "5", "null", "true"]
)
def test_a_success_without_an_access_token_is_unusable(body: str | dict[str, Any]) -> None:
    with pytest.raises(UnusableAnswer):
        parse(body)


@pytest.mark.parametrize("token", [None, ""])
def test_an_empty_refresh_token_is_none(token: str | None) -> None:
    assert parse(granted(refresh_token=token)).refresh_token is None


@pytest.mark.parametrize("token_type", ["mac", "DPoP", 5, ["Bearer"], "Bearer\r\n", True])
def test_a_token_type_that_is_not_expected_is_refused(token_type: object) -> None:
    with pytest.raises(UnusableAnswer):
        parse(granted(token_type=token_type))


@pytest.mark.parametrize(
    ("said", "kept"), [("Bearer", "Bearer"), ("BEARER", "Bearer"), ("", "Bearer"), (None, "Bearer"), ("bot", "bot"), ("Bot", "Bot")]
)
def test_a_token_type_is_told_without_regard_to_case(said: str | None, kept: str) -> None:
    server = AuthorizationServer("https://provider.example/token", token_types=frozenset({"bearer", "bot"}))

    assert parse(granted(token_type=said), server).token_type == kept


@pytest.mark.parametrize(
    "body",
    [
        '{"access_token":"a","access_token":"b"}',
        '{"access_token":"a","more":{"x":1,"x":2}}',
        '{"access_token":"a","more":[{"x":1,"\\u0078":2}]}',
        '{"access_token":"a","more":' + "[" * 32 + "]" * 32 + "}",
        '{"access_token":"a","more":' + '{"a":' * 32 + "1" + "}" * 32 + "}",
        '{"access_token":"a","more":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"access_token":"a","more":' + '{"a":' * 40_000 + "1" + "}" * 40_000 + "}",
        '{"access_token":"a","more":123456789012345678901}',
        '{"access_token":"a","more":' + "9" * 100_000 + "}",
        '{"access_token":"a","more":0.' + "9" * 100_000 + "}",
    ],
)
def test_json_that_two_readers_might_read_differently_or_choke_on_is_refused(body: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse(body)


def test_json_of_just_the_depth_allowed_is_read() -> None:
    assert parse('{"access_token":"access","more":' + "[" * 31 + "]" * 31 + "}").access_token == Secret("access")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><title>Sign in to the hotel's network</title></html>",
        b'{"access_token":"a"',
        b'{"access_token":"a"} trailing',
        b'{"access_token":NaN}',
        b'{"access_token":"a","expires_in":Infinity}',
        b"{'access_token':'a'}",
        b'{"access_token":"a\xff"}',
        '{"access_token":"a"}'.encode("utf-16"),
        b'{"access_token":"a\nb"}',
        b"access_token=a&token_type=bearer",
        b"\x00",
        b"[" * 200_000,
    ],
)
def test_an_answer_that_cannot_be_read_is_the_servers_failure(body: bytes) -> None:
    with pytest.raises((ServerFailed, UnusableAnswer)) as failed:
        parse(body)

    assert failed.value.status == 200
    assert isinstance(failed.value, ServerFailed) or body.startswith(b"[[")


def test_json_may_begin_with_a_byte_order_mark_and_call_itself_html() -> None:
    assert parse(b'\xef\xbb\xbf{"access_token":"access"}', Content_Type="text/html").access_token == Secret("access")


FORM = AuthorizationServer("https://provider.example/token", accepts_form_answer=True)


def test_a_form_is_read_only_where_the_provider_is_known_to_send_one() -> None:
    body, kind = (b"access_token=access&scope=repo%2Cuser&token_type=bearer&expires_in=3600", "application/x-www-form-urlencoded")

    tokens = parse(body, FORM, Content_Type=kind)

    assert tokens == TokenSet(Secret("access"), expires_at=NOW + timedelta(hours=1), scopes=("repo", "user"))
    with pytest.raises(ServerFailed):
        parse(body, SERVER, Content_Type=kind)


def test_where_forms_are_read_json_is_too() -> None:
    assert parse(granted(), FORM, Content_Type="application/json").access_token == Secret("access")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"access_token=a&access_token=b", UnusableAnswer),
        (b"access_token=a%0Ab", UnusableAnswer),
        (b"access_token=%FF", ServerFailed),
        (b"access_token", ServerFailed),
        (b"&".join(b"k%d=v" % number for number in range(65)), ServerFailed),
        (b"error=bad_verification_code&error_description=The+code+is+wrong", ServerRefused),
    ],
)
def test_a_form_is_read_as_strictly_as_json(body: bytes, error: type[TokenError]) -> None:
    with pytest.raises(error):
        parse(body, FORM, Content_Type="application/x-www-form-urlencoded")


def test_html_is_not_taken_for_a_form() -> None:
    with pytest.raises(ServerFailed):
        parse(b'<a href="x">access_token=a</a>', FORM, Content_Type="text/html")


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("read write", ("read", "write")),
        ("read,write", ("read", "write")),
        (" read,  write read ", ("read", "write")),
        (["read", "write", 5, None, ["x"]], ("read", "write")),
        ("read|write", ("read|write",)),
        ("", ()),
        ([], ()),
        ("re\x00ad write\u202e ok", ("ok",)),
        (5, None),
        ({"read": True}, None),
        (None, None),
    ],
)
def test_scopes_are_read_as_vendors_write_them(scope: object, scopes: tuple[str, ...] | None) -> None:
    assert parse(granted(scope=scope)).scopes == scopes


def test_scopes_are_separated_as_the_connector_says() -> None:
    server = AuthorizationServer("https://provider.example/token", granted_scope_separator="|")

    assert parse(granted(scope="full|account host"), server).scopes == ("full",)
    assert parse(granted(scope="full|account"), server).scopes == ("full", "account")


def test_members_are_found_at_their_paths_and_captured() -> None:
    server = AuthorizationServer(
        "https://provider.example/token",
        paths=TokenPaths(access_token="authed_user.access_token", scope="authed_user.scope", refresh_token="", expires_in="data.0.life"),
        capture={
            "team": "team.id",
            "number": "data.0.number",
            "gone": "team.gone.away",
            "flag": "flag",
            "list": "data",
            "bad": "bad",
            "far": "data.7",
        },
    )

    tokens = parse(
        {
            "access_token": "not this one",
            "refresh_token": "not_supported",
            "authed_user": {"access_token": "access", "scope": "chat:write,users:read"},
            "team": {"id": "T1"},
            "data": [{"life": 60, "number": 7}],
            "flag": True,
            "bad": "a\r\nb",
        },
        server,
    )

    assert tokens == TokenSet(
        Secret("access"), expires_at=NOW + timedelta(minutes=1), scopes=("chat:write", "users:read"), captured={"team": "T1", "number": "7"}
    )


@pytest.mark.parametrize("path", ["", ".", "a.", "0", "a.b", "a.-1", "a.1", "a.00000", "a.²", "b.0"])
def test_a_path_to_nowhere_finds_nothing(path: str) -> None:
    assert find({"a": ["x"], "b": "text"}, path) is None


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (400, {"error": "invalid_grant"}, ServerRefused, "invalid_grant"),
        (401, {"error": "invalid_client", "access_token": "access"}, ServerRefused, "invalid_client"),
        (400, {"access_token": "access"}, ServerRefused, None),
        (401, {"message": "Bad credentials"}, ServerRefused, None),
        (400, {"error": {"type": "OAuthException"}}, ServerRefused, None),
        (400, {"error": 190}, ServerRefused, "190"),
        (403, "<html>", ServerFailed, None),
        (401, "", ServerFailed, None),
        (400, "[]", ServerFailed, None),
        (400, '{"error":"invalid_grant","error":"invalid_client"}', ServerFailed, None),
        (200, {"error": "bad_verification_code"}, ServerRefused, "bad_verification_code"),
        (200, {"ok": False, "error": "invalid_auth"}, ServerRefused, "invalid_auth"),
        (200, {"ok": False, "access_token": "access"}, ServerRefused, None),
        (200, {"error": {"code": 1}, "access_token": "access"}, ServerRefused, None),
        (301, granted(), ServerFailed, None),
        (302, "", ServerFailed, None),
        (307, granted(), ServerFailed, None),
        (308, granted(), ServerFailed, None),
        (408, {"error": "timeout"}, ServerFailed, "timeout"),
        (429, {"error": "slow_down"}, ServerFailed, "slow_down"),
        (500, granted(), ServerFailed, None),
        (503, {"error": "temporarily_unavailable"}, ServerFailed, "temporarily_unavailable"),
        (503, "<html>", ServerFailed, None),
        (101, granted(), ServerFailed, None),
    ],
)
def test_failures_and_refusals_are_told_apart(status: int, body: str | dict[str, Any], error: type[TokenError], code: str | None) -> None:
    with pytest.raises(TokenError) as raised:
        parse(body, status=status)

    assert type(raised.value) is error
    assert (raised.value.status, raised.value.error) == (status, code)


@pytest.mark.parametrize("nothing", [None, "", False, 0, []])
def test_an_empty_error_beside_a_token_is_no_error(nothing: object) -> None:
    assert parse(granted(error=nothing, ok=True)).access_token == Secret("access")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("invalid_grant", "invalid_grant"),
        ("invalid grant!", "invalid_grant"),
        ("<script>alert(1)</script>", "script_alert_1_script"),
        ("a\r\nb", "a_b"),
        ("x" * 100_000, "x" * 64),
        ("é\ud800", None),
        ("client-canary", None),
        ("it is CLIENT-CANARY.", None),
        (True, None),
    ],
)
def test_an_error_code_is_cleaned(error: object, code: str | None) -> None:
    with pytest.raises(ServerRefused) as refused:
        parse({"error": error}, status=400)

    assert refused.value.error == code


def test_a_code_of_the_standard_is_known_even_where_a_short_secret_is_part_of_it() -> None:
    with pytest.raises(ServerRefused) as refused:
        parse_token_answer(Answer(400, {}, b'{"error":"invalid_grant"}'), SERVER, NOW, secrets=[Secret("grant")])

    assert refused.value.error == "invalid_grant"


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("The code has expired.", "The code has expired."),
        ("two\r\nlines\x1b[31m\u202e and\u200b more\ud800", "two lines [31m and more"),
        ("of no\U00018d09 one\ue000 and\u00a0all", "of no one and all"),
        ("word " * 100, ("word " * 40).strip()),
        ("The secret client-canary is wrong", None),
        ("The secret CLIENT-CANARY is wrong", None),
        ("The secret client-\x00can\u200bary is wrong", None),
        ("The secret client-\ue000can\u0378ary is wrong", None),
        ("The secret client - canary is wrong", None),
        ("x " * 97 + "client-canary", None),
        ("refresh+canary", None),
        ("refresh%20canary", None),
        ("Y2xpZW50LWNhbmFyeQ", None),
        ("636c69656e742d63616e617279", None),
        ("new token: " + "a1" * 30, "new token: …"),
        ("", None),
        ("\x00", None),
        (["a"], None),
        (5, None),
    ],
)
def test_a_description_is_one_clean_line_that_repeats_no_secret(text: object, description: str | None) -> None:
    with pytest.raises(ServerRefused) as refused:
        parse({"error": "invalid_request", "error_description": text}, status=400)

    assert refused.value.description == description
    assert "canary" not in f"{refused.value} {refused.value!r}"
    assert "code" not in str(refused.value)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(minutes=2)),
        (" 120 ", timedelta(minutes=2)),
        ("1.5", timedelta(seconds=1.5)),
        ("0", timedelta(seconds=1)),
        ("-1", timedelta(seconds=1)),
        ("3600", timedelta(hours=1)),
        ("3601", timedelta(hours=1)),
        ("1000000000", timedelta(hours=1)),
        ("9" * 10_000, timedelta(hours=1)),
        ("Sun, 01 Mar 2026 12:02:00 GMT", timedelta(minutes=2)),
        ("Sun, 01 Mar 2026 12:02:00 -0000", timedelta(minutes=2)),
        ("Sun, 01 Mar 2026 13:02:00 +0100", timedelta(minutes=2)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", timedelta(seconds=1)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(hours=1)),
        ("Sun, 01 Mar 99999 11:00:00 GMT", None),
        ("soon", None),
        ("", None),
        ("1e3", None),
        ("١٢٠", None),
        (None, None),
    ],
)
def test_retry_after_is_held_between_a_second_and_an_hour(header: str | None, wait: timedelta | None) -> None:
    assert read_retry_after(header, NOW) == wait


@pytest.mark.parametrize(
    ("status", "body"), [(429, "{}"), (503, "<html>"), (400, '{"error":"slow_down"}'), (200, '{"ok":false}'), (302, "")]
)
def test_every_failure_carries_retry_after(status: int, body: str) -> None:
    with pytest.raises(TokenError) as raised:
        parse(body, status=status, Retry_After="7")

    assert raised.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("status", "body"), [(200, b""), (200, b"{}"), (204, b""), (200, b"<html>"), (202, b'{"ok":true}'), (200, b'{"a":1,"a":2}')]
)
def test_a_revocation_is_done_where_the_server_says_so(status: int, body: bytes) -> None:
    parse_revocation_answer(Answer(status, {}, body), NOW)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b'{"ok":false,"error":"token_revoked"}', ServerRefused),
        (400, b'{"error":"unsupported_token_type"}', ServerRefused),
        (404, b"<html>", ServerFailed),
        (302, b"", ServerFailed),
        (503, b"", ServerFailed),
    ],
)
def test_a_revocation_that_is_not_done_raises(status: int, body: bytes, error: type[TokenError]) -> None:
    with pytest.raises(error):
        parse_revocation_answer(Answer(status, {}, body), NOW)


# How long an example takes says nothing on a machine that others use too.
at_leisure = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
members = st.sampled_from(
    [
        "access_token",
        "refresh_token",
        "token_type",
        "expires_in",
        "refresh_token_expires_in",
        "scope",
        "error",
        "error_description",
        "ok",
        "team",
    ]
)
headers = st.dictionaries(
    st.sampled_from(["Retry-After", "Content-Type"]), st.text() | st.sampled_from(["application/x-www-form-urlencoded", "text/plain"])
)
servers = st.sampled_from(
    [SERVER, FORM, AuthorizationServer("https://x/", capture={"a": "team.0.b", "b": "scope"}, granted_scope_separator=",")]
)


@at_leisure
@given(st.dictionaries(members, json_values).map(lambda document: json.dumps(document).encode()), st.integers(100, 599), headers, servers)
def test_no_document_raises_anything_but_a_token_error(
    body: bytes, status: int, headers: dict[str, str], server: AuthorizationServer
) -> None:
    assert_read_or_refused(body, status, headers, server)


@at_leisure
@given(
    st.binary() | st.text(alphabet='{}[]",:=&%0123456789eE+-.aAtrufnls\\ \n').map(str.encode),
    st.just(200) | st.integers(100, 599),
    headers,
    servers,
)
def test_no_bytes_raise_anything_but_a_token_error(body: bytes, status: int, headers: dict[str, str], server: AuthorizationServer) -> None:
    assert_read_or_refused(body, status, headers, server)


def assert_read_or_refused(body: bytes, status: int, headers: dict[str, str], server: AuthorizationServer) -> None:
    try:
        tokens = parse_token_answer(Answer(status, headers, body), server, NOW, secrets=[Secret("a"), Secret("")])
    except TokenError as error:
        assert error.retry_after is None or timedelta(seconds=1) <= error.retry_after <= timedelta(hours=1)
        assert error.description is None or (len(error.description) <= 200 and error.description.isprintable())
        return
    token = tokens.access_token.reveal()
    assert status // 100 == 2
    assert token and token.isascii() and token.isprintable() and " " not in token
    assert tokens.expires_at is None or NOW < tokens.expires_at <= NOW + TOO_LONG
    assert tokens.scopes is None or all(scope.isascii() for scope in tokens.scopes)


def test_parse_json_tells_what_is_no_json_from_what_is_refused() -> None:
    with pytest.raises(Unreadable):
        parse_json(b"nonsense")
    with pytest.raises(Refused, match="a key twice"):
        parse_json(b'{"a":1,"a":1}')
