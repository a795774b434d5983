"""How many connections are open, altogether and from each address."""

from collections import Counter
from ipaddress import IPv6Network, ip_address

from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from teamaccess.api.server.limits import ConnectionLimits

OPEN = Gauge("teamaccess_connections_open", "Connections that clients have open")
REFUSED = Metric(
    "teamaccess_connections_refused_total", "Connections ended by a limit, by its code", ["code"]
)
SITE_BITS = 64
"""What an IPv6 customer gets at least: its addresses count as one."""


class Gate:
    """Admits connections up to the limits. Forwarded addresses are not looked at."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._total = 0
        self._by_address: Counter[str] = Counter()

    def admit(self, address: str) -> bool:
        """Count a connection from this address, unless there are too many."""
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
        """Count an admitted connection no longer."""
        self._total -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
        OPEN.set(self._total)


def counted_address(client: tuple[str, int] | None) -> str:
    """Return the address under which a client's connections are counted: an IPv6 one's network."""
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
    return str(IPv6Network((address, SITE_BITS), strict=False))
