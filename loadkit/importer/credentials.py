"""Secrets in requests that are imported: they stay out of the file, which takes them from the environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from loadkit.importer.source import Call, Expression, Joined, Variable, variable_name
from loadkit.plan.redact import is_secret

Put: TypeAlias = Callable[[str, Any], Expression]
"""Given the name and the value of a field, what is written there."""

SHORTEST: Final = 6
"""Characters of a secret that is known by its value wherever it stands."""

_TOKEN: Final = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
"""A JSON Web Token, whatever it is called."""
_SCHEME: Final = re.compile(r"(?P<scheme>[A-Za-z][\w-]*) (?P<value>\S+)")


class Credentials:
    """The secrets that were met, each with its variable of the environment."""

    def __init__(self) -> None:
        self.variables: dict[str, bool] = {}
        """By name; True for a number."""
        self._names: dict[Any, str] = {}

    def put(self, name: str, value: Any) -> Expression:
        """A variable in the place of a secret; any other value as it is."""
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            return value
        is_known = value in self._names and len(str(value)) >= SHORTEST
        if not (is_known or is_secret(name) or (isinstance(value, str) and _TOKEN.fullmatch(value))):
            return value
        variable = self._variable(name, value)
        return variable if isinstance(value, str) else Call("int", (variable,))

    def put_in_header(self, name: str, value: str) -> Expression:
        """The same for a header, whose scheme (`Bearer`) is no secret."""
        found = _SCHEME.fullmatch(value)
        if not found or not is_secret(name):
            return self.put(name, value)
        secret = self._variable("token" if found["scheme"].lower() == "bearer" else name, found["value"])
        return Joined((f"{found['scheme']} ", secret))

    def _variable(self, name: str, value: str | int) -> Variable:
        if value not in self._names:
            self._names[value] = variable_name(name, self.variables)
            self.variables[self._names[value]] = isinstance(value, int)
        return Variable(self._names[value])


def each_value(value: Any, name: str, put: Put) -> Expression:
    """A value, and those within it, with what `put` writes for each by its name."""
    if isinstance(value, dict):
        return {key: each_value(one, key, put) for key, one in value.items()}
    if isinstance(value, list | tuple):
        pairs = [_pair(one, put) or each_value(one, name, put) for one in value]
        return pairs if isinstance(value, list) else tuple(pairs)
    return put(name, value)


def _pair(value: Any, put: Put) -> Expression | None:
    """A name with its value, as lists of forms have them."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return value[0], each_value(value[1], value[0], put)
    return None
