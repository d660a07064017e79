"""Where outbound calls may not go: nothing is dialled, and where the URL tells all, no name is even looked up."""

from datetime import timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.outbound.egress import Destination, EgressGuard, EgressRefused, is_public
from api.outbound.http import Obstacle, OutboundClient, OutboundRequest, Unreachable
from tests.outbound.servers import answer, says, serve

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)

# fmt: off
REFUSED_V4 = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.192", "192.0.2.1", "192.31.196.1", "192.52.193.1",
    "192.88.99.1", "192.168.0.1", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
]
REFUSED_V6 = [
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::a9fe:a9fe", "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1",
    "2002:7f00:1::", "2002:a9fe:a9fe::", "2620:4f:8000::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254",
    "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
]
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.255", "2606:4700::1111",
    "2a00:1450:4001::1",
]
# fmt: on

REFUSED_URLS = [
    # The same loopback and metadata addresses, as people write them to get past a guard.
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://0177.0x0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.000.000.001/",
    "https://127.0.0.1./",
    "https://127.0.0.1../",
    "https://0/",
    "https://0x/",
    "https://169.254.43518/",
    "https://2852039166/",
    "https://127.0.0.256/",
    "https://1.2.3.4.5/",
    "https://provider.example.0x7f/",
    "https://①②⑦.⓪.⓪.①/",
    "https://１２７.0.0.1/",
    "https://127。0。0。1/",
    "https://127.0.0.1%2f@provider.example/",
    "https://[::1%25lo]/",
    "https://[fe80::1%eth0]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::1]./",
    "https://[v1.x]/",
    "https://[]/",
    "https://::1/",
    # Authorities that two parsers read differently.
    "https://user@provider.example/",
    "https://user:password@provider.example/",
    "https://provider.example@127.0.0.1/",
    "https://provider.example:443@127.0.0.1/",
    "https://127.0.0.1\\@provider.example/",
    "https://provider.example\\.evil.example/",
    "https://provider.example#@127.0.0.1/",
    "https://provider.example/#fragment",
    "https://provider.example /",
    "https://provider.example\t/",
    "https://provider.example/\r\nHost: evil",
    "https://provider.example/\x00",
    "https://provider.example/ü",
    "https://prövider.example/",
    "https://provider_internal.example/",
    "https://-provider.example/",
    "https://provider-.example/",
    "https://provider..example/",
    "https://provider.example./",
    "https://.example/",
    "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 130 + "example/",
    "https://provider%2eexample/",
    "https:/provider.example/",
    "https:provider.example/",
    "https:///provider.example/",
    "//provider.example/",
    "provider.example",
    "",
    "https://",
    " https://provider.example/",
    "HTTPS://provider.example/",
    "https://provider.example/" + "a" * 20_000,
    # Not https, and not port 443.
    "http://provider.example/",
    "http://provider.example:443/",
    "https://provider.example:80/",
    "https://provider.example:8443/",
    "https://provider.example:0/",
    "https://provider.example:/",
    "https://provider.example:99999/",
    "https://provider.example:443443/",
    "ftp://provider.example/",
    "file:///etc/passwd",
    "gopher://provider.example/",
    "unix:///run/docker.sock",
]


def test_what_one_guard_allows_another_that_does_not_refuses_each_time() -> None:
    generous, strict = EgressGuard(frozenset({"10.0.0.1:8080"})), EgressGuard()

    for _ in range(2):
        assert generous.check("http://10.0.0.1:8080/token").is_allowed
        with pytest.raises(EgressRefused):
            strict.check("http://10.0.0.1:8080/token")
        with pytest.raises(EgressRefused):
            generous.check("http://10.0.0.1:8081/token")


@pytest.mark.parametrize("address", REFUSED_V4 + REFUSED_V6)
def test_an_address_that_is_not_of_the_public_internet_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_public_internet_is_allowed(address: str) -> None:
    assert is_public(ip_address(address))


async def test_no_spelling_of_a_refused_url_is_dialled_or_looked_up(outward: list[object]) -> None:
    literals = [f"https://{address}/" for address in REFUSED_V4] + [f"https://[{address}]/" for address in REFUSED_V6]

    async with OutboundClient(EgressGuard()) as client:
        for url in literals + REFUSED_URLS:
            with pytest.raises(EgressRefused):
                await client.send(OutboundRequest("POST", url, body=b"canary"), deadline=SECOND, max_bytes=100)

    assert outward == []


async def test_a_name_for_any_refused_address_is_not_dialled(outward: list[object]) -> None:
    """Also where only one of several addresses is refused: whoever mixes them is up to something."""
    addresses = REFUSED_V4 + REFUSED_V6 + ["fe80::1%eth0", "not an address"]
    answers: list[list[str]] = []

    async with OutboundClient(EgressGuard(lookup=lambda _: _given(answers.pop()))) as client:
        for address in addresses:
            for mixed in ([address], ["1.1.1.1", address], [address, "2606:4700::1111"]):
                answers.append(mixed)
                with pytest.raises(EgressRefused) as refused:
                    await client.send(OutboundRequest("POST", "https://provider.example/secret?key=canary"), deadline=SECOND, max_bytes=100)
                assert str(refused.value) == "https://provider.example is not called: its address is not public."
                assert not refused.value.may_have_arrived

    assert outward == []
    assert answers == []


