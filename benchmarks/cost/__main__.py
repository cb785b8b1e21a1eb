"""`python -m benchmarks.cost`: compares the clients and writes the table into the page."""

from __future__ import annotations

from benchmarks.cost.comparison import compare
from benchmarks.cost.page import LIMITS
from benchmarks.cost.peers import PEERS

if __name__ == "__main__":
    compare("cost", PEERS, LIMITS)
