"""Load tests in pytest: the `load` fixture, scenarios as tests, options, and one table of what was found.

Every pytest in an environment with loadkit in it imports this file, so it imports nothing but pytest and the options:
all else comes with the first load test.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadkit.jobs.functional.options import (
    add_functional_options,
    add_words_of_scenario,
    check_functional_options,
    is_functional,
)
from loadkit.jobs.testing.options import add_options, check_options

if TYPE_CHECKING:
    from loadkit import Session
    from loadkit.jobs.testing.fixture import LoadFixture
    from loadkit.jobs.testing.session import LoadSession

MARK = "load"

_SESSION = pytest.StashKey["LoadSession"]()


def _session(config: pytest.Config) -> LoadSession:
    """The session's own, made when the first load test is met, or when an option asks for something."""
    if _SESSION not in config.stash:
        from loadkit.jobs.testing.session import LoadSession

        config.stash[_SESSION] = LoadSession(config)
    return config.stash[_SESSION]


# -- options


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options and settings of load tests."""
    add_options(parser)
    add_functional_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Follow `--load-scenario`."""
    add_words_of_scenario(early_config, args)


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, and see that the options can be followed before anything runs."""
    config.addinivalue_line(
        "markers",
        "load(threads=, duration=, thresholds=[...], **fields): fields of the scenario that the load fixture runs; "
        "thresholds must hold. With against= (and tolerance=, budget=) it is compared, too, and must not be worse. "
        "Each test that loads has the mark by itself.",
    )
    config.addinivalue_line(
        "markers",
        "load_user(weight=, pause=): how often a test is run beside the others under --load-threads, and its rest.",
    )
    check_functional_options(config)
    if check_options(config):
        _session(config)
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        from loadkit.jobs.testing.distributed import Controller

        config.pluginmanager.register(Controller(config, _session), "loadkit-controller")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Let pytest-xdist send all load tests to one worker, where nothing was said of how to distribute tests.

    They run one at a time anyway, and on one worker none of them waits for another's end.
    """
    if config.getoption("numprocesses", None) and config.getoption("dist", "") == "no":
        config.option.dist = "loadgroup"
    # a worker reads the command line, on which nothing of it is said
    if getattr(config, "workerinput", {}).get("loadkit_dist") == "loadgroup":
        config.option.loadgroup = True
    return (yield)


# -- collecting


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """`scenario_*.py`, which pytest itself passes over."""
    if parent.session.isinitpath(file_path) or not _is_scenario_file(file_path, parent.config):
        return None
    if _matches(file_path, parent.config.getini("python_files")):
        return None  # pytest makes a module of it, and asks below
    return _scenario_file(file_path, parent, has_tests=False)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """A scenario file that pytest takes for a module, because it was named: its scenarios and its tests."""
    if not _is_scenario_file(module_path, parent.config, is_named=parent.session.isinitpath(module_path)):
        return None
    return _scenario_file(module_path, parent, has_tests=True)


def _scenario_file(path: Path, parent: pytest.Collector, *, has_tests: bool) -> pytest.Module:
    from loadkit.jobs.testing.collect import ScenarioFile

    file: ScenarioFile = ScenarioFile.from_parent(parent, path=path, session_of=_session, has_tests=has_tests)
    return file


def _is_scenario_file(path: Path, config: pytest.Config, *, is_named: bool = False) -> bool:
    """By its name, or because it was given by name and is no file of tests; a file without the word has none."""
    if path.suffix != ".py":
        return False
    by_name = _matches(path, config.getini("load_files"))
    if not by_name and (not is_named or _matches(path, config.getini("python_files"))):
        return False
    return path.name not in ("conftest.py", "__init__.py") and b"loadkit" in path.read_bytes()


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    from _pytest.pathlib import fnmatch_ex

    return any(fnmatch_ex(pattern, path) for pattern in patterns)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark each test that loads, before `-m` and pytest-xdist look."""
    if not _loads(item):
        return
    item.add_marker(MARK)
    if item.config.pluginmanager.hasplugin("xdist") and not item.get_closest_marker("xdist_group"):
        item.add_marker(pytest.mark.xdist_group(MARK))


def _loads(item: pytest.Item) -> bool:
    if type(item).__module__ == "loadkit.jobs.testing.collect":
        return True  # a scenario, without importing what scenarios need to ask so
    for name in ("load", "module_load"):
        if name in getattr(item, "fixturenames", ()) and _is_ours(item, name):
            return True
    # a doctest asks for its fixtures when it runs
    doctest = getattr(item, "dtest", None)
    sources = [example.source for example in getattr(doctest, "examples", ())]
    return any(word in source for source in sources for word in ("getfixture('load')", 'getfixture("load")'))


def _is_ours(item: pytest.Item, name: str) -> bool:
    """A project may have a fixture of that name of its own, which is none of our affair unless it asks for ours."""
    info = getattr(item, "_fixtureinfo", None)
    for definition in reversed((info.name2fixturedefs if info else {}).get(name, ())):
        if definition.func.__module__ == __name__:
            return True
        if name not in definition.argnames:
            return False
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Follow `--load-only` and `--no-load`."""
    if config.getoption("no_load"):
        for item in items:
            if item.get_closest_marker(MARK) and _loads(item):
                item.add_marker(pytest.mark.skip(reason="--no-load"))
    elif config.getoption("load_only"):
        others = [item for item in items if not _loads(item)]
        items[:] = [item for item in items if _loads(item)]
        if others:
            config.hook.pytest_deselected(items=others)


