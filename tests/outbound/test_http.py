"""The outbound client against servers that misbehave, over real sockets."""

import asyncio
import gzip
import ssl
import time
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from api.outbound.egress import EgressGuard, EgressRefused
from api.outbound.http import Answer, AnswerTooLarge, DeadlineExceeded, Obstacle, OutboundClient, OutboundRequest, Unreachable, tls_context
from tests.outbound.servers import Respond, Server, answer, says, serve

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=10)
SHORT = timedelta(milliseconds=300)
KB = 1_000
CANARY = b"grant_type=refresh_token&refresh_token=canary"


async def post(client: OutboundClient, server: Server, *, deadline: timedelta = LONG, max_bytes: int = 256 * KB) -> Answer:
    request = OutboundRequest("POST", server.url("/token?key=canary"), {"Authorization": "Basic canary"}, CANARY)
    return await client.send(request, deadline=deadline, max_bytes=max_bytes)


async def test_sends_what_it_was_given_and_little_else() -> None:
    async with serve(says(answer(200, b"{}", Content_Type="application/json", X_Many="yes"))) as server, server.client as client:
        received = await post(client, server)

    assert received.status == 200
    assert received.body == b"{}"
    assert received.headers["content-TYPE"] == "application/json"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == CANARY
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /token?key=canary HTTP/1.1"
    assert {line.partition(":")[0] for line in lines[1:]} == {
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
        "Authorization",
        "Content-Length",
    }
    assert (server.header("User-Agent") or "").startswith("Patchbay/")
    assert server.header("Accept-Encoding") == "identity"


async def test_a_post_without_a_body_says_that_it_is_empty() -> None:
    async with serve(says(answer())) as server, server.client as client:
        await client.send(OutboundRequest("POST", server.url()), deadline=LONG, max_bytes=KB)

    assert server.header("Content-Length") == "0"
    assert server.header("Content-Type") is None


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    async with (
        serve(says(answer())) as elsewhere,
        serve(says(answer(status, b"", Location=elsewhere.url()))) as server,
        OutboundClient(EgressGuard(frozenset({"127.0.0.1"}))) as client,
    ):
        received = await post(client, server)

    assert received.status == status
    assert len(server.requests) == 1
    assert elsewhere.requests == []


async def test_keeps_no_cookies() -> None:
    async with serve(says(answer(200, b"", Set_Cookie="session=1; Path=/"))) as server, server.client as client:
        await post(client, server)
        await post(client, server)

    assert server.header("Cookie", 1) is None


async def test_uses_neither_proxy_nor_netrc_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("default login canary password canary\n")
    async with serve(says(answer(502))) as proxy, serve(says(answer())) as server, server.client as client:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        received = await client.send(OutboundRequest("GET", server.url()), deadline=LONG, max_bytes=KB)

    assert received.status == 200
    assert proxy.requests == []
    assert server.header("Authorization") is None


