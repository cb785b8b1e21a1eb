"""What a thread of the load leaves behind in databases."""

from __future__ import annotations

import sys
from collections.abc import Iterator


def closed_connections() -> Iterator[None]:
    """Around all that a thread does: Django opens connections for each thread, and closes none where that ends.

    A database with connections cannot be removed at the end of the tests.
    """
    yield
    if database := sys.modules.get("django.db"):
        database.connections.close_all()
