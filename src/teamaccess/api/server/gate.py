"""Limit how many connections are open in total and from each address."""

from collections import Counter
from ipaddress import IPv6Network, ip_address

from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from teamaccess.api.server.limits import ConnectionLimits

OPEN = Gauge("teamaccess_connections_open", "Open connections of clients")
REFUSED = Metric(
    "teamaccess_connections_refused_total",
    "Connections that a limit ended, by the limit's code",
    ["code"],
)
IPV6_CUSTOMER_BITS = 64
"""IPv6 addresses with the same first 64 bits count as one, because one customer can use all of them."""


class ConnectionGate:
    """Admits connections up to the limits. It ignores forwarded addresses."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._total = 0
        self._by_address: Counter[str] = Counter()

    def admit(self, address: str) -> bool:
        """Count a connection from this address. Return False if there are too many."""
        if (
            self._total >= self.limits.connections
            or self._by_address[address] >= self.limits.connections_per_address
        ):
            return False
        self._total += 1
        self._by_address[address] += 1
        OPEN.set(self._total)
        return True

    def release(self, address: str) -> None:
        """Stop counting an admitted connection."""
        self._total -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
        OPEN.set(self._total)


def counted_address(client: tuple[str, int] | None) -> str:
    """Return the address under which a client is counted. For IPv6 it is the client's network."""
    if client is None:
        return ""
    try:
        address = ip_address(client[0].partition("%")[0])
    except ValueError:
        return client[0]
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, IPV6_CUSTOMER_BITS), strict=False))
