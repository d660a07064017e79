"""Which TLS connections go on where an earlier one left off, and which are verified in full, over real sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from api.outbound import dialling
from api.outbound.egress import EgressGuard
from api.outbound.http import Obstacle, OutboundClient, OutboundRequest, Unreachable, tls_context
from api.outbound.resuming import ResumingContext
from tests.outbound.servers import Server, answer, serve

pytestmark = pytest.mark.anyio


@dataclass(slots=True)
class Watch:
    now: float = 1_000.0

    def seconds(self) -> float:
        return self.now


@dataclass(slots=True)
class Provider:
    """Ends each connection with its answer, as many do."""

    tls: ssl.SSLContext
    resumed: list[bool | None] = field(default_factory=list)

    async def respond(self, writer: asyncio.StreamWriter) -> None:
        self.resumed.append(writer.get_extra_info("ssl_object").session_reused)
        writer.write(answer(200, b"hello", Connection="close"))
        writer.close()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """The clock of contexts that are made from now on."""
    watch = Watch()
    tls_context.cache_clear()
    monkeypatch.setattr(dialling, "ResumingContext", lambda protocol: ResumingContext(protocol, seconds=watch.seconds))
    yield watch
    tls_context.cache_clear()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


def provider(authority: trustme.CA, *, not_after: datetime | None = None) -> Provider:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("provider.example", not_after=not_after).configure_cert(tls)
    return Provider(tls)


@asynccontextmanager
async def at(provider: Provider) -> AsyncIterator[Server]:
    async with serve(provider.respond, tls=provider.tls) as server:
        yield server


def client_of(ca_file: Path) -> OutboundClient:
    async def lookup(_: str) -> list[str]:
        return ["127.0.0.1"]

    return OutboundClient(EgressGuard(frozenset({"provider.example", "other.example"}), lookup), ca_file=ca_file)


async def ask(client: OutboundClient, server: Server, host: str = "provider.example") -> bytes:
    request = OutboundRequest("POST", f"https://{host}:{server.port}/token", {}, b"grant")
    return (await client.send(request, deadline=timedelta(seconds=10), max_bytes=1_000)).body


async def test_a_server_that_was_verified_goes_on_where_it_left_off(authority: trustme.CA, ca_file: Path, watch: Watch) -> None:
    it = provider(authority)
    async with at(it) as server, client_of(ca_file) as client:
        bodies = [await ask(client, server) for _ in range(4)]

    assert bodies == [b"hello"] * 4
    assert it.resumed == [False, True, True, True]


async def test_and_is_verified_in_full_ten_minutes_after_it_last_was(authority: trustme.CA, ca_file: Path, watch: Watch) -> None:
    it = provider(authority)
    async with at(it) as server, client_of(ca_file) as client:
        for seconds in (0, 300, 299, 1, 599, 1):
            watch.now += seconds
            await ask(client, server)

    assert it.resumed == [False, True, True, False, True, False]


async def test_a_certificate_that_is_over_by_then_is_no_longer_good(authority: trustme.CA, ca_file: Path, watch: Watch) -> None:
    good, over = provider(authority), provider(authority, not_after=datetime(2020, 1, 1, tzinfo=UTC))
    async with client_of(ca_file) as client:
        async with at(good) as server:
            await ask(client, server)
        watch.now += 600
        async with at(over) as server:
            with pytest.raises(Unreachable) as unreachable:
                await ask(client, server)

    assert unreachable.value.obstacle is Obstacle.TLS
    assert over.resumed == []


async def test_who_does_not_know_the_ticket_is_verified_in_full(authority: trustme.CA, ca_file: Path, watch: Watch) -> None:
    """Another server under the same name, once with a certificate of an authority that is trusted, and once of a stranger's."""
    first, second, stranger = provider(authority), provider(authority), provider(trustme.CA())
    async with client_of(ca_file) as client:
        async with at(first) as server:
            await ask(client, server)
        async with at(second) as server:
            assert [await ask(client, server) for _ in range(2)] == [b"hello"] * 2
        async with at(stranger) as server:
            with pytest.raises(Unreachable) as unreachable:
                await ask(client, server)

    assert second.resumed == [False, True]
    assert (unreachable.value.obstacle, unreachable.value.may_have_arrived) == (Obstacle.TLS, False)
    assert stranger.resumed == []


async def test_another_name_of_the_same_server_is_verified_by_itself(authority: trustme.CA, ca_file: Path, watch: Watch) -> None:
    it = provider(authority)
    async with at(it) as server, client_of(ca_file) as client:
        await ask(client, server)
        with pytest.raises(Unreachable) as unreachable:
            await ask(client, server, "other.example")

    assert unreachable.value.obstacle is Obstacle.TLS
    assert it.resumed == [False]


async def test_before_tls_1_3_each_connection_is_verified_in_full(authority: trustme.CA, ca_file: Path, watch: Watch) -> None:
    it = provider(authority)
    it.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    async with at(it) as server, client_of(ca_file) as client:
        for _ in range(3):
            await ask(client, server)

    assert it.resumed == [False, False, False]


async def test_a_server_that_hands_out_no_tickets_is_verified_each_time(authority: trustme.CA, ca_file: Path, watch: Watch) -> None:
    it = provider(authority)
    it.tls.num_tickets = 0
    async with at(it) as server, client_of(ca_file) as client:
        for _ in range(3):
            await ask(client, server)

    assert it.resumed == [False, False, False]
