"""What the environment says, for values that are in no command line and no file."""

from __future__ import annotations

import os
import re
from typing import Final

from loadkit.plan.errors import UsageError

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def from_environment(value: str, *, what: str = "a header") -> str:
    """A value with `${NAME}` replaced by that environment variable, so that no secret is seen in `ps`.

    Raises `UsageError` naming a variable that is not set.
    """

    def look_up(found: re.Match[str]) -> str:
        known = os.environ.get(found[1])
        if known is None:
            raise UsageError(f"{what} wants the environment variable {found[1]}, which is not set")
        if re.search(r"[\r\n\0]", known):
            raise UsageError(f"the environment variable {found[1]} has a line break in it, and is no header")
        return known

    return _VARIABLE.sub(look_up, value)
