"""The house: imports point one way, importing does nothing, and what is public is named and explained."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import loadkit
from tests.architecture.package import FILES, PACKAGE, nodes, place, tree

ROOMS = (
    *("_version", "plan", "clock", "host", "wire", "measure", "drive"),
    *("judge", "report", "server", "fetcher", "importer", "jobs", "cli"),
)
"""From top to bottom, as in DESIGN.md section 3; the files beside them are below all of them."""


def dotted(path: Path) -> str:
    """The name a file is imported by."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(path): path for path in FILES}


def depth(module: str) -> int:
    """How far down in the house a module is."""
    room = module.split(".")[1:2]
    return ROOMS.index(room[0]) if room and room[0] in ROOMS else len(ROOMS)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and module of each import of our own modules, those for types and within functions included."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "loadkit")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports relatively; write the whole name"
            yield from ((node.lineno, name) for name in imported_from(node))


def imported_from(node: ast.ImportFrom) -> set[str]:
    """`from package import module` imports the module; `from module import name` the module, too."""
    if (node.module or "").split(".")[0] != "loadkit":
        return set()
    found = {f"{node.module}.{alias.name}" for alias in node.names}
    return {name if name in MODULES else str(node.module) for name in found}


def asks_only_what_it_is_a_part_of(path: Path) -> bool:
    """`import loadkit` for its version or place alone: those everyone may know."""
    uses = [
        node.attr
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "loadkit"
    ]
    return bool(uses) and set(uses) <= {"__version__", "__path__"}


