"""A scenario file from an OpenAPI document: an endpoint for each operation of which all is said that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from loadkit.importer.document import Document
from loadkit.importer.log_summary import SAFE
from loadkit.importer.operations import BASIC, Found, Operations
from loadkit.importer.scenario_file import ScenarioFile, endpoint_file
from loadkit.importer.source import Call, Variable
from loadkit.plan.endpoint import METHODS
from loadkit.plan.errors import NothingToRun
from loadkit.plan.units import show_count

MOST_SAID: Final = 30
"""Operations that are left out and named."""


def openapi_scenario(
    name: str,
    document: Document,
    *,
    source: str,
    base_url: str | None = None,
    values: Mapping[str, str] | None = None,
    all_methods: bool = False,
) -> ScenarioFile:
    """The file; raises `NothingToRun` where no operation can be sent."""
    found = Operations(document, values or {}, METHODS if all_methods else SAFE).found()
    notes, base_url = _notes(found), base_url or found.base_url
    if not found.endpoints:
        raise NothingToRun("; ".join([f"there is no operation in {source!r} that can be sent", *notes]))
    logins = [headers for _, headers in found.endpoints]
    shared = logins[0] if all(headers == logins[0] for headers in logins) else {}
    calls = [call if shared or not headers else _with_headers(call, headers) for call, headers in found.endpoints]
    many = show_count(len(calls), "operation")
    info = document.root.get("info")
    told = info if isinstance(info, Mapping) else {}
    title = f"{told.get('title', 'An API')} {told.get('version', '')}".strip()
    text = endpoint_file(
        name,
        "\n".join([f"{title}: {many} of {source}.", *([""] if notes else []), *(f"- {note}" for note in notes)]),
        calls,
        base_url=base_url,
        credentials=found.credentials,
        fields={"headers": shared} if shared else {},
    )
    return ScenarioFile(
        text=text, notes=[f"{many} of {source}", *notes], needs_base_url=not (base_url or found.base_url)
    )


def _with_headers(call: Call, headers: Mapping[str, Any]) -> Call:
    return Call(call.function, call.positional, {**call.named, "headers": {**call.named.get("headers", {}), **headers}})


def _notes(found: Found) -> list[str]:
    notes = []
    wanted = [one.name for one in found.credentials.values() if isinstance(one, Variable)]
    wanted += ["API_USER", "API_PASSWORD"] if BASIC in found.credentials.values() else []
    if wanted:
        notes.append(f"secrets are taken from the environment: {', '.join(wanted)}")
    if found.not_written:
        notes.append(f"not written: how to log in by {', '.join(sorted(found.not_written))}")
    if found.unsafe:
        notes.append(
            f"left out: {show_count(len(found.unsafe), 'operation')} of other methods; --all-methods keeps them"
        )
    for label, reason in list(found.missing.items())[:MOST_SAID]:
        notes.append(f"left out: {label}: {reason}")
    if len(found.missing) > MOST_SAID:
        notes.append(f"left out: {len(found.missing) - MOST_SAID:,} others")
    if any(" in the " in reason for reason in found.missing.values()):
        notes.append("a parameter without an example may be given a value: --value NAME=VALUE")
    return notes
