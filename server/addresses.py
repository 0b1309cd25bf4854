"""Addresses: what counts as one client, and which are proxies that say for whom they speak."""

import ipaddress
from collections.abc import Iterable
from typing import Final

_IPV6_NETWORK: Final = 64  # bits: the least that one customer is given
_UNKNOWN: Final = "unknown"


def client_key(host: str | None) -> str:
    """Return what clients at an address are counted by: itself, or the /64 network of an IPv6 address.

    What is no address, as a proxy may say by mistake, counts together.
    """
    if host is None or (host.count(".") == 3 and ":" not in host and len(host) <= 15):
        return host or _UNKNOWN
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return _UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> _IPV6_NETWORK << _IPV6_NETWORK, _IPV6_NETWORK)))


class Proxies:
    """Addresses and networks of proxies."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [ipaddress.ip_network(one) for one in networks]

    def __contains__(self, host: object) -> bool:
        """Say whether a connection from this address comes from a proxy."""
        if not (self._networks and isinstance(host, str)):
            return False
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)
