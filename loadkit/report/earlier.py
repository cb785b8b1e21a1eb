"""Stored results in which a field has the name that it had at first, as those of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from loadkit.judge.result import Stored

_RENAMED: Final[Mapping[str, str]] = {"verdict": "validity"}


def may_have_earlier_names(content: bytes) -> bool:
    """True for a file of results in which a field has another name than today, and for few others."""
    return any(f'"{name}"'.encode() in content for name in _RENAMED)


def with_names_of_today(content: Any) -> Stored:
    """A decoded file of version 2; `msgspec.ValidationError` naming the place for what is none."""
    if isinstance(content, dict) and isinstance(content.get("results"), list):
        content = content | {"results": [renamed(result) for result in content["results"]]}
    return msgspec.convert(content, Stored, str_keys=True)


def renamed(result: Any) -> Any:
    """A decoded result with the names of today; anything else as it is."""
    if not isinstance(result, dict):
        return result
    return {_RENAMED.get(name, name): value for name, value in result.items()}
