"""What a test asks to load, as a scenario."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.journey import Journey
from loadkit.plan.loader import load
from loadkit.plan.scenario import Scenario

Target: TypeAlias = Scenario | Endpoint | Journey | Callable[..., Any] | str | os.PathLike[str]

_RIGHT = "load takes a Scenario, an Endpoint, a journey like def buy(http): ..., a URL or 'file.py::name'"


def resolve_target(target: Target, changes: Mapping[str, Any], *, name: str, root: Path) -> Scenario:
    """The scenario of a target, with its fields changed.

    One without a name gets this one, and so does an endpoint, a journey or a URL. Files are looked for below `root`,
    then where we are. Raises `UsageError` for what is no target, and for text that names more than one scenario.
    """
    if isinstance(target, Scenario):
        made = target.replace(**changes)
    elif isinstance(target, Endpoint):
        made = _scenario_of_endpoint(target, {"name": name, **changes})
    elif isinstance(target, Journey) or (callable(target) and not isinstance(target, type)):
        journey = target if isinstance(target, Journey) else Journey(target)
        made = _scenario_of(journey, {"name": name, **changes})
    elif isinstance(target, str | os.PathLike):
        text = os.fspath(target)
        named = {"name": name} if "://" in text else {}
        made = _load_one(text, root).replace(**{**named, **changes})
    else:
        raise UsageError(f"{_RIGHT}, not {target!r}")
    return made if made.name else made.replace(name=name)


def _scenario_of_endpoint(endpoint: Endpoint, changes: Mapping[str, Any]) -> Scenario:
    if endpoint.path.startswith("/") and "base_url" not in changes:
        raise UsageError(
            f"{endpoint.label} is relative; say where, like load(endpoint, base_url='http://127.0.0.1:8000')"
        )
    return _scenario_of(endpoint, changes)


def _scenario_of(plan: Endpoint | Journey, changes: Mapping[str, Any]) -> Scenario:
    if "endpoints" in changes:
        what = "an Endpoint" if isinstance(plan, Endpoint) else "a journey"
        raise UsageError(f"load takes {what}, or a Scenario with endpoints=[…], not both")
    # through replace, which knows the fields and tells of those there are not
    return Scenario(endpoints=[plan], base_url=changes.get("base_url"), name=plan.label).replace(**changes)


def _load_one(text: str, root: Path) -> Scenario:
    path, separator, name = text.partition("::")
    below = root / path
    found = load(f"{below}{separator}{name}" if "://" not in text and below.exists() else text)
    if len(found) > 1:
        names = ", ".join(str(one.name) for one in found)
        raise UsageError(f"{text} has {len(found)} scenarios ({names}); name one, like '{path}::{found[0].name}'")
    return found[0]
