"""What the demo server remembers from one request to the next."""

from __future__ import annotations

from collections import Counter

ORDERS_KEPT = 10_000


class Counts:
    """What the server counted since its start; changed by the event loop's thread only."""

    __slots__ = ("abandoned", "connections", "open_connections", "paths", "statuses")

    def __init__(self) -> None:
        self.paths: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.connections = 0
        self.open_connections = 0
        self.abandoned = 0

    def as_json(self) -> dict[str, object]:
        return {
            "requests": self.paths.total(),
            "errors": sum(count for status, count in self.statuses.items() if status >= 400),
            "abandoned": self.abandoned,
            "paths": dict(self.paths),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "connections": {"open": self.open_connections, "total": self.connections},
        }


class State:
    """The counts, the orders, and how often the paths that count were asked for."""

    __slots__ = ("counts", "flaky_requests", "ordered", "orders", "searches")

    def __init__(self) -> None:
        self.counts = Counts()
        self.searches = 0
        self.flaky_requests = 0
        self.ordered = 0
        self.orders: dict[int, str] = {}

    def order(self, sku: str) -> int:
        """Note an order and number it; the oldest are forgotten."""
        self.ordered += 1
        self.orders[self.ordered] = sku
        self.orders.pop(self.ordered - ORDERS_KEPT, None)
        return self.ordered
