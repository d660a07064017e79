"""Logins to mail servers and directories: to real ones that others wrote, and to some that misbehave, over real sockets."""

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from api.outbound.egress import EgressGuard, EgressRefused
from api.outbound.http import DeadlineExceeded, Obstacle, OutboundClient, Unreachable
from api.outbound.logins import Login, LoginRejected, log_in
from api.secret import Secret
from tests.outbound.reciting import Reciter, recite

pytestmark = pytest.mark.anyio

HOST = "mail.example"
USERNAME = "ann@mail.example"
# Spaces, quotes, a backslash, and letters outside of ASCII: each has broken a client.
PASSWORD = 'canary "x" \\ wörd'
DISTINGUISHED_NAME = f"uid={USERNAME},dc=example"

PROTOCOLS = ["imap", "pop3", "smtp", "ldap"]
SECURITIES = ["tls", "starttls", "none"]
SECURED = ["tls", "starttls"]

LONG = timedelta(seconds=10)
SHORT = timedelta(milliseconds=150)


@dataclass(slots=True)
class Foreign:
    """Servers that others wrote: protocol → security → port."""

    ports: dict[str, dict[str, int]]
    # Passwords that the SMTP server was given.
    given: list[bytes] = field(default_factory=list)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


@pytest.fixture(scope="module")
def process(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, int]]]:
    file = tmp_path_factory.mktemp("server") / "server.pem"
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(file))
    command = [sys.executable, "-m", "tests.outbound.foreign", str(file), USERNAME, PASSWORD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield json.loads(running.stdout.readline())
        running.communicate(timeout=10)


@pytest.fixture
async def foreign(process: dict[str, dict[str, int]], authority: trustme.CA) -> AsyncIterator[Foreign]:
    servers = Foreign(dict(process))

    def authenticate(_: object, __: object, ___: object, mechanism: str, given: LoginPassword) -> AuthResult:
        servers.given.append(given.password)
        return AuthResult(success=(given.login, given.password) == (USERNAME.encode(), PASSWORD.encode()), handled=False)

    def smtp(tls: ssl.SSLContext | None) -> Callable[[], SMTP]:
        return lambda: SMTP(object(), hostname=HOST, authenticator=authenticate, auth_require_tls=False, tls_context=tls)

    async with contextlib.AsyncExitStack() as stack:
        context = serving(authority.issue_cert(HOST))
        loop = asyncio.get_running_loop()
        servers.ports["smtp"] = {}
        for security, inner, outer in (("tls", None, context), ("starttls", context, None), ("none", None, None)):
            listener = await stack.enter_async_context(await loop.create_server(smtp(inner), "127.0.0.1", 0, ssl=outer))
            servers.ports["smtp"][security] = listener.sockets[0].getsockname()[1]
        yield servers


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def good(authority: trustme.CA) -> ssl.SSLContext:
    return serving(authority.issue_cert(HOST))


async def sign_in(
    protocol: str,
    security: str,
    port: int,
    *,
    host: str = HOST,
    username: str | None = None,
    password: str = PASSWORD,
    ca_file: Path | None = None,
    deadline: timedelta = LONG,
    addresses: tuple[str, ...] = ("127.0.0.1",),
) -> str:
    async def lookup(_: str) -> list[str]:
        return list(addresses)

    name = username or (DISTINGUISHED_NAME if protocol == "ldap" else USERNAME)
    client = OutboundClient(EgressGuard(frozenset({f"{host}:{port}"}), lookup), ca_file=ca_file)
    return await log_in(Login(protocol, host, port, security, name, Secret(password)), client, deadline=deadline)


@asynccontextmanager
async def raises_unreachable(obstacle: Obstacle) -> AsyncIterator[None]:
    with pytest.raises(Unreachable) as unreachable:
        yield
    assert unreachable.value.obstacle is obstacle
    assert_tells_nothing(unreachable.value)


def assert_tells_nothing(error: BaseException) -> None:
    told = f"{error} {error!r} {vars(error)} {getattr(error, 'remedy', '')}"
    assert "canary" not in told
    assert USERNAME not in told
    assert error.__suppress_context__


def assert_heard_no_secret(reciter: Reciter) -> None:
    assert not spoken(reciter.heard)


def spoken(heard: bytes | bytearray) -> bool:
    """Whether a password was among what was said, in whichever form."""
    lines = heard.split(b"\r\n")
    return b"canary" in heard or any(
        b"canary" in base64.b64decode(line + b"===") for line in lines if line.isalnum() or line.endswith(b"=")
    )


# Servers that others wrote


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_right_password_is_taken(protocol: str, security: str, foreign: Foreign, ca_file: Path) -> None:
    account = await sign_in(protocol, security, foreign.ports[protocol][security], ca_file=ca_file)

    assert account == (f"dn:{DISTINGUISHED_NAME}" if protocol == "ldap" else USERNAME)


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_wrong_password_is_rejected(protocol: str, security: str, foreign: Foreign, ca_file: Path) -> None:
    with pytest.raises(LoginRejected) as rejected:
        await sign_in(protocol, security, foreign.ports[protocol][security], ca_file=ca_file, password="canary wrong")

    assert_tells_nothing_of(rejected.value)


async def test_a_wrong_password_is_sent_once(foreign: Foreign, ca_file: Path) -> None:
    """Though the server offers two mechanisms: who counts failures in order to lock an account counts one."""
    with pytest.raises(LoginRejected):
        await sign_in("smtp", "starttls", foreign.ports["smtp"]["starttls"], ca_file=ca_file, password="wrong")

    assert foreign.given == [b"wrong"]


@pytest.mark.parametrize("username", ["uid=nobody,dc=example", 'uid=a"b\\\\c,dc=example', "uid=ännie,dc=example"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_unknown_name_is_rejected_however_it_is_spelled(protocol: str, username: str, foreign: Foreign) -> None:
    with pytest.raises(LoginRejected):
        await sign_in(protocol, "none", foreign.ports[protocol]["none"], username=username)


@pytest.mark.parametrize("security", SECURED)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_of_an_unknown_authority_is_not_spoken_to(protocol: str, security: str, foreign: Foreign) -> None:
    async with raises_unreachable(Obstacle.TLS):
        await sign_in(protocol, security, foreign.ports[protocol][security])

    assert foreign.given == []


@pytest.mark.parametrize("security", SECURED)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_of_another_name_is_not_spoken_to(protocol: str, security: str, foreign: Foreign, ca_file: Path) -> None:
    async with raises_unreachable(Obstacle.TLS):
        await sign_in(protocol, security, foreign.ports[protocol][security], host="other.example", ca_file=ca_file)

    assert foreign.given == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_that_knows_no_starttls_gets_no_password(protocol: str, foreign: Foreign, ca_file: Path) -> None:
    async with raises_unreachable(Obstacle.TLS):
        await sign_in(protocol, "starttls", foreign.ports[protocol]["none"], ca_file=ca_file)

    assert foreign.given == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_tls_is_not_spoken_to_a_server_that_does_not(protocol: str, foreign: Foreign, ca_file: Path) -> None:
    # A directory waits for the rest of what it takes for a long message.
    with pytest.raises(DeadlineExceeded if protocol == "ldap" else Unreachable) as raised:
        await sign_in(protocol, "tls", foreign.ports[protocol]["none"], ca_file=ca_file, deadline=timedelta(seconds=1))

    assert_tells_nothing(raised.value)

    assert foreign.given == []


async def test_an_imap_server_that_disables_logins_before_tls_gets_none(foreign: Foreign) -> None:
    async with raises_unreachable(Obstacle.EXCHANGE):
        await sign_in("imap", "none", foreign.ports["imap"]["starttls"])


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_smtp_takes_the_mechanism_that_there_is(mechanism: str) -> None:
    used: list[str] = []

    def authenticate(_: object, __: object, ___: object, name: str, given: LoginPassword) -> AuthResult:
        used.append(name)
        return AuthResult(success=given == LoginPassword(USERNAME.encode(), PASSWORD.encode()))

    others = {"PLAIN", "LOGIN"} - {mechanism}
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: SMTP(object(), authenticator=authenticate, auth_require_tls=False, auth_exclude_mechanism=others), "127.0.0.1", 0
    )
    async with listener:
        assert await sign_in("smtp", "none", listener.sockets[0].getsockname()[1]) == USERNAME

    assert used == [mechanism]


async def test_an_smtp_server_that_offers_no_authentication_gets_no_password() -> None:
    loop = asyncio.get_running_loop()
    # It asks for TLS before it offers any.
    listener = await loop.create_server(lambda: SMTP(object(), auth_require_tls=True), "127.0.0.1", 0)
    async with listener, raises_unreachable(Obstacle.EXCHANGE):
        await sign_in("smtp", "none", listener.sockets[0].getsockname()[1])


# Servers that misbehave: what each says, part by part

GREETING = {"imap": b"* OK ready\r\n", "pop3": b"+OK ready\r\n", "smtp": b"220 ready\r\n", "ldap": b""}
# What comes before STARTTLS is answered.
BEFORE_TLS = {
    "imap": [GREETING["imap"]],
    "pop3": [GREETING["pop3"]],
    "smtp": [GREETING["smtp"], b"250-mail.example\r\n250 STARTTLS\r\n"],
    "ldap": [b""],
}
# It names itself nowhere in the answer, as some directories do.
LDAP_STARTED = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
TLS_BEGINS = {"imap": b"a1 OK begin\r\n", "pop3": b"+OK begin\r\n", "smtp": b"220 begin\r\n", "ldap": LDAP_STARTED}
TLS_REFUSED = {
    "imap": [b"a1 NO no\r\n", b"a1 BAD what?\r\n", b"* BYE\r\n", b"a2 OK begin\r\n"],
    "pop3": [b"-ERR no\r\n", b"+OKAY\r\n"],
    "smtp": [b"454 not now\r\n", b"502 what?\r\n", b"250 begin\r\n"],
    "ldap": [LDAP_STARTED.replace(b"\x0a\x01\x00", b"\x0a\x01\x02"), LDAP_STARTED.replace(b"\x0a\x01\x00", b"\x0a\x01\x34")],
}


def bind_answer(code: int, *, number: int = 2, kind: int = 0x61) -> bytes:
    return bytes([0x30, 0x0C, 0x02, 0x01, number, kind, 0x07, 0x0A, 0x01, code, 0x04, 0x00, 0x04, 0x00])


# From the greeting on, without TLS: what a server says that takes any credential.
AGREES = {
    "imap": [GREETING["imap"], b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na2 OK done\r\n", b"+ \r\n", b"a3 OK done\r\n"],
    "pop3": [GREETING["pop3"], b"+OK\r\n", b"+OK\r\n"],
    "smtp": [GREETING["smtp"], b"250-mail.example\r\n250-SIZE\r\n250 AUTH PLAIN\r\n", b"334 \r\n", b"235 done\r\n"],
    "ldap": [b"", bind_answer(0), bind_answer(2, number=3, kind=0x78)],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_recited_servers_are_fit_to_log_in_to(protocol: str) -> None:
    async with recite(*AGREES[protocol]) as server:
        assert await sign_in(protocol, "none", server.port) == (DISTINGUISHED_NAME if protocol == "ldap" else USERNAME)
        await gone(server)

    assert spoken(server.heard)


@pytest.mark.parametrize("bad", ["unknown authority", "another name"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("security", SECURED)
async def test_bad_tls_gets_no_word_of_the_login(security: str, protocol: str, bad: str, authority: trustme.CA, ca_file: Path) -> None:
    certificate = trustme.CA().issue_cert(HOST) if bad == "unknown authority" else authority.issue_cert("other.example")
    context = serving(certificate)
    before: list[bytes | ssl.SSLContext] = [*BEFORE_TLS[protocol], TLS_BEGINS[protocol], context] if security == "starttls" else []
    after = AGREES[protocol] if security == "tls" else AGREES[protocol][1:]
    async with recite(*before, *after, tls=context if security == "tls" else None) as server, raises_unreachable(Obstacle.TLS):
        await sign_in(protocol, security, server.port, ca_file=ca_file)

    assert_heard_no_secret(server)
    # Nothing at all came through TLS.
    assert server.heard == (server.heard_in_the_clear or b"")


@pytest.mark.parametrize(("protocol", "refusal"), [(protocol, said) for protocol in PROTOCOLS for said in TLS_REFUSED[protocol]])
async def test_no_password_is_said_in_the_clear_where_starttls_is_refused(protocol: str, refusal: bytes, ca_file: Path) -> None:
    async with recite(*BEFORE_TLS[protocol], refusal, *AGREES[protocol][1:]) as server:
        with pytest.raises(Unreachable) as unreachable:
            await sign_in(protocol, "starttls", server.port, ca_file=ca_file)
        await gone(server)

    assert unreachable.value.obstacle in (Obstacle.TLS, Obstacle.EXCHANGE)
    assert_heard_no_secret(server)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_starttls_that_a_server_begins_and_drops_gets_no_password(protocol: str, ca_file: Path) -> None:
    async with recite(*BEFORE_TLS[protocol], TLS_BEGINS[protocol], hangs_up=True) as server, raises_unreachable(Obstacle.TLS):
        await sign_in(protocol, "starttls", server.port, ca_file=ca_file, deadline=timedelta(seconds=2))

    assert_heard_no_secret(server)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_was_said_before_tls_is_not_taken_for_what_comes_after(protocol: str, good: ssl.SSLContext, ca_file: Path) -> None:
    """Who sits in between puts consent behind the answer to STARTTLS; the server itself says no."""
    consent = b"".join(AGREES[protocol][1:])
    refusal = {
        "imap": [AGREES["imap"][1], b"+ \r\n", b"a3 NO\r\n"],
        "pop3": [b"+OK\r\n", b"-ERR\r\n"],
        "smtp": [*AGREES["smtp"][1:3], b"535 no\r\n"],
        "ldap": [bind_answer(49)],
    }[protocol]
    async with recite(*BEFORE_TLS[protocol], TLS_BEGINS[protocol] + consent, good, *refusal) as server:
        with pytest.raises(LoginRejected):
            await sign_in(protocol, "starttls", server.port, ca_file=ca_file)

    assert not spoken(server.heard_in_the_clear or b"")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_starttls_tells_the_password_through_tls_alone(protocol: str, good: ssl.SSLContext, ca_file: Path) -> None:
    async with recite(*BEFORE_TLS[protocol], TLS_BEGINS[protocol], good, *AGREES[protocol][1:]) as server:
        await sign_in(protocol, "starttls", server.port, ca_file=ca_file)

    assert server.heard_in_the_clear is not None
    assert not spoken(server.heard_in_the_clear)
    assert spoken(server.heard)


GARBAGE = [
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    bytes(range(256)) * 8,
    b"\r\n" * 40,
    b"\x30\x84\xff\xff\xff\xff",
    b"a" * 20_000,
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=["http", "ssh", "bytes", "empty lines", "a huge size", "a long line"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_garbage_is_no_verdict_at_any_step(protocol: str, garbage: bytes) -> None:
    first = 1 if protocol == "ldap" else 0
    # The last word of a directory is who is signed in, which it need not say.
    steps = AGREES["ldap"][:2] if protocol == "ldap" else AGREES[protocol]
    for step in range(first, len(steps)):
        async with recite(*steps[:step], garbage, hangs_up=True) as server, raises_unreachable(Obstacle.EXCHANGE):
            await sign_in(protocol, "none", server.port)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_every_damage_to_an_answer_is_read_to_an_end(protocol: str) -> None:
    """Whatever byte is changed or cut off: consent, a rejection or no verdict, and never another error."""
    steps = AGREES[protocol]
    answer = bind_answer(0) if protocol == "ldap" else steps[-2]
    damaged = [answer[:at] for at in range(len(answer))]
    damaged += [answer[:at] + bytes([answer[at] ^ flip]) + answer[at + 1 :] for at in range(len(answer)) for flip in (0x01, 0x80)]
    for said in damaged:
        async with recite(*steps[: steps.index(answer)], said, hangs_up=True) as server:
            with contextlib.suppress(LoginRejected, Unreachable):
                await sign_in(protocol, "none", server.port)


ENDLESS = {"imap": b"* OK more\r\n", "pop3": b"+OK more\r\n", "smtp": b"250-more\r\n", "ldap": b"\x30\x84\x00\xff\xff\xff"}


@pytest.mark.parametrize("protocol", ["imap", "smtp", "ldap"])
async def test_a_server_that_never_ends_is_left(protocol: str) -> None:
    async with recite(*AGREES[protocol][:1], ENDLESS[protocol] * 10_000) as server:
        async with raises_unreachable(Obstacle.EXCHANGE):
            await sign_in(protocol, "none", server.port)
        await gone(server)


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_silent_server_is_left_at_the_deadline(protocol: str, step: int) -> None:
    parts = AGREES[protocol][:step] if protocol != "ldap" else AGREES["ldap"][: max(step, 1)]
    async with recite(*parts) as server:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded) as exceeded:
            await sign_in(protocol, "none", server.port, deadline=SHORT)
        took = time.monotonic() - began
        await gone(server)

    assert 0.14 < took < 0.75
    assert_tells_nothing(exceeded.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_that_takes_no_handshake_is_left_at_the_deadline(protocol: str, ca_file: Path) -> None:
    async with recite(b"") as server:
        with pytest.raises(DeadlineExceeded):
            await sign_in(protocol, "tls", server.port, ca_file=ca_file, deadline=SHORT)
        await gone(server)

    assert_heard_no_secret(server)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_cancelling_a_login_passes_and_closes_its_connection(protocol: str) -> None:
    async with recite(b"") as server:
        attempt = asyncio.create_task(sign_in(protocol, "none", server.port))
        async with asyncio.timeout(5):
            await server.came.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await gone(server)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_that_is_absent_takes_no_connection(protocol: str) -> None:
    async with recite(b"") as server:
        pass
    async with raises_unreachable(Obstacle.CONNECTION):
        await sign_in(protocol, "tls", server.port)


async def test_a_name_without_an_address_is_told_as_such() -> None:
    async def lookup(_: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "canary")

    async with raises_unreachable(Obstacle.NAME):
        await log_in(Login("imap", HOST, 993, "tls", USERNAME, Secret(PASSWORD)), OutboundClient(EgressGuard(lookup=lookup)))


async def test_the_next_address_is_dialled_where_one_takes_no_connection() -> None:
    async with recite(*AGREES["pop3"]) as server:
        assert await sign_in("pop3", "none", server.port, addresses=("127.0.0.2", "127.0.0.1")) == USERNAME


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "2130706433", "mail.example@127.0.0.1", "a b", ""])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_no_private_address_is_dialled_or_looked_up(protocol: str, host: str, outward: list[object]) -> None:
    with pytest.raises(EgressRefused) as refused:
        await log_in(Login(protocol, host, 143, "none", USERNAME, Secret(PASSWORD)), OutboundClient(EgressGuard()))

    assert outward == []
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::1"]])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_no_name_of_a_private_address_is_dialled(protocol: str, addresses: list[str], outward: list[object]) -> None:
    async def lookup(_: str) -> list[str]:
        return addresses

    with pytest.raises(EgressRefused) as refused:
        await log_in(Login(protocol, HOST, 143, "tls", USERNAME, Secret(PASSWORD)), OutboundClient(EgressGuard(lookup=lookup)))

    assert outward == []
    assert_tells_nothing(refused.value)


INJECTED = ["\r\n", "\n", "\r", "\0", "\r\na9 DELETE INBOX", "\ud800"]


@pytest.mark.parametrize("injected", INJECTED)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_credential_that_would_be_more_than_one_is_not_sent(protocol: str, injected: str, outward: list[object]) -> None:
    for username, password in ((USERNAME + injected, "canary"), (USERNAME, "canary" + injected), (USERNAME, injected + "canary")):
        with pytest.raises(LoginRejected) as rejected:
            await sign_in(protocol, "none", 143, username=username, password=password)
        assert_tells_nothing_of(rejected.value)

    assert outward == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_empty_password_is_no_credential(protocol: str, outward: list[object]) -> None:
    """RFC 4513 section 5.1.2: a directory says yes to a bind without a password, whosever name it has."""
    client = OutboundClient(EgressGuard(frozenset({HOST})))
    for username, password in ((USERNAME, ""), ("", "canary")):
        with pytest.raises(LoginRejected):
            await log_in(Login(protocol, HOST, 143, "none", username, Secret(password)), client)

    assert outward == []


def assert_tells_nothing_of(error: BaseException) -> None:
    assert str(error) == ""
    assert error.__cause__ is error.__context__ is None


# Refusals that are none of the credential


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        ("imap", [b"* PREAUTH welcome\r\n"]),
        ("imap", [b"* BYE too busy\r\n"]),
        ("imap", [*AGREES["imap"][:3], b"a3 NO [UNAVAILABLE] later\r\n"]),
        ("imap", [*AGREES["imap"][:3], b"a3 NO [UNAVAILABLE foo] later\r\n"]),
        ("imap", [*AGREES["imap"][:3], b"a3 BAD what?\r\n"]),
        ("imap", [*AGREES["imap"][:3], b"* BYE\r\n"]),
        ("imap", [GREETING["imap"], b"* CAPABILITY IMAP4rev1 LOGINDISABLED\r\na2 OK\r\n"]),
        ("pop3", [b"-ERR too busy\r\n"]),
        ("pop3", [*AGREES["pop3"][:2], b"-ERR [SYS/TEMP] later\r\n"]),
        ("pop3", [*AGREES["pop3"][:2], b"-ERR [login-delay] later\r\n"]),
        ("smtp", [b"554 no service\r\n"]),
        ("smtp", [GREETING["smtp"], b"502 what?\r\n"]),
        ("smtp", [GREETING["smtp"], b"250 mail.example\r\n"]),
        ("smtp", [GREETING["smtp"], b"250-mail.example\r\n250 AUTH GSSAPI\r\n"]),
        ("smtp", [*AGREES["smtp"][:2], b"504 not this one\r\n"]),
        ("smtp", [*AGREES["smtp"][:2], b"538 TLS first\r\n"]),
        ("smtp", [*AGREES["smtp"][:3], b"454 later\r\n"]),
        ("smtp", [*AGREES["smtp"][:3], b"334 bW9yZQ==\r\n"]),
        ("ldap", [b"", bind_answer(51)]),
        ("ldap", [b"", bind_answer(10)]),
        ("ldap", [b"", bind_answer(8)]),
        ("ldap", [b"", bind_answer(0, number=0, kind=0x78)]),
        ("ldap", [b"", bind_answer(0, number=1)]),
    ],
)
async def test_a_refusal_that_judges_no_credential_rejects_none(protocol: str, said: list[bytes]) -> None:
    async with recite(*said, hangs_up=True) as server, raises_unreachable(Obstacle.EXCHANGE):
        await sign_in(protocol, "none", server.port)


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        ("imap", [*AGREES["imap"][:3], b"a3 NO [AUTHENTICATIONFAILED] no\r\n"]),
        ("imap", [*AGREES["imap"][:2], b"a3 NO [ALERT] use an app password\r\n"]),
        ("pop3", [*AGREES["pop3"][:1], b"-ERR who?\r\n"]),
        ("pop3", [*AGREES["pop3"][:2], b"-ERR [AUTH] no\r\n"]),
        ("smtp", [*AGREES["smtp"][:3], b"534-5.7.9 use an app password\r\n534 5.7.9 really\r\n"]),
        ("ldap", [b"", bind_answer(49)]),
        ("ldap", [b"", bind_answer(32)]),
        ("ldap", [b"", bind_answer(53)]),
    ],
)
async def test_a_refusal_of_the_credential_rejects_it(protocol: str, said: list[bytes]) -> None:
    async with recite(*said) as server:
        with pytest.raises(LoginRejected) as rejected:
            await sign_in(protocol, "none", server.port)
        await gone(server)

    assert_tells_nothing_of(rejected.value)


async def test_a_mailbox_in_use_has_taken_the_password() -> None:
    """RFC 2449 section 8.1.2."""
    async with recite(*AGREES["pop3"][:2], b"-ERR [IN-USE] later\r\n") as server:
        assert await sign_in("pop3", "none", server.port) == USERNAME


# What is said, byte for byte


async def test_an_imap_name_and_password_are_quoted() -> None:
    said = [GREETING["imap"], b"* CAPABILITY IMAP4rev1\r\na2 OK\r\n", b"a3 OK\r\n"]
    async with recite(*said) as server:
        await sign_in("imap", "none", server.port, username="ann b", password="{5} (x) LOGOUT")
        await gone(server)

    assert bytes(server.heard) == b'a2 CAPABILITY\r\na3 LOGIN "ann b" "{5} (x) LOGOUT"\r\na4 LOGOUT\r\n'


async def test_an_imap_name_and_password_that_cannot_be_quoted_are_counted_bytes() -> None:
    said = [GREETING["imap"], b"* CAPABILITY IMAP4rev1\r\na2 OK\r\n", b"+ go on\r\n", b"+ go on\r\n", b"a3 OK\r\n"]
    async with recite(*said) as server:
        await sign_in("imap", "none", server.port, username="änn", password='" LOGOUT \\')
        await gone(server)

    assert server.heard.decode() == 'a2 CAPABILITY\r\na3 LOGIN {4}\r\nänn {10}\r\n" LOGOUT \\\r\na4 LOGOUT\r\n'


async def test_smtp_answers_the_challenge_of_rfc_2195_without_the_password() -> None:
    challenge = b"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"
    said = [GREETING["smtp"], b"250-mail.example\r\n250 AUTH=CRAM-MD5\r\n", b"334 " + challenge + b"\r\n", b"235 done\r\n"]
    async with recite(*said) as server:
        await sign_in("smtp", "none", server.port, username="tim", password="tanstaaftanstaaf")
        await gone(server)

    assert bytes(server.heard).split(b"\r\n") == [
        b"EHLO patchbay.invalid",
        b"AUTH CRAM-MD5",
        b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw",
        b"QUIT",
        b"",
    ]


async def test_a_directory_names_who_is_signed_in_if_it_can_be_printed() -> None:
    def named(name: bytes) -> bytes:
        answer = b"\x0a\x01\x00\x04\x00\x04\x00\x8b\x82" + len(name).to_bytes(2, "big") + name
        operation = b"\x78\x82" + len(answer).to_bytes(2, "big") + answer
        return b"\x30\x82" + (len(operation) + 3).to_bytes(2, "big") + b"\x02\x01\x03" + operation

    told: list[str] = []
    for name in (b"u:CORP\\ann", "dn:cn=Änn".encode(), b"", b"\xff", b"a\nb", b"a" * 321):
        async with recite(b"", bind_answer(0), named(name)) as server:
            told.append(await sign_in("ldap", "none", server.port, username="cn=ann"))

    assert told == ["u:CORP\\ann", "dn:cn=Änn", "cn=ann", "cn=ann", "cn=ann", "cn=ann"]


async def test_a_long_credential_is_one_element_of_ber() -> None:
    async with recite(b"", bind_answer(0), hangs_up=True) as server:
        await sign_in("ldap", "none", server.port, username="cn=" + "n" * 200, password="p" * 300)

    head = b"\x30\x82\x02\x08\x02\x01\x02\x60\x82\x02\x01\x02\x01\x03"
    assert bytes(server.heard).startswith(head + b"\x04\x81\xcb" + b"cn=" + b"n" * 200 + b"\x80\x82\x01\x2c" + b"p" * 300)


def test_a_security_that_is_none_of_the_three_is_no_login() -> None:
    """Or it would be taken for none."""
    with pytest.raises(ValueError, match="security"):
        Login("imap", HOST, 993, "TLS", USERNAME, Secret(PASSWORD))


def test_a_login_prints_no_password() -> None:
    assert "canary" not in repr(Login("imap", HOST, 993, "tls", USERNAME, Secret(PASSWORD)))


async def gone(server: Reciter) -> None:
    async with asyncio.timeout(5):
        await server.left.wait()