def test_a_room_imports_only_from_those_above_it() -> None:
    offenders = [
        f"{place(path)}:{line} imports {target}"
        for path in FILES
        for line, target in imports(path)
        if depth(target) > depth(dotted(path)) and not (target == "loadkit" and asks_only_what_it_is_a_part_of(path))
    ]
    assert not offenders, "these look down, where a room may only look up:\n" + "\n".join(offenders)


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {
        name: {target for _, target in imports(path) if target not in ("loadkit", name)}
        for name, path in MODULES.items()
        if name != "loadkit"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a cycle of imports, types included: " + " -> ".join(reversed(error.args[1])))


def test_every_folder_is_a_room_of_the_design() -> None:
    folders = {path.relative_to(PACKAGE).parts[0] for path in FILES if path.parent != PACKAGE}
    assert folders <= set(ROOMS), f"no such room in DESIGN.md: {sorted(folders - set(ROOMS))}"


def fresh(code: str) -> list[str]:
    """The words that a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


HEAVY = (
    "requests",
    "pytest",
    "_pytest",
    "rich",
    "msgspec",
    "httptools",
    "ssl",
    "hdrh",
    "jinja2",
    "markupsafe",
    "distributed",
)


WORKER = "import loadkit.drive.processes.worker, loadkit.drive.director, loadkit.plan.loader, loadkit.wire.sockets"


@pytest.mark.parametrize(
    ("statement", "needed"),
    [
        ("from loadkit import Endpoint, Scenario", []),
        ("import loadkit.report.text, loadkit.report.progress", ["msgspec", "ssl"]),
        # each process of a run imports it again: requests and pytest come with checks and journeys
        (WORKER, ["msgspec", "httptools", "ssl"]),
    ],
    ids=["values of the package", "a report as text", "a worker process"],
)
def test_importing_loads_nothing_heavy(statement: str, needed: list[str]) -> None:
    loaded = fresh(f"import sys; {statement}; print(*sys.modules)")
    assert [name for name in HEAVY if name in loaded] == needed


def test_a_url_is_run_without_what_only_files_pages_and_terminals_need() -> None:
    code = """
        import contextlib, sys
        from loadkit.cli import main
        sys.argv = ["loadkit", "http://127.0.0.1:1/", "-n", "1", "-c", "1", "--quiet"]
        with contextlib.suppress(SystemExit):
            main()
        print(*sys.modules)
    """
    heavy = {"_pytest", "jinja2", "rich", "pydantic", "loadkit.report.markdown", "loadkit.jobs.history"}
    assert heavy & set(fresh(code)) == set()


STATE = {
    "threads": "len(threading.enumerate()), threading.stack_size()",
    "signal handlers": "[str(signal.getsignal(s)) for s in signal.valid_signals()]",
    "sockets and files": "sorted(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')[:-1])",
    "warnings, hooks": "str(warnings.filters), sys.excepthook, sys.meta_path, sys.path, threading.excepthook",
    "clean-up at the end": "atexit._ncallbacks()",
    "logging": "logging.root.handlers, logging.root.level",
    "the environment": "sorted(os.environ.items()), os.getcwd(), locale.setlocale(locale.LC_ALL)",
    "other libraries": "socket.socket, socket.create_connection, socket.getaddrinfo, time.sleep",
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_importing_changes_nothing() -> None:
    code = f"""
        import atexit, locale, logging, os, signal, socket, sys, threading, time, warnings
        for number in signal.valid_signals() - {{signal.SIGKILL, signal.SIGSTOP}}:
            signal.signal(number, signal.SIG_DFL)  # a child inherits what its parent ignores
        state = {STATE!r}
        before = {{what: repr(eval(expression)) for what, expression in state.items()}}
        import loadkit
        from loadkit import Endpoint, Scenario
        print({{what: [before[what], repr(eval(expression))] for what, expression in state.items()
               if before[what] != repr(eval(expression))}} or "nothing")
    """
    assert fresh(code) == ["nothing"]


def test_what_is_public_is_what_can_be_got() -> None:
    public = {name for name in vars(loadkit) if not name.startswith("_")} - {"annotations", "TYPE_CHECKING", "Any"}
    mine = {name for name in public if f"loadkit.{name}" not in MODULES and name not in ROOMS}
    late = {name for name in loadkit.__all__ if getattr(loadkit, name) is not None}
    assert mine | late | {"__version__"} == set(loadkit.__all__)
    assert sorted(loadkit.__all__) == loadkit.__all__


def test_what_is_not_public_cannot_be_got() -> None:
    with pytest.raises(AttributeError, match=r"^module 'loadkit' has no attribute 'Scenarios'$"):
        loadkit.Scenarios  # noqa: B018


def test_each_public_name_is_explained() -> None:
    said = {name: (getattr(loadkit, name).__doc__ or "").strip() for name in loadkit.__all__ if name != "__version__"}
    silent = [name for name, text in said.items() if not text or text.startswith(f"{name}(")]
    assert not silent, f"without a docstring, or with the one that dataclass makes: {silent}"


DEFINITION = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def definitions(
    within: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Public classes and functions of a module with their names; not what is inside of functions."""
    for node in ast.iter_child_nodes(within):
        if isinstance(node, DEFINITION) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from definitions(node, f"{prefix}{node.name}.")


def test_a_module_says_what_it_is_for() -> None:
    # an empty __init__.py says nothing and needs nothing
    silent = [place(path) for path in FILES if tree(path).body and not ast.get_docstring(tree(path))]
    assert not silent, f"without a docstring: {silent}"


def test_public_classes_and_functions_say_what_they_are_for() -> None:
    # the modules of a folder within a room, such as server/demo/, are that folder's own affair; its __init__ is not
    open_to_all = [path for path in FILES if len(path.relative_to(PACKAGE).parts) < 3 or path.name == "__init__.py"]
    silent = [
        f"{place(path)} {name}"
        for path in open_to_all
        for name, node in definitions(tree(path))
        if not ast.get_docstring(node)
    ]
    assert not silent, f"without a docstring: {silent}"


EMPTY_WORDS = re.compile(
    r"(?:^|_)(?:manager|helpers?|utils?|handler|get)(?:_|$)|Manager|Helper|Utils?(?:$|[A-Z])|Handler"
)
"""What STYLE.md and DESIGN.md section 7 have no use for: a name that says nothing of the thing."""

NOT_OURS = {"__get__", "get", "get_adapter", "get_redirect_target"}
"""What Python and requests call the methods of descriptors and of sessions."""


def test_names_say_what_the_thing_is() -> None:
    names = {(place(path), path.stem) for path in FILES} | {
        (place(path), node.name) for path in FILES for node in nodes(path) if isinstance(node, DEFINITION)
    }
    empty = [f"{where} {name}" for where, name in sorted(names) if EMPTY_WORDS.search(name) and name not in NOT_OURS]
    assert not empty, f"empty words: {empty}"