async def test_a_name_that_changes_its_address_is_dialled_only_where_it_was_checked(outward: list[object]) -> None:
    """Rebinding: good at the first look, loopback at the next; each connection has one look-up, and that is the one checked."""
    answers = iter([["1.1.1.1"], ["127.0.0.1"], ["1.1.1.1", "127.0.0.1"]])
    guard = EgressGuard(lookup=lambda _: _given(next(answers)))
    destination = guard.check("https://provider.example/")

    assert await guard.addresses(destination) == ["1.1.1.1"]
    async with OutboundClient(guard) as client:
        for _ in range(2):
            with pytest.raises(EgressRefused):
                await client.send(OutboundRequest("GET", "https://provider.example/"), deadline=SECOND, max_bytes=100)

    assert outward == []
    assert next(answers, None) is None


async def test_the_last_check_stands_right_before_the_dial(outward: list[object]) -> None:
    """Even where the resolver's check were passed by, no socket is opened for an address that is not public."""

    class Careless(EgressGuard):
        async def addresses(self, destination: Destination) -> list[str]:
            return ["127.0.0.1"]

    async with OutboundClient(Careless()) as client:
        with pytest.raises(EgressRefused):
            await client.send(OutboundRequest("POST", "https://provider.example/"), deadline=SECOND, max_bytes=100)

    assert outward == []


async def test_a_name_without_an_address_is_unreachable() -> None:
    async with OutboundClient(EgressGuard(lookup=lambda _: _given([]))) as client:
        with pytest.raises(Unreachable) as unreachable:
            await client.send(OutboundRequest("GET", "https://provider.example/"), deadline=SECOND, max_bytes=100)

    assert unreachable.value.obstacle is Obstacle.NAME
    assert not unreachable.value.may_have_arrived


async def test_an_allowed_host_may_be_plain_and_private_by_address_and_by_name(outward: list[object]) -> None:
    async with serve(says(answer(200, b"hello"))) as server:
        allowed = frozenset({f"127.0.0.1:{server.port}", "Sandbox.internal"})
        async with OutboundClient(EgressGuard(allowed, lookup=lambda _: _given(["127.0.0.1"]))) as client:
            for host in ("127.0.0.1", "sandbox.internal", "SANDBOX.internal"):
                answered = await client.send(OutboundRequest("GET", f"http://{host}:{server.port}/"), deadline=SECOND, max_bytes=100)
                assert answered.body == b"hello"
            assert ("socket.connect", ("127.0.0.1", server.port)) in outward

            with pytest.raises(EgressRefused):
                await client.send(OutboundRequest("GET", f"http://other.internal:{server.port}/"), deadline=SECOND, max_bytes=100)


@pytest.mark.parametrize("host", ["127.0.0.2", "127.0.0.1", "localhost", "evil.sandbox.internal", "sandbox.internal.evil"])
def test_an_allowed_host_allows_no_other_host_or_port(host: str) -> None:
    guard = EgressGuard(frozenset({"127.0.0.1:8001", "sandbox.internal"}))

    with pytest.raises(EgressRefused):
        guard.check(f"http://{host}:8000/")


@pytest.mark.parametrize("entry", ["*", "*.internal", "http://sandbox", "sandbox/", "10.0.0.0/8", "", "a:b", "a b", "a@b"])
def test_an_allowed_host_is_exact_or_no_entry_at_all(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        EgressGuard(frozenset({entry}))


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://Provider.Example", "https://provider.example/"),
        ("https://provider.example:443/a%2Fb?c=%20", "https://provider.example/a%2Fb?c=%20"),
        ("https://provider.example?c=d", "https://provider.example/?c=d"),
        ("https://1.1.1.1/", "https://1.1.1.1/"),
        ("https://[2606:4700:0:0::1111]/", "https://[2606:4700::1111]/"),
        ("https://xn--prvider-90a.example/", "https://xn--prvider-90a.example/"),
    ],
)
def test_a_good_url_becomes_canonical_and_keeps_its_path_as_it_was(url: str, canonical: str) -> None:
    assert EgressGuard().check(url).url == canonical


@settings(deadline=None)
@given(st.text(alphabet="htps:/.@\\#?[]%0123456789abcdefx-_ ①。\t\n", max_size=40))
def test_no_text_breaks_the_check_of_a_url(text: str) -> None:
    for url in (text, f"https://{text}", f"https://provider.example{text}"):
        try:
            destination = EgressGuard().check(url)
        except EgressRefused:
            continue
        assert destination.port == 443
        assert destination.url.startswith("https://")
        assert repr(destination) == f"Destination({destination.origin})"


async def _given(addresses: list[str]) -> list[str]:
    return addresses
