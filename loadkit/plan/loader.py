"""What a user names, as scenarios: a file, a folder, `file.py::name`, or a bare URL.

Scenario files are imported with pytest's assertion rewriting, so that a failed check shows its values.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, ModuleType
from urllib.parse import urlsplit

from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import NothingToRun, UsageError, reason_of, unknown
from loadkit.plan.journey import Journey
from loadkit.plan.redact import redact_message, redact_url
from loadkit.plan.scenario import Scenario, Source
from loadkit.plan.urls import check_url, strip_url


def load(target: str, *, broken: dict[str, str] | None = None) -> list[Scenario]:
    """The scenarios a target names, in the order they are written.

    Raises `UsageError` naming the file and line for a file that cannot be read, unless `broken` is there to take its
    name and the message, and `NothingToRun` where there is no scenario.
    """
    if "://" in target:
        url = check_url(target, what="target")
        return [_scenario_of_url(url)]
    path, separator, name = target.partition("::")
    found = list(_scenarios_in_path(Path(path), target, broken))
    if broken and not found:
        return []
    if not separator:
        if not found:
            raise NothingToRun(f"there is no scenario in {path}; a scenario is a variable like shop = Scenario(…)")
        return found
    chosen = [scenario for scenario in found if scenario.name == name]
    if not chosen:
        known = ", ".join(str(scenario.name) for scenario in found) or "none"
        raise UsageError(f"there is no scenario {name!r} in {path}; it has {known}")
    return chosen


def _scenario_of_url(url: str) -> Scenario:
    parts = urlsplit(url)
    path = parts._replace(scheme="", netloc="", path=parts.path or "/", fragment="").geturl()
    base = parts._replace(path="", query="", fragment="").geturl()
    return _with_source(Scenario(base_url=base, endpoints=[Endpoint("GET", path)], name=strip_url(url)), url)


def _scenarios_in_path(path: Path, target: str, broken: dict[str, str] | None) -> Iterator[Scenario]:
    if path.is_dir():
        for file in sorted(path.rglob("*.py")):
            hidden = any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
            # a file is code: what cannot hold a scenario is not run
            if not hidden and file.is_file() and b"loadkit" in _content(file):
                yield from _scenarios_in_file(file, broken)
    elif path.is_file():
        if path.suffix != ".py":
            raise UsageError(f"{path} is not a .py file; a scenario file is Python")
        yield from _scenarios_in_file(path, broken)
    else:
        raise UsageError(f"there is no file or folder {redact_url(str(path))!r}{_hint(path, target)}")


def _hint(path: Path, target: str) -> str:
    """What may have been meant by what is no file."""
    from difflib import get_close_matches

    file, colon, name = target.partition(":")
    if colon and file.endswith(".py") and name.isidentifier():
        return f"; a scenario in a file is '{file}::{name}'"
    if path.suffix == ".py":
        close = get_close_matches(path.name, [file.name for file in path.parent.glob("*.py")], cutoff=0.8)
        return f"; did you mean {str(path.with_name(close[0]))!r}?" if close else ""
    if ":" in target or "." in path.parts[0].strip(".") or re.fullmatch(r"[\w-]+(/.*)?", target):
        return f"; a URL has a scheme: {redact_url('http://' + target)!r}"
    return ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFile:
    """A scenario file that was run: its module, and its scenarios each with the line (from 1) it is written on."""

    module: ModuleType
    scenarios: list[tuple[Scenario, int]]


def read_file(path: Path) -> LoadedFile:
    """Run a scenario file and tell what is in it; `UsageError` naming the file and line for one that cannot be."""
    code, imported, lines = _compile(path)
    module = _run(path, code)
    scenarios: dict[int, tuple[Scenario, int]] = {}
    for name, value in vars(module).items():
        if isinstance(value, Scenario) and not name.startswith("_") and name not in imported:
            named = value if value.name else _with_name(value, name, module)
            placed = _with_source(named, f"{path.resolve()}::{named.name}")
            scenarios.setdefault(id(value), (placed, lines.get(name, 1)))
    _check_names(path, scenarios.values())
    return LoadedFile(module=module, scenarios=list(scenarios.values()))


def _check_names(path: Path, scenarios: Iterable[tuple[Scenario, int]]) -> None:
    """Refuse two scenarios of one name, which selects what is run and identifies results; `UsageError`."""
    known: dict[str | None, int] = {}
    for scenario, line in scenarios:
        if scenario.name in known:
            raise UsageError(
                f"{path}:{line}: there is a scenario called {scenario.name!r} on line {known[scenario.name]}, too; "
                "give one of them another name"
            )
        known[scenario.name] = line


def _scenarios_in_file(path: Path, broken: dict[str, str] | None) -> Iterator[Scenario]:
    try:
        yield from (scenario for scenario, _ in read_file(path).scenarios)
    except UsageError as error:
        if broken is None:
            raise
        broken[str(path)] = str(error)


def _with_source(scenario: Scenario, target: str) -> Scenario:
    """The same scenario, which now knows where another process finds it."""
    return scenario.replace(source=Source(target=target, scenario=scenario))


def _with_name(scenario: Scenario, name: str, module: ModuleType) -> Scenario:
    summary = (module.__doc__ or "").strip().partition("\n")[0]
    return scenario.replace(name=name, description=scenario.description or summary)


def _compile(path: Path) -> tuple[CodeType, set[str], dict[str, int]]:
    """The file's code, its asserts rewritten, the names it imports, and the lines on which others are given."""
    try:
        source = _content(path)
        tree = ast.parse(source, str(path))
        lines = _lines(tree)
        if any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
            # 0.15 s of import, only for files with an assert in them
            from _pytest.assertion.rewrite import rewrite_asserts

            rewrite_asserts(tree, source, str(path))
        return compile(tree, str(path), "exec", dont_inherit=True), _imported(tree), lines
    except SyntaxError as error:
        place = f"{path}:{error.lineno}" if error.lineno else str(path)
        line = (error.text or "").strip()
        raise UsageError(f"{place}: {error.msg}{f': {line}' if line else ''}") from None
    except ValueError as error:
        raise UsageError(f"cannot read {path}: {error}") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {reason_of(error)}") from None


