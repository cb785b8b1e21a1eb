"""Stored results with the fields that they had at first, as those of today."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from loadkit.judge.result import Stored

_EARLIER: Final = ("verdict", "bound", "bound_by")


def may_be_earlier(content: bytes) -> bool:
    """True for a file of results with the fields that they had at first, and for few others."""
    return any(f'"{name}"'.encode() in content for name in _EARLIER)


def of_today(content: Any) -> Stored:
    """A decoded file of version 2; `msgspec.ValidationError` naming the place for what is none."""
    if isinstance(content, dict) and isinstance(content.get("results"), list):
        content = content | {"results": [result_of_today(one) for one in content["results"]]}
    return msgspec.convert(content, Stored, str_keys=True)


def result_of_today(old: Any) -> Any:
    """A decoded result with the fields of today; what is none stays as it is, and is refused where that is known."""
    if not isinstance(old, dict):
        return old
    new = _with_bottleneck(old)
    if isinstance(spans := new.get("spans"), list):
        new["spans"] = [_with_bottleneck(span) if isinstance(span, dict) else span for span in spans]
    return {"validity" if name == "verdict" else name: value for name, value in new.items()}


def _with_bottleneck(old: dict[str, Any]) -> dict[str, Any]:
    """A result, or the span of a run, whose bottleneck is one value."""
    new = {name: value for name, value in old.items() if name not in ("bound", "bound_by")}
    if old.get("bound") is not None:
        new["bottleneck"] = {"cause": old.get("bound_by"), "sentence": old["bound"]}
    return new