async def drip_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_interim_answers(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def say_nothing(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("respond", [drip_body, drip_headers, drip_interim_answers, say_nothing])
async def test_a_slow_server_is_left_at_the_deadline(respond: Respond) -> None:
    async with serve(respond) as server, server.client as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded) as exceeded:
            await post(client, server, deadline=SHORT)
        took = time.monotonic() - began

        async with asyncio.timeout(5):
            if respond is not say_nothing:
                await server.left.wait()

    assert 0.29 < took < 0.6
    assert exceeded.value.may_have_arrived
    assert len(server.requests) == 1


async def test_a_server_that_takes_no_handshake_is_left_at_the_deadline() -> None:
    """A plain server that waits for a request while we wait for its half of TLS."""
    async with serve(say_nothing) as server, server.client as client:
        with pytest.raises(DeadlineExceeded) as exceeded:
            request = OutboundRequest("POST", f"https://127.0.0.1:{server.port}/", body=CANARY)
            await client.send(request, deadline=SHORT, max_bytes=KB)

    assert not exceeded.value.may_have_arrived
    assert b"canary" not in b"".join(server.requests)


async def test_a_deadline_frees_the_connection_that_others_wait_for() -> None:
    turns = iter([say_nothing, say_nothing])

    async def respond(writer: asyncio.StreamWriter) -> None:
        await next(turns, says(answer(200, b"hello")))(writer)

    async with serve(respond) as server:
        guard = EgressGuard(frozenset({f"127.0.0.1:{server.port}"}))
        async with OutboundClient(guard, connections_per_host=2) as client:
            results = await asyncio.gather(
                post(client, server, deadline=SHORT),
                post(client, server, deadline=SHORT),
                *(post(client, server) for _ in range(4)),
                return_exceptions=True,
            )

    assert [type(result) for result in results] == [DeadlineExceeded] * 2 + [Answer] * 4


async def test_a_host_gets_no_more_connections_than_its_limit() -> None:
    running, most = 0, 0

    async def respond(writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        await says(answer())(writer)

    async with serve(respond) as server, OutboundClient(EgressGuard(frozenset({"127.0.0.1"})), connections_per_host=3) as client:
        await asyncio.gather(*(post(client, server) for _ in range(12)))

    assert most == 3
    assert len(server.requests) == 12


async def test_cancelling_a_call_passes_and_closes_its_connection() -> None:
    async with serve(say_nothing) as server, server.client as client:
        call = asyncio.create_task(post(client, server))
        async with asyncio.timeout(5):
            while not server.requests:
                await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def endless_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"a" * 65_536 + b"\r\n")
        await writer.drain()


ONE_MB = bytes(1_000_000)
_compressor = zlib.compressobj(9, wbits=31)
BOMB = b"".join(_compressor.compress(ONE_MB) for _ in range(300)) + _compressor.flush()
BOMB_OF_MANY = gzip.compress(ONE_MB, 9) * 100


@pytest.mark.parametrize(
    "respond",
    [
        endless_body,
        says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"a" * 1_000_000),
        says(answer(200, b"a" * 1_000_000)),
        says(answer(500, b"a" * 1_000_000)),
        says(answer(200, BOMB, Content_Encoding="gzip")),
        says(answer(200, BOMB_OF_MANY, Content_Encoding="gzip")),
    ],
    ids=["endless", "until the end", "with a length", "of an error", "one gzip member", "many gzip members"],
)
async def test_a_body_is_read_no_further_than_its_limit(respond: Respond) -> None:
    async with serve(respond) as server, server.client as client:
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge) as too_large:
                await post(client, server)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert too_large.value.may_have_arrived
    # Of the server's side too, which holds up to a megabyte.
    assert peak < 4 * 1_000_000


async def test_a_body_of_just_the_limit_is_read_decoded_too() -> None:
    async with serve(says(answer(200, gzip.compress(b"a" * 1_000), Content_Encoding="gzip"))) as server, server.client as client:
        assert (await post(client, server, max_bytes=1_000)).body == b"a" * 1_000
        with pytest.raises(AnswerTooLarge):
            await post(client, server, max_bytes=999)


@pytest.mark.parametrize(
    "headers",
    [b"X-Long: " + b"a" * 10_000_000 + b"\r\n", b"".join(b"X-%d: a\r\n" % number for number in range(100_000)), b"X-Cookie: a\r\n" * 200],
    ids=["one long", "very many", "two hundred"],
)
async def test_headers_are_read_no_further_than_their_limit(headers: bytes) -> None:
    async with serve(says(b"HTTP/1.1 200 OK\r\n" + headers + b"Content-Length: 0\r\n\r\n")) as server, server.client as client:
        with pytest.raises(AnswerTooLarge):
            await post(client, server)


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def cut_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"access_token"')
    await writer.drain()
    writer.close()


BROKEN = {
    "reset": reset,
    "hang up": hang_up,
    "cut off": cut_off,
    "not http": says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "garbage": says(bytes(range(256)) * 4),
    "two lengths": says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "bad length": says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    "bad chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "bad gzip": says(answer(200, b"this is not gzip", Content_Encoding="gzip")),
    "bad brotli": says(answer(200, b"this is not brotli", Content_Encoding="br")),
}


