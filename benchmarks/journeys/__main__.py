"""`python -m benchmarks.journeys`: compares sessions and writes the table into the page."""

from __future__ import annotations

from benchmarks.cost.comparison import compare
from benchmarks.journeys.peers import LIMITS, PEERS

if __name__ == "__main__":
    compare("journeys", PEERS, LIMITS)
