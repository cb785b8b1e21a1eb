"""What a test asks to load, as a scenario."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.journey import Journey
from loadkit.plan.loader import load
from loadkit.plan.scenario import Scenario, addressed

Plan: TypeAlias = Endpoint | Journey | Callable[..., Any]
Target: TypeAlias = Scenario | Plan | Sequence[Plan] | str | os.PathLike[str]

_RIGHT = (
    "load takes a Scenario, an Endpoint, a journey like def buy(http): ..., a list of these, "
    "a URL, a path like '/health' or 'file.py::name'"
)


def resolve_target(
    target: Target, changes: Mapping[str, Any], *, name: str, root: Path, server: str | None = None
) -> Scenario:
    """The scenario of a target, with its fields changed, and aimed at a server where neither these nor a URL say where.

    One without a name gets this one, and so does an endpoint, a journey or a URL. Files are looked for below `root`,
    then where we are. Raises `UsageError` for what is no target, and for text that names more than one scenario.
    """
    if isinstance(target, Scenario):
        made = target.replace(**changes)
    elif isinstance(target, str | os.PathLike):
        text = os.fspath(target)
        if isinstance(target, str) and _is_path(text, root):
            made = _scenario_of([Endpoint("GET", text)], {"name": name, **changes})
        else:
            named = {"name": name} if "://" in text else {}
            made = _load_one(text, root).replace(**{**named, **changes})
    elif isinstance(target, Sequence) or (callable(target) and not isinstance(target, type)):
        made = _scenario_of(target, {"name": name, **changes})
    elif isinstance(target, Endpoint | Journey):
        made = _scenario_of([target], {"name": name, **changes})
    else:
        raise UsageError(f"{_RIGHT}, not {target!r}")
    is_url = isinstance(target, str | os.PathLike) and "://" in os.fspath(target)
    if server and changes.keys().isdisjoint({"base_url", "server"}) and not is_url:
        made = made.replace(base_url=f"{server.rstrip('/')}{urlsplit(made.base_url or '').path}")
    try:
        addressed(made)
    except UsageError as error:
        relative = str(error).partition(";")[0]
        raise UsageError(f"{relative}; say where, like load(target, base_url='http://127.0.0.1:8000')") from None
    return made if made.name else made.replace(name=name)


def _is_path(text: str, root: Path) -> bool:
    """True for the path of a URL: one of files is that of a .py file, or leads into the project."""
    file = Path(text.partition("::")[0])
    return text.startswith("/") and file.suffix != ".py" and not (file.is_relative_to(root) and file.exists())


def _scenario_of(plans: Any, changes: Mapping[str, Any]) -> Scenario:
    if "endpoints" in changes:
        raise UsageError("load takes endpoints, or a Scenario with endpoints=[…], not both")
    # through replace, which knows the fields and tells of those there are not
    return Scenario(endpoints=plans, base_url=changes.get("base_url")).replace(**changes)


def _load_one(text: str, root: Path) -> Scenario:
    path, separator, name = text.partition("::")
    below = root / path
    found = load(f"{below}{separator}{name}" if "://" not in text and below.exists() else text)
    if len(found) > 1:
        names = ", ".join(str(one.name) for one in found)
        raise UsageError(f"{text} has {len(found)} scenarios ({names}); name one, like '{path}::{found[0].name}'")
    return found[0]
