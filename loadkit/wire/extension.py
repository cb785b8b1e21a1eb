"""The extension in C, which does the common exchange: optional, and all that it does is done in Python without it."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Final

REVISION: Final = 1
"""That of the extension which this Python was written for; one that was built before a change is not used."""


def _find() -> ModuleType | None:
    if os.environ.get("LOADKIT_NO_EXTENSION", "0") not in ("", "0"):
        return None
    try:
        found = importlib.import_module("loadkit.wire._exchange")
    except ImportError:
        return None
    return found if found.REVISION == REVISION else None


EXTENSION: Final = _find()
"""None where it was not built, or `LOADKIT_NO_EXTENSION` is set."""
