"""Attacks on the calls to the outside: where they go, and what comes back. What is refused is dialled nowhere."""

import asyncio
import re
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import trustme

import models
from api.catalog.connector import Connector, Field, Option
from api.connections import proof
from api.connections.proof import Prover
from api.connections.provider import Provider
from api.connections.requests import ConnectRequest
from api.connections.secrets import Secrets
from api.connections.wishes import Wish, captured
from api.errors import InvalidInput, ProviderFailure
from api.oauth import client as oauth_client
from api.oauth.client import OAuthClient
from api.oauth.errors import ServerFailed, ServerRefused, TokenError, UnusableAnswer
from api.oauth.tokens import AuthorizationServer, RevocationEndpoint
from api.outbound.egress import EgressGuard, EgressRefused, OutboundError
from api.outbound.http import AnswerTooLarge, DeadlineExceeded, Obstacle, OutboundClient, OutboundRequest, Unreachable
from api.sandbox.provider import Answer
from api.secret import Secret
from models import AuthenticationType, ConnectionStatus
from tests.catalog.test_connectors import CATALOG, FRAGMENTS, HOSTILE, OFFERED, host_names, samples, urls, urlsplit_differs
from tests.clock import HeldClock
from tests.connections.test_refreshing import secrets_of
from tests.connections.trouble import Endpoint
from tests.installation import Installation, installed
from tests.oauth.test_client import CLIENT, NOW, form
from tests.outbound.servers import Respond, Server, answer, says, serve
from tests.outbound.test_http import BAD_TLS, BOMB, BOMB_OF_MANY, drip_body, drip_headers, drip_interim_answers, say_nothing, tls_client

pytestmark = pytest.mark.anyio

# fmt: off
ADDRESSES = [
    "0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.1.2.3", "168.63.129.16", "169.254.169.254",
    "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1",
    "2001::1", "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "100::1",
]
# fmt: on
SECOND, LONG = timedelta(seconds=1), timedelta(seconds=10)
PERSONAL, CLIENT_CREDENTIALS, PASSWORD = (
    AuthenticationType.PERSONAL_ACCESS_TOKEN,
    AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
    AuthenticationType.OAUTH2_PASSWORD,
)


def in_a_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def resolving(*answers: list[str]) -> EgressGuard:
    """A guard whose name server gives these answers in turn, and then the last one again and again."""
    left = list(answers)

    async def lookup(_: str) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return EgressGuard(lookup=lookup)


# Where calls go


def host_fields() -> Iterator[tuple[Connector, Option, Field]]:
    """Every field of every connector that has a part in the host of a URL, or is the host of a login."""
    for connector in CATALOG.all:
        for option in connector.options:
            names = set().union(*(host_names(url) for url in urls(connector, option)))
            names |= set() if option.login is None else option.login.host.names
            yield from ((connector, option, field) for field in connector.fields_for(option) if field.name in names)


