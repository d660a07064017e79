"""Who is at the other end, where reverse proxies stand between.

What a header says, anybody may say. So `X-Forwarded-For` is read from its right end, where the nearest proxy wrote, and only as far as
those who wrote are proxies that the operator names.
"""

from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What one customer of a provider gets of IPv6.
_NEIGHBOURS = 64
_LONGEST_ENTRY = 64


class Proxies:
    def __init__(self, trusted: Collection[Network]) -> None:
        self._trusted = trusted

    def trust(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self._trusted)

    def source(self, peer: str, forwarded: Sequence[str]) -> str:
        """The address of the nearest who is none of these proxies; where what a proxy wrote cannot be read, that proxy's own.

        `forwarded`: the lines of X-Forwarded-For, as they came.
        """
        nearest = peer
        entries = [entry for line in forwarded for entry in line.split(",")]
        while entries and self.trust(nearest):
            address = _address(entries.pop())
            if address is None:
                return nearest
            nearest = str(address)
        return nearest


def neighbourhood(source: str | None) -> str:
    """Whom a limit for an address is for: an IPv6 address stands for all that whoever has it can take as well."""
    address = None if source is None else _address(source)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _NEIGHBOURS), strict=False))
    return str(address or source or "")


def _address(text: str) -> Address | None:
    """An address as proxies write it, maybe with a port."""
    text = text.strip()[:_LONGEST_ENTRY]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    # A zone may be any text at all.
    if "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
