"""What is asked of each tool: how the load is made, and how the server behaves."""

from __future__ import annotations

from dataclasses import dataclass

SERVERS = {"prompt": 6, "delays": 6, "stalls": 15}
"""How the server behaves, and the seconds of a run against it: 15 are three stalls."""
QUICK = {"prompt": 2, "delays": 2, "stalls": 4}
CONNECTIONS = (4, 64)
RATES = (1000, 3000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A closed workload of so many connections, or an open one of so many requests a second."""

    server: str
    connections: int = 0
    rate: int = 0

    @property
    def name(self) -> str:
        return f"open-{self.rate}-{self.server}" if self.rate else f"closed-{self.connections}-{self.server}"

    @property
    def seconds(self) -> int:
        return SERVERS[self.server]

    @property
    def is_answered_exactly(self) -> bool:
        """What the response times should be can be computed from the plan, if it is known which request is which."""
        return bool(self.rate) and self.server == "stalls"

    @property
    def most(self) -> int:
        """Connections an open workload may have: those that a stall of a second needs, and a quarter more."""
        return self.rate * 5 // 4


CASES = [
    *(Case(connections=connections, server=server) for connections in CONNECTIONS for server in SERVERS),
    *(Case(rate=rate, server=server) for rate in RATES for server in SERVERS),
]
