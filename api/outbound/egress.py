"""Which addresses an outbound call may reach: the guard against requests that somebody else aims at our own network.

Protected: addresses of this machine, of its private networks, of cloud metadata services, and whatever else is not the public
internet, however they are written and whichever name resolves to them. A name is resolved once for a connection, each of its
addresses is checked, and only checked addresses are dialled, so that a name cannot change its mind in between.
Not protected: public services that trust the address of this machine.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from api.errors import PatchbayError

Lookup = Callable[[str], Awaitable[list[str]]]

_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network: Linux takes 0.0.0.0 for loopback
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata service of Alibaba Cloud
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # the platform service of Azure, reachable from its machines only
        "169.254.0.0/16",  # link-local, and the metadata services of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments, and the metadata service of Oracle Cloud
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

# Global unicast is all that is public in IPv6. Outside of it, among others: unspecified and loopback (::/127), IPv4-compatible
# (::/96) and IPv4-mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96, 64:ff9b:1::/48), discard-only (100::/64), SRv6 (5f00::/16),
# unique local (fc00::/7), link-local (fe80::/10), site-local (fec0::/10), multicast (ff00::/8).
_PUBLIC_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments: Teredo (2001::/32), benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which wraps any IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)

_URL = re.compile(r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+)(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?].*)?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_DEFAULT_PORTS = {"https": 443, "http": 80}
# As browsers have it: a name whose last label is a number, also a hexadecimal one, means an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
# What a path and a query may consist of: what is printed in ASCII, but for space and "<>\\^`{|}#
_PATH_AND_QUERY = re.compile(r"[!$-;=?-\[\]_a-z~]*", re.ASCII)
_MAXIMUM_URL = 16_384
_SERVERS_REMEMBERED = 1000


class OutboundError(PatchbayError):
    """A call to the outside that brought no answer. `origin` is scheme and host, never more.

    `may_have_arrived` tells whether the other side could have seen the request and acted on it.
    """

    def __init__(self, origin: str, message: str, remedy: str | None = None, *, may_have_arrived: bool = False) -> None:
        super().__init__(message, remedy)
        self.origin = origin
        self.may_have_arrived = may_have_arrived


class EgressRefused(OutboundError):
    """The address is one that Patchbay does not call, and it did not."""

    def __init__(self, origin: str, problem: str) -> None:
        super().__init__(
            origin, f"{origin} is not called: {problem}.", "Give a public https address, or ask the operator to allow this host."
        )
        self.problem = problem


class ForbiddenAddress(PermissionError):
    """What a dialler meets where an address is refused; `OutboundClient` makes EgressRefused of it."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that passed the guard, in canonical form. Its repr shows the origin alone."""

    url: str
    origin: str
    host: str
    port: int
    # Named by the operator: may be private, plain http, and on any port.
    is_allowed: bool

    @property
    def server_and_target(self) -> tuple[str, str]:
        """Of the URL: up to the path, and from there on."""
        end = self.url.index("/", len("https://"))
        return self.url[:end], self.url[end:]

    def __repr__(self) -> str:
        return f"Destination({self.origin})"


def is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _REFUSED_V6)


def origin_of(url: str) -> str:
    """Scheme and host of a URL, safe to print; a URL that is not understood prints as nothing of itself."""
    match = _URL.fullmatch(url)
    return f"{match['scheme']}://{match['host'].lower()}" if match else "That address"