def destinations(connector: Connector, option: Option, field: Field, value: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each host that the value leads to, and the check that stands before a call to it."""
    guard = EgressGuard()
    others = {other.name: samples(other)[0] for other in connector.fields_for(option)}
    values = {**connector.constants, **others, field.name: value}
    for url in urls(connector, option):
        if field.name in host_names(url) and url.names <= values.keys():
            rendered = url.render(values)
            yield urlsplit(rendered).hostname or "", partial(guard.check, rendered)
    if option.login is not None and field.name in option.login.host.names:
        host = option.login.host.render(values)
        yield host, partial(guard.check_host, host, 636, origin="That host")


def test_a15_no_field_of_any_connector_takes_an_address_to_a_place_that_is_not_public() -> None:
    tried = 0
    for connector, option, field in host_fields():
        vendor = tuple(OFFERED[connector.key]["hosts"])
        for address in ADDRESSES:
            for value in (in_a_url(address), f"https://{in_a_url(address)}", f"{in_a_url(address)}:443"):
                tried += 1
                if field.problem(value) is not None:
                    continue
                for host, check in destinations(connector, option, field, value):
                    if host != address:
                        # A name in front of the vendor's domain.
                        assert f".{host}".endswith(vendor)
                        continue
                    with pytest.raises(EgressRefused):
                        check()
    assert tried >= 36 * 120


@pytest.fixture
async def alone(sqlite_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[Installation]:
    """A whole Patchbay, whose own connections none could take for a call to the outside."""
    async with installed(sqlite_url, tmp_path, clock) as here:
        yield here


def answer_names_with(here: Installation, addresses: list[str]) -> None:
    """Every name that this Patchbay asks about has these addresses, from now on."""

    async def lookup(_: str) -> list[str]:
        return addresses

    here.patchbay.connecting._exchange._http.guard._lookup = lookup


def requests_to(here: Installation, base: str) -> list[ConnectRequest]:
    """A connection that names this address, in each field that is asked before anything is kept."""
    secret = {"token": Secret("canary")}
    signed_in = {"client_id": Secret("id"), "client_secret": Secret("canary")}
    person = {"username": Secret("ada"), "password": Secret("canary"), "client_id": Secret("id")}
    public = {"base_url": Secret("https://api.example.com")}
    own = {"base_url": Secret(base)}
    given: list[tuple[AuthenticationType, dict[str, Secret]]] = [
        (PERSONAL, own | secret),
        (CLIENT_CREDENTIALS, public | signed_in | {"token_url": Secret(f"{base}/token")}),
        (PASSWORD, public | person | {"token_url": Secret(f"{base}/token")}),
        (AuthenticationType.BASIC, own | {"username": Secret("ada"), "password": Secret("canary")}),
    ]
    return [ConnectRequest(here.workspace, "http", type, fields=fields) for type, fields in given]


async def test_a15_nothing_is_dialled_or_kept_when_such_an_address_is_saved(alone: Installation, outward: list[tuple[str, object]]) -> None:
    outward.clear()
    for number, address in enumerate(ADDRESSES):
        answer_names_with(alone, [address])
        for base in (f"https://{in_a_url(address)}", f"https://s{number}.example"):
            for request in requests_to(alone, base):
                with pytest.raises((InvalidInput, ProviderFailure)):
                    await alone.patchbay.connecting.connect(alone.ada, request)

    assert outward == []
    assert await models.Connection.all().count() == 0


async def test_a15_nothing_is_dialled_when_a_name_leads_there_once_it_is_used(
    alone: Installation, outward: list[tuple[str, object]]
) -> None:
    connection = await alone.connect_with_token()
    outward.clear()
    for number, address in enumerate(ADDRESSES):
        answer_names_with(alone, [address])
        for base in (f"https://{in_a_url(address)}", f"https://s{number}.example"):
            # As one that was kept while its name led elsewhere.
            await models.Connection.filter(id=connection.id).update(
                connector_key="http", option_key="personal_access_token", site={"base_url": base}
            )
            await refusable(alone.patchbay.connections.verify(alone.ada, connection.id))

    assert outward == []
    assert (await models.Connection.get(id=connection.id)).last_verified_at == alone.clock.now


async def refusable(act: Awaitable[object]) -> None:
    try:
        await act
    except ProviderFailure:
        pass


@pytest.mark.parametrize(
    "answers",
    [
        # Public first and private next; both at once, in both orders; and a name for a name inside.
        [["1.1.1.1"], ["127.0.0.1"]],
        [["1.1.1.1", "127.0.0.1"]],
        [["10.0.0.1", "2606:4700::1111"]],
        [["169.254.169.254"]],
    ],
)
async def test_a16_a_name_that_changes_or_mixes_its_addresses_is_not_dialled(
    answers: list[list[str]], outward: list[tuple[str, object]]
) -> None:
    guard = resolving(*answers)
    if len(answers) > 1:
        assert await guard.addresses(guard.check("https://rebinding.example/")) == ["1.1.1.1"]

    async with OutboundClient(guard) as client:
        for method in ("GET", "POST"):
            with pytest.raises(EgressRefused):
                await client.send(OutboundRequest(method, "https://rebinding.example/", body=b"canary"), deadline=SECOND, max_bytes=100)

    assert outward == []


def spellings(octets: tuple[int, int, int, int]) -> list[str]:
    """One IPv4 address as people write it to get past a guard."""
    a, b, c, d = octets
    number = (a << 24) | (b << 16) | (c << 8) | d
    dotted = f"{a}.{b}.{c}.{d}"
    wide = str.maketrans("0123456789.", "０１２３４５６７８９．")
    circled = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")
    return [
        str(number), hex(number), hex(number).upper(), f"0{number:o}", f"{number + 2**32}", f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a:03}.{b:03}.{c:03}.{d:03}",
        f"0x{a:x}.0{b:o}.{c}.{d}", f"{a}.{b}.{c}.{d + 256}", f"{dotted}.", f"{dotted}..", dotted, dotted.translate(wide),
        dotted.translate(circled), dotted.replace(".", "。"), dotted.replace(".", "%2e"), f"[::{dotted}]", f"[::ffff:{dotted}]",
        f"[::ffff:{a:02x}{b:02x}:{c:02x}{d:02x}]", f"[64:ff9b::{dotted}]", f"[2002:{a:02x}{b:02x}:{c:02x}{d:02x}::]",
        f"[::ffff:{dotted}%25lo]",
        f"[0:0:0:0:0:ffff:{dotted}]", f"{dotted}%00", f"{dotted}\t", f" {dotted}",
    ]  # fmt: skip


FRAMES = [
    "https://{}/",
    "https://{}:443/",
    "https://ada@{}/",
    "https://good.example@{}/",
    "https://{}\\@good.example/",
    "https:{}",
    "//{}/",
]
INNER = [(127, 0, 0, 1), (169, 254, 169, 254), (10, 0, 0, 1), (192, 168, 1, 1)]


async def test_a17_no_way_to_write_an_address_is_dialled_or_looked_up(outward: list[tuple[str, object]]) -> None:
    tried = [frame.format(text) for octets in INNER for text in spellings(octets) for frame in FRAMES]

    async with OutboundClient(EgressGuard()) as client:
        for url in tried:
            with pytest.raises(EgressRefused):
                await client.send(OutboundRequest("POST", url, body=b"canary"), deadline=SECOND, max_bytes=100)

    assert len(set(tried)) >= 500
    assert outward == []


def stays_with(connector: Connector, option: Option, field: Field) -> bool:
    """Whether the vendor's domain stands behind the field, and it is not a person's own server, whatever that is called."""
    return all(
        url.text.partition("://")[2].partition("/")[0] != f"{{{field.name}}}"
        for url in urls(connector, option)
        if field.name in host_names(url) and url.text.startswith("https://")
    )


def test_a18_no_value_of_a_field_leads_away_from_the_vendor() -> None:
    payloads = {fragment + text for fragment, text in product(FRAGMENTS, ("evil.example", "", "x"))} | set(HOSTILE)
    payloads |= {f"acme{fragment}{text}" for fragment, text in product(FRAGMENTS, ("evil.example", "", "/", "."))}
    fields = {(connector.key, field.name): (connector, option, field) for connector, option, field in host_fields()}
    taken, away = set(), set()
    for (connector, option, field), payload in product(fields.values(), payloads):
        if field.problem(payload) is not None:
            continue
        # A plain name, or a plain address where the field is for one; and a port at the most.
        if urlsplit_differs(field, payload) and not re.fullmatch(r"[a-z0-9.-]+:[0-9]{1,5}", payload):
            taken.add((connector.key, field.name, payload))
        if stays_with(connector, option, field) and option.login is None:
            hosts = [host for host, _ in destinations(connector, option, field, payload)]
            away |= {(connector.key, field.name, host) for host in hosts if not f".{host}".endswith(tuple(OFFERED[connector.key]["hosts"]))}

    assert len(payloads) >= 300
    assert len(fields) >= 100
    assert (taken, away) == (set(), set())


def test_a19_a_host_that_an_answer_names_holds_to_the_vendors() -> None:
    """And decides nothing where it does not: the token is never sent there (`Exchange._captured`)."""
    told = [(connector, option, field) for connector, option, field in host_fields() if not field.asked and field.derivation is None]
    for connector, option, field in told:
        sample = samples(field)[0]
        scheme, _, host = sample.rpartition("://")
        prefix = f"{scheme}://" if scheme else ""
        domain = ".".join(host.partition("/")[0].split(".")[-2:])
        foreign = [
            "evil.example",
            f"{host}.evil.example",
            f"evil{domain}",
            f"evil.example/{host}",
            f"evil.example#{host}",
            f"{host}@evil.example",
        ]
        vendor = tuple(OFFERED[connector.key]["hosts"])
        for value in (prefix + each for each in foreign):
            hosts = [] if field.problem(value) else [host for host, _ in destinations(connector, option, field, value)]
            assert [host for host in hosts if not f".{host}".endswith(vendor)] == [], (connector.key, field.name, value)
    assert len(told) >= 5


@pytest.mark.parametrize(
    "host", ["evil.example", "acme.my.salesforce.com.evil.example", "acme.my.salesforce.com@evil.example", "127.0.0.1"]
)
def test_a19_a_moved_host_makes_the_consent_fail_before_its_token_is_used(host: str) -> None:
    connector = CATALOG.get("salesforce")
    option = connector.find_option(AuthenticationType.OAUTH2_AUTHORIZATION_CODE)
    assert option is not None and option.grant is not None and set(option.grant.token_capture) == {"instance_url"}
    site = {"login_host": "login.salesforce.com"}
    wish = Wish(Provider(connector, option, site), AuthenticationType.OAUTH2_AUTHORIZATION_CODE, uuid4(), None, {}, ())

    with pytest.raises(InvalidInput):
        captured(wish, {"instance_url": f"https://{host}"})
    assert captured(wish, {"instance_url": "https://acme.my.salesforce.com"}).provider.proof_host == "acme.my.salesforce.com"


# What comes back


def kinds(server: Server, http: OutboundClient) -> dict[str, Callable[[], Awaitable[object]]]:
    """Each kind of call that carries a secret."""
    oauth, token = OAuthClient(http, lambda: NOW), AuthorizationServer(server.url())
    connector = CATALOG.get("http")
    option = connector.find_option(PERSONAL)
    assert option is not None
    provider = Provider(connector, option, {"base_url": server.url(""), "verify_path": "/"})
    secrets = Secrets(fields={"token": Secret("canary")})
    return {
        "code": lambda: oauth.exchange_code(
            token, CLIENT, code=Secret("canary"), redirect_uri="https://x.example/", code_verifier=Secret("canary"), asked_scopes=[]
        ),
        "refresh": lambda: oauth.refresh(token, CLIENT, Secret("canary"), scopes=[]),
        "revoke": lambda: oauth.revoke(RevocationEndpoint(server.url()), CLIENT, Secret("canary")),
        "verify": lambda: Prover(http, lambda: NOW).prove(provider, secrets),
    }


FAILURES = (TokenError, OutboundError, ProviderFailure)


@pytest.mark.parametrize("kind", ["code", "refresh", "revoke", "verify"])
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
async def test_a20_a_redirect_is_a_failure_and_nothing_goes_on(kind: str, status: int) -> None:
    async with (
        serve(says(answer(200, b'{"access_token":"x"}'))) as elsewhere,
        serve(says(answer(status, b"", Location=elsewhere.url("/?again")))) as server,
        OutboundClient(EgressGuard(frozenset({"127.0.0.1"}))) as http,
    ):
        with pytest.raises(FAILURES):
            await kinds(server, http)[kind]()

    assert (len(server.requests), elsewhere.requests) == (1, [])


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["code", "refresh", "revoke", "verify"])
@pytest.mark.parametrize("bad", BAD_TLS)
async def test_a21_a_server_with_bad_tls_is_told_nothing(
    bad: str, kind: str, authority: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    async with serve(says(answer()), tls=BAD_TLS[bad](authority), host="provider.example") as server, tls_client(server, ca_file) as http:
        with pytest.raises(FAILURES) as failure:
            await kinds(server, http)[kind]()

    cause = failure.value if isinstance(failure.value, Unreachable) else failure.value.__cause__
    assert isinstance(cause, Unreachable) and cause.obstacle is Obstacle.TLS
    assert server.requests == []


def test_a21_no_connector_can_ask_for_less(tmp_path: Path) -> None:
    words = ("insecure", "verify_tls", "skip_tls", "verify_ssl", "ca_file", "allow_http")
    said = "".join(file.read_text() for file in (Path(models.__file__).parent.parent / "api/catalog").glob("reading*.py"))

    assert [word for word in words if word in said] == []


@pytest.mark.parametrize("kind", ["code", "refresh", "revoke", "verify"])
@pytest.mark.parametrize("respond", [drip_body, drip_headers, drip_interim_answers, say_nothing])
async def test_a22_a_slow_server_is_left_at_the_deadline_and_others_go_on(
    kind: str, respond: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (timedelta(seconds=20), timedelta(seconds=15)) == (oauth_client._DEADLINE, proof._DEADLINE)
    for module in (oauth_client, proof):
        monkeypatch.setattr(module, "_DEADLINE", timedelta(milliseconds=150))
    turns = iter([respond])

    async def slow_once(writer: asyncio.StreamWriter) -> None:
        await next(turns, says(answer(200, b'{"access_token":"x"}')))(writer)

    async with serve(slow_once) as server:
        guard = EgressGuard(frozenset({f"127.0.0.1:{server.port}"}))
        # One connection for all: it must be free again.
        async with OutboundClient(guard, connections_per_host=1) as http:
            with pytest.raises(FAILURES) as failure:
                await kinds(server, http)[kind]()
            monkeypatch.undo()
            await kinds(server, http)[kind]()

    cause = failure.value if isinstance(failure.value, DeadlineExceeded) else failure.value.__cause__
    assert isinstance(cause, DeadlineExceeded)
    assert len(server.requests) == 2


def in_pieces(head: bytes, piece: bytes, count: int) -> Respond:
    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for _ in range(count):
            writer.write(piece)
            await writer.drain()

    return respond


PIECE = b"a" * 65_536
BOMBS: dict[str, Respond] = {
    "10 MB of JSON": in_pieces(b'HTTP/1.1 200 OK\r\nContent-Length: 10485762\r\n\r\n"', PIECE, 160),
    "10 MB in chunks": in_pieces(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + PIECE + b"\r\n", 160),
    "one gzip member": says(answer(200, BOMB, Content_Encoding="gzip")),
    "many gzip members": says(answer(200, BOMB_OF_MANY, Content_Encoding="gzip")),
    "one long header": in_pieces(b"HTTP/1.1 200 OK\r\nX-Long: ", PIECE, 160),
    "very many headers": in_pieces(b"HTTP/1.1 200 OK\r\n", b"X-Header: a\r\n" * 1_000, 100),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a23_an_answer_is_read_no_further_than_its_limit(bomb: str) -> None:
    assert (oauth_client._MAXIMUM_ANSWER, proof._LARGEST_ANSWER) == (256_000, 1_000_000)
    async with serve(BOMBS[bomb]) as server, server.client as http:
        for kind in ("refresh", "verify"):
            tracemalloc.start()
            try:
                with pytest.raises(FAILURES) as failure:
                    await kinds(server, http)[kind]()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            cause = failure.value if isinstance(failure.value, AnswerTooLarge) else failure.value.__cause__
            assert isinstance(cause, AnswerTooLarge)
            assert peak < 5_000_000

    assert server.header("Accept-Encoding") == "identity"


@pytest.mark.parametrize(
    "body",
    [
        b'{"access_token":"x","a":' + b"[" * 33 + b"]" * 33 + b"}", b"[" * 100_000, b'{"a":' * 40_000, b'{"expires_in":' + b"9" * 21 + b"}",
        b'{"access_token":"x","expires_in":' + b"9" * 200_000 + b"}", b'{"access_token":"x","a":1.' + b"1" * 100_000 + b"}",
    ],
)  # fmt: skip
async def test_a23_what_is_nested_too_deeply_or_has_too_many_digits_is_no_answer(body: bytes) -> None:
    async with serve(says(answer(200, body))) as server, server.client as http:
        with pytest.raises((UnusableAnswer, ServerFailed)):
            await kinds(server, http)["refresh"]()


TAKEN: dict[str, tuple[bytes, timedelta | None]] = {
    "a lifetime in quotes": (b'"expires_in":"3600"', timedelta(hours=1)),
    "a lifetime with a fraction": (b'"expires_in":3599.7', timedelta(seconds=3599)),
    "a negative lifetime": (b'"expires_in":-5', timedelta(hours=2)),
    "no lifetime at all": (b'"expires_in":0', timedelta(hours=2)),
    "a lifetime of ages": (b'"expires_in":1000000000000000000', timedelta(days=400)),
    "an endless lifetime": (b'"expires_in":1e400', timedelta(hours=2)),
    "a word": (b'"expires_in":"abc"', timedelta(hours=2)),
    "a list": (b'"expires_in":[1]', timedelta(hours=2)),
    "fewer scopes": (b'"scope":"read","expires_in":60', timedelta(minutes=1)),
}


@pytest.mark.parametrize("case", TAKEN)
async def test_a24_a_strange_lifetime_costs_no_token_and_the_refresh_token_stays(case: str) -> None:
    member, lifetime = TAKEN[case]
    async with serve(says(answer(200, b'{"access_token":"new",' + member + b"}"))) as server, server.client as http:
        habits = AuthorizationServer(server.url(), default_lifetime=timedelta(hours=2))
        tokens = await OAuthClient(http, lambda: NOW).refresh(habits, CLIENT, Secret("old"), scopes=["read", "write"])

    assert (tokens.access_token, tokens.refresh_token) == (Secret("new"), Secret("old"))
    assert tokens.expires_at == (None if lifetime is None else NOW + lifetime)
    assert tokens.scopes == (("read",) if case == "fewer scopes" else ("read", "write"))


REFUSED: dict[str, tuple[int, bytes, type[TokenError]]] = {
    "another token type": (200, b'{"access_token":"new","token_type":"mac"}', UnusableAnswer),
    "a token type that is a number": (200, b'{"access_token":"new","token_type":5}', UnusableAnswer),
    "no token": (200, b'{"token_type":"bearer"}', UnusableAnswer),
    "a list": (200, b'[{"access_token":"new"}]', UnusableAnswer),
    "an error that says success": (200, b'{"error":"invalid_scope","error_description":"<b>\\u0000"}', ServerRefused),
    "not ok": (200, b'{"ok":false,"access_token":"new"}', ServerRefused),
    "a token with a line break": (200, b'{"access_token":"a\\r\\nX-Evil: b"}', UnusableAnswer),
    "a token with a NUL": (200, b'{"access_token":"a\\u0000b"}', UnusableAnswer),
    "a token that is not ASCII": (200, '{"access_token":"né"}'.encode(), UnusableAnswer),
    "a token that is too long": (200, b'{"access_token":"' + b"a" * 16_385 + b'"}', UnusableAnswer),
    "a refresh token with a line break": (200, b'{"access_token":"new","refresh_token":"a\\nb"}', UnusableAnswer),
    "a key twice": (200, b'{"access_token":"new","access_token":"other"}', UnusableAnswer),
    "a form": (200, b"access_token=new&token_type=bearer", ServerFailed),
    "a page": (200, b"<html>access_token</html>", ServerFailed),
    "a redirect": (302, b'{"access_token":"new"}', TokenError),
    "too many requests": (429, b'{"access_token":"new"}', ServerFailed),
    "a broken server": (500, b'{"access_token":"new"}', ServerFailed),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a24_an_answer_that_is_no_grant_is_an_error_of_a_type_that_repeats_nothing(case: str) -> None:
    status, body, error = REFUSED[case]
    async with serve(says(answer(status, body))) as server, server.client as http:
        with pytest.raises(error) as refused:
            await OAuthClient(http, lambda: NOW).refresh(
                AuthorizationServer(server.url("/t?key=canary")), CLIENT, Secret("old-canary"), scopes=[]
            )

    told = f"{refused.value} {vars(refused.value)}"
    assert not [text for text in ("canary", "X-Evil", "\0", "<html>") if text in told]
    assert form(server)["refresh_token"] == "old-canary"


@pytest.mark.parametrize("case", ["another token type", "a token with a line break", "a token with a NUL", "a key twice", "a form"])
async def test_a24_the_token_that_is_held_stays_untouched(here: Installation, token_endpoint: Endpoint, case: str) -> None:
    connection = await here.connect_by_consent()
    before = await secrets_of(here, connection)
    status, body, _ = REFUSED[case]
    token_endpoint.says = Answer(status, body.decode(), [("content-type", "application/json")])

    await here.tick(after=timedelta(seconds=55))

    found = await models.Connection.get(id=connection.id)
    assert (token_endpoint.asked, await secrets_of(here, connection)) == (2, before)
    assert (found.status, found.due_at is not None and found.due_at > here.clock.now) == (ConnectionStatus.CONNECTED, True)


async def test_a24_a_token_that_ended_before_it_came_is_not_asked_for_in_a_loop(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.edits = lambda said: replace(said, body={**dict(said.body), "expires_in": -5}) if isinstance(said.body, dict) else said

    await here.tick(after=timedelta(seconds=55))
    for _ in range(5):
        await here.tick(after=timedelta(seconds=1))

    found = await models.Connection.get(id=connection.id)
    assert (found.status, token_endpoint.asked) == (ConnectionStatus.CONNECTED, 2)