# -- running


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests under load, if that is asked for."""
    config = session.config
    if not is_functional(config) or config.option.collectonly or session.testsfailed:
        return None
    from loadkit.jobs.functional.run import run_session

    run_session(session, _session(config))
    return True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for the load tests of other workers of pytest-xdist before anything times this one."""
    if "loadkit_shared" not in getattr(item.config, "workerinput", ()) or not _loads(item):
        return (yield)
    with _session(item.config).hold_lock():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget what an earlier attempt at the same test has measured."""
    if session := item.config.stash.get(_SESSION, None):
        session.start_again(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose mark has thresholds that were never held against anything."""
    if session := item.config.stash.get(_SESSION, None):
        session.look_at(item)
    returned = yield
    session = item.config.stash.get(_SESSION, None)
    if _is_to_load(item) and not (session and session.test.found):
        pytest.fail("the mark load has thresholds, and this test ran no load: call the fixture load", pytrace=False)
    return returned


def _is_to_load(item: pytest.Item) -> bool:
    """A mark with thresholds is the test's own, or that of its class or module and the test asks for `load`."""
    own = [mark for mark in item.own_markers if mark.name == MARK and "thresholds" in mark.kwargs]
    marks = own or ([*item.iter_markers(MARK)] if "load" in getattr(item, "fixturenames", ()) else [])
    return any("thresholds" in mark.kwargs for mark in marks)


# -- fixtures


@pytest.fixture
def load(request: pytest.FixtureRequest) -> Iterator[LoadFixture]:
    """Run a scenario, endpoint or URL under load: load(target, threads=20, duration="5s") returns a Result."""
    yield from _load(request)


@pytest.fixture(scope="module")
def module_load(request: pytest.FixtureRequest) -> Iterator[LoadFixture]:
    """The same for a fixture of the module's scope, whose result several tests look at."""
    yield from _load(request)


def _load(request: pytest.FixtureRequest) -> Iterator[LoadFixture]:
    if request.config.getoption("no_load"):
        pytest.skip("--no-load")
    from loadkit.jobs.testing.fixture import LoadFixture, fields_of_marks
    from loadkit.jobs.testing.runs import FOUND

    try:
        session = _session(request.config)
    except pytest.UsageError as error:
        # to a test a setting that cannot be followed is no fault of ours
        pytest.fail(str(error), pytrace=False)
    found = request.node.stash.setdefault(FOUND, [])
    if request.scope == "function":
        session.test.found = found
    yield LoadFixture(request.node, session, fields_of_marks(request.node))
    session.test.found = []


@pytest.fixture
def http(load_server: str) -> Iterator[Session]:
    """A session on the server that the setting load_server names: http.get("/items")."""
    from loadkit import Session

    with Session(base_url=load_server) as session:
        yield session


@pytest.fixture(scope="session")
def load_server(pytestconfig: pytest.Config) -> Iterator[str]:
    """The base URL of the server that the setting load_server names: a command with {port}, or package.module:app."""
    from loadkit.jobs.testing.server import configured_server

    if given := pytestconfig.getoption("load_base_url"):
        yield given
        return
    with configured_server(pytestconfig) as url:
        yield url


# -- what was found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the little report of each run below a failed assertion."""
    report = yield
    if (session := item.config.stash.get(_SESSION, None)) and (session.runs or session.findings):
        from loadkit.jobs.testing.reporting import complete

        complete(session, item, call, report)
    return report


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """Say which figure it was that a test compared, and how sure it is."""
    session = config.stash.get(_SESSION, None)
    if not session or not (session.test.found or session.test.of_module):
        return None
    from loadkit.jobs.testing.reporting import compared

    return compared(session, op, left, right)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Save the baseline and write the page; what could not be written, or judged, fails the session."""
    if not (found := session.config.stash.get(_SESSION, None)):
        return
    found.finish()
    if found.faults and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
    if found.unjudged() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One table of all load tests."""
    session = None if config.getoption("no_summary", False) else config.stash.get(_SESSION, None)
    if session and (session.runs or session.findings or session.faults):
        from loadkit.jobs.testing.reporting import summary

        summary(session, terminalreporter)