async def system_lookup(host: str) -> list[str]:
    """All addresses of a name, as the system's resolver gives them."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))


class EgressGuard:
    """Decides about each outbound call: before it by its URL, after the name is resolved by its addresses, and at each dial.

    `allowed_hosts` are exact: `host` allows all its ports, `host:port` that port; an IPv6 address stands in brackets.
    """

    def __init__(self, allowed_hosts: frozenset[str] = frozenset(), lookup: Lookup = system_lookup) -> None:
        for entry in allowed_hosts:
            if not _URL.fullmatch(f"https://{entry}") or "/" in entry:
                raise ValueError(f"“{entry}” is not a host, nor host:port")
        self._allowed_hosts = frozenset(entry.lower() for entry in allowed_hosts)
        self._lookup = lookup

    def check(self, url: str) -> Destination:
        """The destination that a URL means. Raises EgressRefused for one that is not understood or not allowed; asks no name server."""
        match = _URL.fullmatch(url) if len(url) <= _MAXIMUM_URL else None
        if match is None or not _PATH_AND_QUERY.fullmatch(rest := match["rest"] or ""):
            raise EgressRefused("That address", "it is not a plain http or https URL")
        server = _server(match["scheme"], match["host"], match["port"], self._allowed_hosts)
        path_and_query = "/" + rest.removeprefix("/")
        return Destination(f"{server.url}{path_and_query}", server.origin, server.host, server.port, server.is_allowed)

    def check_host(self, host: str, port: int, *, origin: str) -> Destination:
        """The destination of a call by another protocol than HTTP, on any port. Raises EgressRefused."""
        name = host.lower()
        if not _URL.fullmatch(f"https://{name}") or "/" in name or (":" in name.strip("[]") and not name.startswith("[")):
            raise EgressRefused(origin, "its host is not a host name")
        literal = _literal(name, origin)
        is_allowed = not self._allowed_hosts.isdisjoint({name, f"{name}:{port}"})
        if literal is not None and not is_allowed and not is_public(literal):
            raise EgressRefused(origin, "its address is not public")
        if not 0 < port < 65536:
            raise EgressRefused(origin, "there is no such port")
        return Destination(f"{origin}:{port}", origin, name.strip("[]"), port, is_allowed)

    async def addresses(self, destination: Destination) -> list[str]:
        """The checked addresses of a name. Raises ForbiddenAddress where any one of them is not public, OSError where there is none."""
        found = await self._lookup(destination.host)
        if not found:
            raise OSError(f"{destination.host} has no address")
        for address in found:
            self.check_dial(destination, address)
        return found

    def check_dial(self, destination: Destination, address: str) -> None:
        """The last word before a socket connects. Raises ForbiddenAddress."""
        if destination.is_allowed:
            return
        try:
            public = is_public(ip_address(address))
        except ValueError:
            public = False
        if not public:
            raise ForbiddenAddress("the address is not public")


@dataclass(frozen=True, slots=True)
class _Server:
    url: str
    origin: str
    host: str
    port: int
    is_allowed: bool


# Most calls go to few servers. Whether a server may be called at all does not change while it has these allowed hosts.
@lru_cache(_SERVERS_REMEMBERED)
def _server(scheme: str, host: str, port_text: str | None, allowed_hosts: frozenset[str]) -> _Server:
    """Raises EgressRefused."""
    host = host.lower()
    origin = f"{scheme}://{host}"
    literal = _literal(host, origin)
    if literal is not None:
        host = f"[{literal}]" if literal.version == 6 else str(literal)
        origin = f"{scheme}://{host}"
    port = int(port_text) if port_text else _DEFAULT_PORTS[scheme]

    is_allowed = not allowed_hosts.isdisjoint({host, f"{host}:{port}"})
    if not is_allowed:
        if scheme != "https":
            raise EgressRefused(origin, "only https is allowed")
        if port != 443:
            raise EgressRefused(origin, "only port 443 is allowed")
        if literal is not None and not is_public(literal):
            raise EgressRefused(origin, "its address is not public")
    if not 0 < port < 65536:
        raise EgressRefused(origin, "there is no such port")

    authority = host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"
    return _Server(f"{scheme}://{authority}", origin, host.strip("[]"), port, is_allowed)


def _literal(host: str, origin: str) -> IPv4Address | IPv6Address | None:
    """The address that a host spells, or None for a name. Only the canonical spelling of an IPv4 address is taken."""
    if host.startswith("["):
        try:
            return IPv6Address(host[1:-1])
        except ValueError:
            raise EgressRefused(origin, "its address is not understood") from None
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return IPv4Address(host)
        except ValueError:
            raise EgressRefused(origin, "its address is not spelled canonically") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise EgressRefused(origin, "its host is not a host name")
    return None
