"""Scenario files: of endpoints, and of a journey."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from loadkit.importer.source import Call, Code, Expression, Joined, Variable, docstring, expression

_PLACEHOLDER: Final = re.compile(r"\{([^\W\d][\w.-]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioFile:
    """A scenario file as text, and what is said of it when it is written."""

    text: str
    notes: Sequence[str] = field(default=())
    needs_base_url: bool = False
    """It does not say where its requests go."""

    def __post_init__(self) -> None:
        ast.parse(self.text)


def endpoint_file(
    name: str,
    about: str,
    endpoints: Sequence[Call],
    *,
    base_url: str | None = None,
    credentials: Mapping[str, Expression] | None = None,
    fields: Mapping[str, Expression] | None = None,
    load: Mapping[str, Expression] | None = None,
) -> str:
    """A file with one scenario of endpoints; `credentials` are what its set-up returns by name."""
    given = dict(credentials or {})
    names = ["Endpoint", "Scenario", *(["rows"] if any("feed" in one.named for one in endpoints) else [])]
    # base64 is for basic authentication alone
    encoding = "from base64 import b64encode" if any("b64encode" in expression(one) for one in given.values()) else ""
    standard = "\n".join(filter(None, ["import os" if given else "", encoding]))
    parts = [docstring(about), standard, f"from loadkit import {', '.join(names)}"]
    body = f"def credentials():\n    return {expression(given, indent=4, used=7)}\n" if given else ""
    scenario = Call(
        "Scenario",
        named={
            **({"base_url": base_url} if base_url else {}),
            **({"setup": Code("credentials")} if given else {}),
            "endpoints": list(endpoints),
            **(fields or {}),
            **(load or LOAD),
        },
    )
    return module(parts, [body, f"{name} = {expression(scenario, used=len(name) + 3)}\n"])


LOAD: Final[Mapping[str, Expression]] = {
    "threads": 1,
    "duration": "10s",
    "thresholds": ["error_rate < 1%"],
}
"""The load of a scenario that is written, for its user to change."""


def module(imports: Sequence[str], blocks: Sequence[str]) -> str:
    """The text of a file: what it is about and what it imports, then functions and values."""
    head = "\n\n".join(part for part in imports if part)
    return "\n\n\n".join([head, *(block.rstrip("\n") for block in blocks if block)]) + "\n"


def in_endpoint(value: Any) -> Expression:
    """An expression as an endpoint takes it: a variable is a placeholder, and other braces stay what they are."""
    if isinstance(value, Variable):
        return f"{{{value.name.lower()}}}"
    if isinstance(value, Call):  # a number from the environment
        return in_endpoint(value.positional[0])
    if isinstance(value, Joined):
        return "".join(in_endpoint(part) for part in value.parts)
    if isinstance(value, str):
        return _PLACEHOLDER.sub(r"{{\1}}", value)
    if isinstance(value, Mapping):
        return {name: in_endpoint(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(in_endpoint, value))
    return value


def from_environment(variables: Mapping[str, bool]) -> dict[str, Expression]:
    """What a set-up returns for placeholders of these variables; True for a number."""
    return {
        name.lower(): Call("int", (Variable(name),)) if is_number else Variable(name)
        for name, is_number in variables.items()
    }
