"""What a result is of: a name that is the same on each machine, and a digest of what was asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from loadkit.plan.data import Rows
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.redact import redact

if TYPE_CHECKING:
    from loadkit.plan.scenario import Scenario

ROOTS: Final = ("pyproject.toml", "pytest.ini", "setup.cfg", ".git")
"""What lies in the root of a project."""

_DIGITS: Final = 16

_LOAD: Final = (
    "threads",
    "duration",
    "iterations",
    "iterations_per_thread",
    "warmup",
    "think_time",
    "pacing",
    "rate",
    "arrivals",
    "max_threads",
    "phases",
    "thresholds",
    "timeout",
    "graceful_stop",
    "verify",
    "body_limit",
    "setup",
    "teardown",
)
"""Fields of a scenario that make figures comparable; how many processes share a load and where it goes do not."""


_OF_THREADS: Final = ("thread_setup", "thread_feed")
"""The same, where a scenario has them."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a result is of: results are merged, and compared, where both are the same."""

    name: str
    """`scenarios/shop.py::browse` from the root of its project, a test's id in pytest, or the request of a bare URL."""
    plan: str
    """A digest of what was asked for: endpoints, load, thresholds, and what else makes figures comparable.

    Neither the `base_url` nor what code does is in it.
    """


def identity(scenario: Scenario, companions: Sequence[Scenario] = ()) -> Identity:
    """The identity of a scenario's results; it is another where companions load the machine and the server, too."""
    plan = _plan(scenario)
    if companions:
        plan["companions"] = sorted(digest(_plan(one)) for one in companions)
    return Identity(name=_name(scenario), plan=digest(plan))


def digest(plan: Any) -> str:
    """A few letters that are the same for the same plan: text, numbers, and lists and dicts of them."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _name(scenario: Scenario) -> str:
    name = scenario.name or "scenario"
    if scenario.source is None or not scenario.source.target:
        return name
    target, written = scenario.source.target, scenario.source.scenario.name
    if "://" in target:
        return scenario.labels[0] if scenario.labels else name
    return f"{_place(Path(target.removesuffix(f'::{written}')))}::{name}"


def _place(file: Path) -> str:
    """Where a file is in its project; outside of any, its name."""
    root = project_of(file)
    return file.relative_to(root).as_posix() if root else file.name


def project_of(path: Path) -> Path | None:
    """The root of the project that a file or folder is in; None outside of any."""
    folders = (path, *path.parents)
    return next((folder for folder in folders if any((folder / root).exists() for root in ROOTS)), None)


def _plan(scenario: Scenario) -> dict[str, Any]:
    found = {name: plain(getattr(scenario, name)) for name in _LOAD}
    found |= {name: plain(value) for name in _OF_THREADS if (value := getattr(scenario, name)) is not None}
    hosts: dict[str, int] = {}
    endpoints = [_endpoint(one, hosts) if isinstance(one, Endpoint) else plain(one) for one in scenario.plans]
    seed = scenario.seed if _is_drawn(scenario) else None
    return found | {"headers": sorted(scenario.headers), "endpoints": endpoints, "seed": seed}


def _endpoint(endpoint: Endpoint, hosts: dict[str, int]) -> Any:
    """An endpoint without the host in its URL: which of the scenario's hosts it is, in their order, is enough."""
    fields = plain(endpoint) | {"headers": sorted(endpoint.headers)}
    # what was stored before an endpoint had these is of the same plan
    fields = {name: value for name, value in fields.items() if value or name not in ("follow", "path_as_is")}
    parts = urlsplit(endpoint.path)
    if endpoint.path.startswith("/") or not parts.netloc:
        return fields
    host = hosts.setdefault(f"{parts.scheme}://{parts.netloc}", len(hosts))
    path = parts._replace(scheme="", netloc="", path=parts.path or "/").geturl()
    return fields | {"path": redact(path), "host": host}


def _is_drawn(scenario: Scenario) -> bool:
    """The seed decides what is sent, or when."""
    feeds = [one.feed for one in scenario.plans if one.feed is not None]
    is_thought = not isinstance(scenario.think_time, int | float)
    return scenario.arrivals != "constant" or is_thought or any(feed.order != "file" for feed in feeds)


def plain(value: Any) -> Any:
    """A value as lists, dicts, text and numbers, without secrets and without what is another on each machine."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Rows):
        return [plain(value.source) if isinstance(value.source, Path) else "rows", value.order, value.at_end]
    if isinstance(value, Path):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr}
    if isinstance(value, bytes | bytearray):
        return hashlib.sha256(value).hexdigest()
    return _collected(value)


def _collected(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in redact(dict(value)).items()}
    if isinstance(value, AbstractSet):
        return sorted(map(plain, value), key=repr)
    if isinstance(value, Sequence):
        return [plain(one) for one in redact(list(value))]
    return getattr(value, "__qualname__", type(value).__qualname__)
