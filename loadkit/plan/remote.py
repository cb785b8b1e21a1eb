"""A scenario told to another process: where to load it, and what was changed since, as plain JSON values."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import UsageError
from loadkit.plan.phases import Phase
from loadkit.plan.scenario import Scenario, Source

OF_THE_WHOLE: Final[Mapping[str, Any]] = {
    "name": None,
    "description": "",
    "thresholds": (),
    "setup": None,
    "teardown": None,
    "server": None,
    "ready": "/",
    "ready_timeout": 30.0,
    "prepare": None,
    "processes": 1,
    "source": None,
}
"""What is the business of the one who has the whole run, and what a part of it has instead."""

_ALONE: Final = "use processes=1, and no other machines"


def source_of(scenario: Scenario) -> Source:
    """Where another process finds a scenario; `UsageError` for one that was not loaded from a file or URL."""
    if scenario.source is None:
        raise UsageError(
            f"{scenario.name or 'a scenario'} was made in Python, where other processes cannot find it; "
            f"run it by its file (loadkit run FILE.py --processes {scenario.processes}), or with processes=1"
        )
    return scenario.source


def with_source(scenario: Scenario) -> Scenario:
    """A scenario of an imported module, or one that was made of such by `replace`, with where it is found again."""
    if scenario.source is not None:
        return scenario
    found = [
        Source(target=f"{Path(file).resolve()}::{value.name or name}", scenario=value)
        for module in [*sys.modules.values()]
        if isinstance(file := getattr(module, "__dict__", {}).get("__file__"), str) and file.endswith(".py")
        for name, value in [*vars(module).items()]
        if isinstance(value, Scenario) and value.endpoints == scenario.endpoints and _gives(file, name)
    ]
    own = [source for source in found if source.scenario is scenario]
    return scenario.replace(source=[*own, *found][0]) if found else scenario


def _gives(file: str, name: str) -> bool:
    """True if a file has a value of its own under a name; others have imported it from there."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return False
    return bool(re.search(rf"^(?:def )?{name}\b\s*[:=(]", text, re.MULTILINE)) and not name.startswith("_")


def changed_fields(scenario: Scenario) -> dict[str, Any]:
    """What is different from the scenario as it was loaded: field and JSON value.

    Raises `UsageError` for what has no JSON value, such as another function.
    """
    source = source_of(scenario)
    found = {}
    for field in dataclasses.fields(scenario):
        value, before = getattr(scenario, field.name), getattr(source.scenario, field.name)
        if field.name not in OF_THE_WHOLE and value is not before and value != before:
            found[field.name] = _plain(field.name, value, source)
    return found


def with_fields(scenario: Scenario, changes: Mapping[str, Any]) -> Scenario:
    """A scenario just loaded, as the part of a run in which these fields are different."""
    values = {name: _read(name, value) for name, value in changes.items()}
    # not Scenario.replace, which draws conclusions: this is how it is to be
    # its setup is not called here, but says that placeholders are filled
    return dataclasses.replace(scenario, **{**OF_THE_WHOLE, "setup": scenario.setup, **values})


def to_json_value(shared: object) -> Any:
    """What the `setup` of a scenario returned, as it is told to other processes, which is as it is.

    Raises `UsageError` for what JSON would make into something else, or not take at all.
    """
    if shared is None or type(shared) in (bool, int, float, str):
        return shared
    if type(shared) is list:
        return [to_json_value(one) for one in shared]
    if type(shared) is dict and all(type(key) is str for key in shared):
        return {key: to_json_value(one) for key, one in shared.items()}
    raise UsageError(
        f"the setup of the scenario returned a {type(shared).__name__}, which cannot be told to other processes; "
        f"return numbers, text, and lists and dicts (by text) of them, or {_ALONE}"
    )


def _plain(name: str, value: Any, source: Source) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Phase):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Endpoint) and value == _plain_endpoint(value):
        return [_plain(name, getattr(value, field), source) for field in _OF_ENDPOINT]
    if isinstance(value, tuple | list):
        return [_plain(name, one, source) for one in value]
    if isinstance(value, dict):
        return {key: _plain(name, one, source) for key, one in value.items()}
    raise UsageError(
        f"{name} was changed after {source.target} was loaded, to what cannot be told to other processes; "
        f"change it in the file, or {_ALONE}"
    )


_OF_ENDPOINT: Final = ("method", "path", "headers", "data", "follow", "path_as_is")
"""What the command line says of the request to a URL."""


def _plain_endpoint(endpoint: Endpoint) -> Endpoint:
    """The endpoint with nothing but what the command line may have said of it."""
    data = endpoint.data if isinstance(endpoint.data, bytes) else None
    return Endpoint(
        endpoint.method,
        endpoint.path,
        headers=endpoint.headers,
        data=data,
        follow=endpoint.follow,
        path_as_is=endpoint.path_as_is,
    )


def _read(name: str, value: Any) -> Any:
    if name == "endpoints":
        return tuple(
            Endpoint(
                method,
                path,
                headers=headers,
                data=data and data.encode("latin-1"),
                follow=follow,
                path_as_is=path_as_is,
            )
            for method, path, headers, data, follow, path_as_is in value
        )
    if name == "phases":
        return [Phase(**one) for one in value]
    return tuple(value) if isinstance(value, list) else value