@pytest.mark.parametrize("respond", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_may_have_been_acted_upon_and_is_asked_for_once(respond: Respond) -> None:
    async with serve(respond) as server, server.client as client:
        with pytest.raises(Unreachable) as unreachable:
            await post(client, server)

    assert unreachable.value.obstacle is Obstacle.EXCHANGE
    assert unreachable.value.may_have_arrived
    assert len(server.requests) == 1
    assert_tells_the_origin_alone(unreachable.value)


async def test_a_refused_connection_arrived_nowhere() -> None:
    async with serve(says(answer())) as server:
        client = server.client
    async with client:
        with pytest.raises(Unreachable) as unreachable:
            await post(client, server)

    assert unreachable.value.obstacle is Obstacle.CONNECTION
    assert not unreachable.value.may_have_arrived
    assert_tells_the_origin_alone(unreachable.value)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def tls_client(server: Server, ca_file: Path | None) -> OutboundClient:
    async def lookup(_: str) -> list[str]:
        return ["127.0.0.1"]

    return OutboundClient(EgressGuard(frozenset({f"provider.example:{server.port}"}), lookup), ca_file=ca_file)


async def test_a_certificate_of_the_operators_authority_is_trusted(authority: trustme.CA, ca_file: Path) -> None:
    certificate = serving(authority.issue_cert("provider.example"))
    async with (
        serve(says(answer(200, b"hello")), tls=certificate, host="provider.example") as server,
        tls_client(server, ca_file) as client,
    ):
        received = await post(client, server)

    assert received.body == b"hello"
    assert server.header("Host") == f"provider.example:{server.port}"


def old_protocol(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


YESTERDAY = datetime.now(UTC) - timedelta(days=1)
TOMORROW = datetime.now(UTC) + timedelta(days=1)

BAD_TLS: dict[str, Callable[[trustme.CA], ssl.SSLContext]] = {
    "self-signed": lambda _: serving(trustme.CA().issue_cert("provider.example")),
    "another name": lambda ca: serving(ca.issue_cert("other.example")),
    "a name below": lambda ca: serving(ca.issue_cert("www.provider.example")),
    "a wildcard of the same level": lambda ca: serving(ca.issue_cert("*.provider.example")),
    "the address alone": lambda ca: serving(ca.issue_cert("127.0.0.1")),
    "only a common name": lambda ca: serving(ca.issue_cert("other.example", common_name="provider.example")),
    "expired": lambda ca: serving(ca.issue_cert("provider.example", not_after=YESTERDAY)),
    "not yet valid": lambda ca: serving(ca.issue_cert("provider.example", not_before=TOMORROW)),
    "TLS 1.1": lambda ca: old_protocol(serving(ca.issue_cert("provider.example"))),
}


async def test_authorities_that_cannot_be_read_are_known_before_the_first_call(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate\n")

    with pytest.raises(ssl.SSLError):
        async with OutboundClient(EgressGuard(), ca_file=tmp_path / "ca.pem"):
            pass


async def test_a_client_that_is_not_open_sends_nothing() -> None:
    async with serve(says(answer())) as server:
        async with server.client as client:
            pass

        with pytest.raises(RuntimeError):
            await post(client, server)

    assert server.requests == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("bad", BAD_TLS)
async def test_bad_tls_gets_not_one_byte_of_the_request(bad: str, authority: trustme.CA, ca_file: Path) -> None:
    async with serve(says(answer()), tls=BAD_TLS[bad](authority), host="provider.example") as server, tls_client(server, ca_file) as client:
        with pytest.raises(Unreachable) as unreachable:
            await post(client, server)

    assert unreachable.value.obstacle is Obstacle.TLS
    assert not unreachable.value.may_have_arrived
    assert server.requests == []
    assert_tells_the_origin_alone(unreachable.value)


async def test_the_environment_adds_no_certificate_authority(
    authority: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tls_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.setenv("SSL_CERT_DIR", str(ca_file.parent))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    certificate = serving(authority.issue_cert("provider.example"))
    async with serve(says(answer()), tls=certificate, host="provider.example") as server, tls_client(server, None) as client:
        with pytest.raises(Unreachable):
            await post(client, server)

    assert server.requests == []
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"X-Key": "a\r\nX-Evil: b"}),
        ("POST", {"X-Key": "a\x00"}),
        ("POST", {"X-Key": "\udc80"}),
        ("POST", {"X-Key\r\nX-Evil": "a"}),
        ("POST", {"X Key": "a"}),
        ("POST", {"": "a"}),
        ("POST", {"host": "evil.example"}),
        ("POST", {"Content-Length": "0"}),
        ("POST", {"Transfer-Encoding": "chunked"}),
        ("POST", {"Connection": "keep-alive"}),
        ("GET / HTTP/1.1\r\nX:", {}),
        ("", {}),
    ],
)
async def test_a_request_that_would_smuggle_is_not_sent(method: str, headers: dict[str, str]) -> None:
    async with serve(says(answer())) as server, server.client as client:
        with pytest.raises(EgressRefused):
            await client.send(OutboundRequest(method, server.url(), headers), deadline=LONG, max_bytes=KB)

    assert server.requests == []


def test_requests_and_answers_print_nothing_secret() -> None:
    request = OutboundRequest("POST", "https://provider.example/canary?key=canary", {"Authorization": "canary"}, b"canary")

    assert repr(request) == "OutboundRequest(POST https://provider.example, headers: Authorization, 6 bytes of body)"
    assert repr(OutboundRequest("GET", "nonsense canary")) == "OutboundRequest(GET That address, headers: none, no body)"
    assert repr(Answer(200, {"Set-Cookie": "canary"}, b"canary")) == "Answer(200, 1 headers, 6 bytes)"


def assert_tells_the_origin_alone(error: Unreachable) -> None:
    assert "canary" not in f"{error} {error!r} {error.remedy}"
    assert "/token" not in str(error)
    assert error.__suppress_context__
