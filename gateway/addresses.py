"""Which addresses a member's webhook may make the gateway speak to.

A URL that a member chooses is a request that the gateway makes from its own network (server-side
request forgery). By default only addresses of the public internet are spoken to; networks of one's
own are named in configuration. Link-local addresses, where clouds keep their metadata service, are
never spoken to. The address is judged when a connection is made, not when the URL is set: a name
may be given another address meanwhile (DNS rebinding).
"""

import errno
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata service of most clouds
        "fe80::/10",
        "fd00:ec2::254/128",  # that of AWS over IPv6
        "fd20:ce::254/128",  # that of Google Cloud over IPv6
        "100.100.100.200/32",  # that of Alibaba Cloud
        "168.63.129.16/32",  # that of Azure
        "0.0.0.0/8",  # "this host"
        "::/128",
        "224.0.0.0/4",  # multicast, and what is above it
        "240.0.0.0/4",
        "ff00::/8",
        "64:ff9b::/96",  # an IPv4 address translated (NAT64): name that address instead
        "64:ff9b:1::/48",
        "2002::/16",  # the same by 6to4 and by Teredo
        "2001::/32",
    )
)
"""Refused whatever is configured."""


class RefusedAddressError(OSError):
    """A host has no address that may be spoken to."""


def network(text: str) -> Network:
    """A network in CIDR notation; ValueError if it is none."""
    return ipaddress.ip_network(text)


def fault(text: str, allowed: Sequence[Network]) -> str | None:
    """Why an address is not spoken to; None if it is."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in never for never in _NEVER):
        return f"{address} is link-local, or no host's address: it is never spoken to"
    if any(address in its for its in allowed) or address.is_global:
        return None
    return f"{address} is not public; the gateway's operator can allow its network"


def literal(host: str) -> str | None:
    """The host of a URL as an address, if it is written as one."""
    text = host.strip("[]")
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


class GuardedResolver(AbstractResolver):
    """Resolves names to the addresses that may be spoken to."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        good = [item for item in found if fault(item["host"], self._allowed) is None]
        if not good:
            faults = {fault(item["host"], self._allowed) for item in found}
            raise RefusedAddressError(errno.EACCES, "; ".join(sorted(filter(None, faults))))
        return good

    async def close(self) -> None:
        await self._system.close()
