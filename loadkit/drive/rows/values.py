"""What set-ups made for the placeholders of requests: by name, and whether it is all that those need."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from loadkit.plan.errors import SetupError, UsageError


def by_name(made: object) -> Mapping[str, Any]:
    """What a set-up returned, if that is a mapping; else there is nothing in it that fills a placeholder."""
    return made if isinstance(made, Mapping) else {}


def check_filled(columns: Collection[str], values: Mapping[str, Any], *, what: str) -> None:
    """Raise `SetupError` where a placeholder has no value, before anything is sent."""
    for column in sorted(columns):
        if column not in values:
            known = ", ".join(map(str, values)) or f"nothing by name; return a mapping like {{'{column}': ...}}"
            raise _error(f"nothing fills {{{column}}} in {what}: what sets up returned {known}")
        if values[column] is None:
            raise _error(f"nothing fills {{{column}}} in {what}: what sets up returned None for it")


def _error(message: str) -> SetupError:
    return SetupError(message, UsageError(message))
