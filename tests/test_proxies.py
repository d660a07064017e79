"""Who is at the other end."""

from ipaddress import ip_network

import pytest

from api.proxies import Proxies, neighbourhood

TRUSTED = Proxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("192.0.2.1/32")])


@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.7"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 192.0.2.1, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", ["198.51.100.7:51234"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::7]:51234"], "2001:db8::7"),
        ("10.0.0.1", ["2001:DB8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, unknown, 10.9.9.9"], "10.9.9.9"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [",,,"], "10.0.0.1"),
        ("10.0.0.1", ["1" * 8_000], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8::7%eth0'; DROP TABLE"], "10.0.0.1"),
        ("a name", ["198.51.100.7"], "a name"),
    ],
)
def test_the_source_is_the_nearest_who_is_no_proxy_of_ours(peer: str, forwarded: list[str], source: str) -> None:
    assert TRUSTED.source(peer, forwarded) == source


def test_without_proxies_nobody_is_believed() -> None:
    assert Proxies([]).source("10.0.0.1", ["198.51.100.7"]) == "10.0.0.1"


@pytest.mark.parametrize(
    ("source", "limited"),
    [("198.51.100.7", "198.51.100.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::ffff:198.51.100.7", "198.51.100.7"), (None, "")],
)
def test_whoever_has_an_ipv6_address_has_its_neighbours_too(source: str | None, limited: str) -> None:
    assert neighbourhood(source) == limited
