from typing import Any

from loadkit.wire.base import Exchange
from loadkit.wire.extension import Known

REVISION: int

def exchange(
    fd: int, payload: bytes, known: Known | None, wall_offset: int, fresh_until: int, /
) -> tuple[Exchange | None, Any]: ...
