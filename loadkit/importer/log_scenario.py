"""A scenario file from access logs: what was requested, how often, and with which values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

from loadkit.importer.access_log import LogLine, Parse
from loadkit.importer.bodies import one_or_pairs
from loadkit.importer.credentials import Credentials
from loadkit.importer.log_summary import SAFE, LogSummary
from loadkit.importer.scenario_file import ScenarioFile, endpoint_file, from_environment, in_endpoint
from loadkit.importer.source import Call
from loadkit.plan.data import rows
from loadkit.plan.endpoint import METHODS, Endpoint
from loadkit.plan.errors import NothingToRun, UsageError
from loadkit.plan.labels import fold_segment
from loadkit.plan.units import SECOND, show_count, three_digits

MOST_KINDS: Final = 1000
"""Kinds of requests that are counted one by one, of logs of any length."""
MOST_WRITTEN: Final = 50
"""Kinds of requests that are written, those that came most often."""
MOST_VALUES: Final = 100
"""Different values of a kind that are counted."""
MOST_ROWS: Final = 20
"""Different values of a kind that are written, those that came most often."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Requests that are alike but for identities in their path and for the values of their query."""

    method: str
    segments: tuple[str | None, ...]
    """Those of its path; None for an identity."""
    names: tuple[str, ...]
    """Those of its query."""

    @property
    def columns(self) -> list[str]:
        """What the values are called that differ: an identity after the segment before it."""
        before, wanted = "", []
        for one in self.segments:
            if one is None:
                wanted.append(f"{before.removesuffix('s')}_id" if before else "id")
            before = one or ""
        found: list[str] = []
        for name in [*wanted, *self.names]:
            plain = re.sub(r"[^a-zA-Z0-9]+", "_", name).strip("_")
            plain = plain if plain[:1].isalpha() else f"value_{plain}".strip("_")
            found.append(plain if plain not in found else f"{plain}_{len(found) + 1}")
        return found


_OTHERS: Final = _Kind("", (), ())
"""Those for which there is no room."""


@dataclass(slots=True)
class _Found:
    """What logs have of each kind."""

    counts: Counter[_Kind] = field(default_factory=Counter)
    values: dict[_Kind, Counter[tuple[str, ...]]] = field(default_factory=dict)
    first: int | None = None
    last: int = 0

    def add(self, line: LogLine) -> None:
        """Count a request."""
        self.first = line.at if self.first is None else min(self.first, line.at)
        self.last = max(self.last, line.at)
        path, _, query = line.target.partition("?")
        parts, pairs = path.split("/"), parse_qsl(query, keep_blank_values=True)
        segments = tuple(one if fold_segment(one) == one else None for one in parts)
        kind = _Kind(line.method, segments, tuple(name for name, _ in pairs))
        if kind not in self.values and len(self.values) >= MOST_KINDS:
            self.counts[_OTHERS] += 1
            return
        self.counts[kind] += 1
        ids = (unquote(part) for part, one in zip(parts, segments, strict=True) if one is None)
        values = (*ids, *(value for _, value in pairs))
        seen = self.values.setdefault(kind, Counter())
        if values in seen or len(seen) < MOST_VALUES:
            seen[values] += 1


def log_scenario(
    name: str, paths: Sequence[Path], parse: Parse, *, base_url: str | None = None, all_methods: bool = False
) -> ScenarioFile:
    """The file: an endpoint for each of the commonest kinds of requests, weighted, at the mean rate of the logs.

    Raises `NothingToRun` for logs without a request that may be sent, and `UsageError` for those that cannot be read.
    """
    summary = LogSummary(paths, parse, METHODS if all_methods else SAFE, keeps_failed=False)
    found, credentials = _Found(), Credentials()
    for line in summary.requests():
        found.add(line)
    if found.first is None:
        raise NothingToRun("; ".join(["there is no request in the log that may be sent", *summary.notes]))
    total = found.counts.total()
    calls = dict(_calls(found, credentials))
    rate = total * SECOND / (found.last - found.first + SECOND)
    notes = list(summary.notes)
    if rare := total - sum(found.counts[kind] for kind in calls):
        notes.append(f"left out: {rare:,} of rarer kinds, {_percent(rare, total):g} % of all")
    if credentials.variables:
        notes.append(f"secrets are taken from the environment: {', '.join(credentials.variables)}")
    about = [f"{show_count(len(calls), 'kind')} of requests, with the share of each in percent.", ""]
    text = endpoint_file(
        name,
        "\n".join([*about, *(f"- {note}" for note in notes)]),
        [*calls.values()],
        base_url=base_url,
        credentials=from_environment(credentials.variables),
        load={"rate": f"{three_digits(rate).replace(',', '')}/s", "duration": "1m", "thresholds": ["error_rate < 1%"]},
    )
    return ScenarioFile(text=text, notes=notes, needs_base_url=base_url is None)


def _calls(found: _Found, credentials: Credentials) -> Iterator[tuple[_Kind, Call]]:
    """The commonest kinds, each as an endpoint; what a scenario would refuse is left out."""
    total = found.counts.total()
    for kind in [kind for kind, _ in found.counts.most_common(MOST_WRITTEN + 1) if kind is not _OTHERS][:MOST_WRITTEN]:
        call = _call(kind, found.values[kind], credentials, weight=_percent(found.counts[kind], total))
        feed = {"feed": rows(call.named["feed"].positional[0])} if "feed" in call.named else {}
        with suppress(UsageError):
            Endpoint(*call.positional, **{**call.named, **feed})
            yield kind, call


def _percent(part: int, total: int) -> float | int:
    share = float(f"{100 * part / total:.3g}")
    return int(share) if share.is_integer() else share


def _call(kind: _Kind, values: Counter[tuple[str, ...]], credentials: Credentials, *, weight: float) -> Call:
    found = [row for row, _ in values.most_common(MOST_ROWS)]
    first, columns = found[0], kind.columns
    # where all have the same value it stands in its place
    varying = [k for k in range(len(columns)) if len({row[k] for row in found}) > 1]
    secrets = {}
    for k, name in enumerate(kind.names, len(columns) - len(kind.names)):
        if (written := credentials.put(name, first[k])) != first[k]:
            secrets[k] = in_endpoint(written)
    varying = [k for k in varying if k not in secrets]

    def place(k: int) -> Any:
        return secrets.get(k) or (f"{{{columns[k]}}}" if k in varying else in_endpoint(first[k]))

    position = count()
    path = "/".join(in_endpoint(one) if one is not None else _in_path(place(next(position))) for one in kind.segments)
    pairs = [(name, place(next(position))) for name in kind.names]
    table = dict.fromkeys(tuple(row[k] for k in varying) for row in found)
    names = [columns[k] for k in varying]
    named = {
        "params": one_or_pairs(pairs),
        "feed": Call("rows", ([dict(zip(names, row, strict=True)) for row in table],)) if names else None,
        "weight": weight,
    }
    return Call("Endpoint", (kind.method, path), {key: one for key, one in named.items() if one})


def _in_path(text: str) -> str:
    """An identity as it stands in a path, where it is no placeholder."""
    return text if text.startswith("{") else quote(text, safe="")