def _imported(tree: ast.Module) -> set[str]:
    """Names that are some other file's: its scenarios are run there."""
    return {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def _lines(tree: ast.AST) -> dict[str, int]:
    """The line of the last assignment to each name, or of the function that a decorator makes a scenario of."""
    lines = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            lines[node.id] = node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines[node.name] = node.lineno
    return lines


def _run(path: Path, code: CodeType) -> ModuleType:
    where = path.resolve()
    name = f"loadkit_scenario_{where.stem}_{hashlib.sha256(str(where).encode()).hexdigest()[:8]}"
    module = ModuleType(name)
    module.__file__ = str(where)
    sys.modules[name] = module
    # its neighbours can be imported, as when Python runs the file itself
    if str(where.parent) not in sys.path:
        sys.path.insert(0, str(where.parent))
    try:
        exec(code, vars(module))  # noqa: S102 - a scenario file is code, and the user named it
    except (Exception, SystemExit) as error:
        raise UsageError(_describe_error(path, error)) from error
    return module


def _misspelt(error: BaseException) -> str:
    """A field that there is not, and the one that may have been meant."""
    found = re.fullmatch(
        r"(Scenario|Endpoint|Journey)\.__init__\(\) got an unexpected keyword argument '(\w+)'.*", str(error)
    )
    if not found:
        return ""
    kind = {"Scenario": Scenario, "Endpoint": Endpoint, "Journey": Journey}[found[1]]
    return unknown(found[1], found[2], [field.name for field in dataclasses.fields(kind) if field.name != "_"])


def _is_near(file: str, path: Path) -> bool:
    folder = path.resolve().parent
    return file != str(path) and Path(file).is_relative_to(folder) and "site-packages" not in file


def _describe_error(path: Path, error: BaseException) -> str:
    """An error of the file's own: where in it, on which line, and why."""
    way = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in way if frame.filename == str(path)]
    place = f"{path}:{frames[-1].lineno}" if frames else str(path)
    if isinstance(error, UsageError):
        return f"{place}: {error}"
    if field := _misspelt(error):
        return f"{place}: {field}"
    line = f" at {frames[-1].line}" if frames and frames[-1].line else ""
    if len(frames) > 1 and re.search(rf"endpoints=.*\b{frames[1].name}\(", frames[0].line or ""):
        line += f"; endpoints take the function {frames[1].name} itself, and call it"
    # a module beside it that it imports
    if near := [frame for frame in way if _is_near(frame.filename, path)]:
        line = f" at {Path(near[-1].filename).name}:{near[-1].lineno}: {near[-1].line}"
    return f"{place}: {type(error).__name__}: {redact_message(str(error))}{line}"
