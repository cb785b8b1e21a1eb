"""Values in order as a line of characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEVELS: Final = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS: Final = ".:-=+*#@"


def sparkline(values: Sequence[float | None], low: float, high: float, *, ascii: bool = False) -> str:  # noqa: A002
    """A character for each value, by its level between `low` and `high`; a blank where it is not known."""
    levels = _ASCII_LEVELS if ascii else _LEVELS
    step = (high - low) / len(levels)
    return "".join(" " if one is None else levels[_level(one - low, step)] for one in values)


def _level(above: float, step: float) -> int:
    return max(0, min(len(_LEVELS) - 1, int(above / step))) if step > 0 else len(_LEVELS) // 2
