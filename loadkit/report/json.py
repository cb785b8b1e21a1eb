"""What is stored, results, a comparison or a limit: as documents, and read with all their laws checked."""

from __future__ import annotations

import re
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from loadkit.judge.comparison.comparison import VERSION as COMPARISON_VERSION
from loadkit.judge.comparison.comparison import Comparison
from loadkit.judge.limit.limit import VERSION as LIMIT_VERSION
from loadkit.judge.limit.limit import Limit
from loadkit.judge.result import VERSION, Result, Stored
from loadkit.judge.validate import violations
from loadkit.measure.encoding import to_json
from loadkit.plan.errors import UsageError, reason_of
from loadkit.report.earlier import may_be_earlier, of_today, of_version_1
from loadkit.report.layout import LONGEST, Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAYOUT: Final = Layout(width=LONGEST)
_REASON: Final = 300
_UNSEEN: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

SCHEMA_FILE = Path(__file__).with_name("result.schema.json")
COMPARISON_SCHEMA_FILE = Path(__file__).with_name("comparison.schema.json")
LIMIT_SCHEMA_FILE = Path(__file__).with_name("limit.schema.json")

Finding: TypeAlias = Comparison | Limit
"""What is concluded from many runs, and stored alone in its file."""
_FINDINGS: Final[dict[str, tuple[int, type[Finding]]]] = {
    "comparison": (COMPARISON_VERSION, Comparison),
    "limit": (LIMIT_VERSION, Limit),
}
"""Its newest version and its type, by what its file says that it is."""


def dump(results: Sequence[Result]) -> str:
    """A document of results, one shape however many there are."""
    return _shown(encoded(results))


def encoded(results: Sequence[Result]) -> bytes:
    """The same document in one line."""
    return to_json(Stored(version=VERSION, results=list(results)))


def document(found: msgspec.Struct) -> str:
    """A document of one thing alone: a comparison, a calibration or a limit."""
    return _shown(to_json(found))


def _shown(content: bytes) -> str:
    """With what moves a cursor, or turns the direction of writing, as escapes: stdout may be a terminal."""
    text = msgspec.json.format(content, indent=1).decode()
    return _UNSEEN.sub(lambda one: f"\\u{ord(one[0]):04x}", text) + "\n"


def load(path: Path) -> list[Result]:
    """The results in a file.

    Raises `UsageError` naming the file and the place for one that holds no results, or unsound ones.
    """
    found = load_stored(path)
    if isinstance(found, Finding):
        kind = type(found).__name__.lower()
        raise UsageError(f"{path} is a {kind}, and no result; loadkit report {path} shows it")
    return found


def load_stored(path: Path) -> list[Result] | Finding:
    """The results in a file, or the comparison or limit; `UsageError` as for `load`."""
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; name its files, like {path / '*.json'}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {reason_of(error)}") from None
    found = _decoded(content, path)
    if isinstance(found, Limit):
        _check_limit(found, path)
    if isinstance(found, Finding):
        return found
    if not found:
        raise UsageError(f"{path} holds no result")
    for result in found:
        for sentence in violations(result):
            raise UsageError(f"{path} is not a sound result: {sentence}")
    return found


def _check_limit(found: Limit, path: Path) -> None:
    try:
        _ = found.limits
    except UsageError as error:
        raise UsageError(f"{path} is not a sound limit: {_LAYOUT.ellipsize(str(error), _REASON)}") from None
    if found.failed is not None and found.failed <= found.rate:
        raise UsageError(
            f"{path} is not a sound limit: {found.rate:g}/s is confirmed, and {found.failed:g}/s is missed"
        )


class _Head(msgspec.Struct):
    version: int
    kind: str = "result"


def _decoded(content: bytes, path: Path) -> list[Result] | Finding:
    kind, version, newest = "result", VERSION, VERSION
    try:
        found = msgspec.json.decode(content, type=_Head | list[_Head])
        version = _version(found)
        if isinstance(found, _Head) and found.kind in _FINDINGS:
            kind = found.kind
            newest, of = _FINDINGS[kind]
            if version == newest:
                return msgspec.json.decode(content, type=of)
        elif version in (1, VERSION):
            return _results(content, version)
    except (msgspec.DecodeError, RecursionError) as error:
        # which may quote a value of any length
        if path.suffix == ".py":
            raise UsageError(f"{path} is no stored result; loadkit run {path} --output result.json makes one") from None
        why = _LAYOUT.ellipsize(str(error), _REASON)
        raise UsageError(f"{path} is not a loadkit {kind} of version {version}: {why}") from None
    raise UsageError(_another_version(path, kind, version, newest))


def _results(content: bytes, version: int) -> list[Result]:
    if version == 1:
        return of_version_1(msgspec.json.decode(content))
    if may_be_earlier(content):
        return of_today(msgspec.json.decode(content)).results
    return msgspec.json.decode(content, type=Stored).results


def _version(found: _Head | list[_Head]) -> int:
    """The version of a file; the first was an object or a list of them, each with its own."""
    if isinstance(found, _Head):
        return found.version
    return next((head.version for head in found if head.version != 1), 1)


def _another_version(path: Path, kind: str, version: int, newest: int) -> str:
    hint = "a newer loadkit wrote it; read it with that one" if version > newest else "measure again"
    return f"{path} is a {kind} of version {version}, and this loadkit reads version {newest}; {hint}"


def schema() -> dict[str, Any]:
    """The JSON Schema of a file of results. `SCHEMA_FILE` is this, written down."""
    return _schema(Stored, "loadkit results")


def comparison_schema() -> dict[str, Any]:
    """The JSON Schema of a stored comparison. `COMPARISON_SCHEMA_FILE` is this, written down."""
    return _schema(Comparison, "loadkit comparison")


def limit_schema() -> dict[str, Any]:
    """The JSON Schema of a stored limit. `LIMIT_SCHEMA_FILE` is this, written down."""
    return _schema(Limit, "loadkit limit")


def _schema(of: type[msgspec.Struct], title: str) -> dict[str, Any]:
    made = msgspec.json.schema(of)
    for part in made["$defs"].values():
        part["description"] = cleandoc(part["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **made}
