"""Fixtures that threads cannot use: each is refused by name, and no other for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

pytest_plugins = "pytester"

FROZEN = """
import pytest

@pytest.fixture{scope}
def frozen(): pass

def test_it(frozen): pass
"""


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run its tests within this process, each of them a few times."""
    return project.runpytest_inprocess(
        "-p", "no:cacheprovider", "--load-threads", "2", "--load-iterations", "4", *arguments
    )


def refusal(found: pytest.RunResult) -> str:
    assert found.ret == pytest.ExitCode.USAGE_ERROR, found.stdout.str()
    (line,) = [line for line in found.errlines if line.startswith("ERROR: ")]
    return line


@pytest.mark.parametrize("scope", ["", "(scope='session')"])
@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("frozen", "load_not_on_threads names it"),
        ("browser frozen", "load_not_on_threads names it"),
        ("frozen: it stops the clock", "it stops the clock"),
    ],
)
def test_what_the_setting_names_is_refused_with_its_reason(
    project: pytest.Pytester, named: str, reason: str, scope: str
):
    project.makepyprojecttoml(f'[tool.pytest]\nload_not_on_threads = ["{named}"]')
    project.makepyfile(test_it=FROZEN.format(scope=scope))

    assert f"test_it.py::test_it cannot be run by threads: frozen: {reason}; leave it out" in refusal(run(project))


def test_a_conftest_or_a_plugin_says_it_of_its_own_fixtures(project: pytest.Pytester):
    project.makeconftest(
        """
        def pytest_configure(config):
            if config.pluginmanager.hasplugin("loadkit"):
                config.addinivalue_line("load_not_on_threads", "frozen: it stops the clock")
        """
    )
    project.makepyfile(test_it=FROZEN.format(scope=""))

    assert "cannot be run by threads: frozen: it stops the clock; leave it out" in refusal(run(project))


def test_a_fixture_that_a_conftest_has_made_for_each_test_is_refused_and_not_left_out(project: pytest.Pytester):
    project.makeconftest(
        """
        import pytest

        @pytest.fixture(autouse=True)
        def settings(monkeypatch): monkeypatch.setenv("SHOP", "test")
        """
    )
    project.makepyfile(test_it="def test_it(): pass")

    assert "test_it.py::test_it cannot be run by threads: monkeypatch: it changes objects" in refusal(run(project))


def test_what_a_test_asks_for_while_it_runs_fails_that_run(project: pytest.Pytester):
    project.makepyfile(
        test_it="""
        def test_it(request):
            request.getfixturevalue("monkeypatch").setenv("SHOP", "test")
        """
    )

    found = run(project)

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["4 of 4 runs failed", "Failed: monkeypatch cannot be used by threads: it changes *"])


@pytest.mark.parametrize("name", ["settings", "mocker", "freezer", "fs", "caplog"])
def test_an_own_fixture_of_the_name_of_one_that_is_refused_is_no_such_thing(project: pytest.Pytester, name: str):
    project.makepyfile(
        test_it=f"""
        import pytest

        @pytest.fixture
        def {name}(): return 3

        def test_it({name}): assert {name} == 3
        """
    )

    run(project).assert_outcomes(passed=1)


def test_a_plugins_fixture_that_is_known_is_refused(project: pytest.Pytester):
    project.makepyfile(test_it="def test_it(requests_mock): pass")

    found = run(project, "-p", "requests_mock.contrib._pytest_plugin")

    assert "cannot be run by threads: requests_mock: it answers the requests of all threads" in refusal(found)


@pytest.mark.parametrize("backend", ["'trio'", "('trio', {})"])
def test_a_backend_of_anyio_that_is_not_asyncio_is_refused(project: pytest.Pytester, backend: str):
    project.makepyfile(
        test_it=f"""
        import pytest

        @pytest.fixture(params=["asyncio", {backend}], ids=["asyncio", "trio"])
        def anyio_backend(request): return request.param

        @pytest.mark.anyio
        async def test_it(): pass
        """
    )

    message = "test_it.py::test_it[trio] cannot be run by threads: anyio_backend: it is trio"
    assert message in refusal(run(project, "-p", "anyio.pytest_plugin"))
    run(project, "-p", "anyio.pytest_plugin", "-k", "asyncio").assert_outcomes(passed=1)


def test_marks_of_a_plugin_that_is_not_there_are_no_hindrance(project: pytest.Pytester):
    project.makepyprojecttoml('[tool.pytest]\nstrict = true\nmarkers = ["asyncio(loop_scope)"]')
    project.makepyfile(
        test_it="""
        import asyncio, pytest

        @pytest.mark.asyncio(loop_scope="module")
        async def test_it(): await asyncio.sleep(0)
        """
    )

    run(project).assert_outcomes(passed=1)


def test_workers_of_xdist_are_refused_also_where_the_settings_have_them(project: pytest.Pytester):
    project.makepyprojecttoml('[tool.pytest]\naddopts = ["-p", "xdist.plugin", "-n", "2"]')
    project.makepyfile(test_it="def test_it(): pass")

    assert "have threads and processes of their own; say -n 0, or leave -n away" in refusal(run(project))
    run(project, "-n", "0").assert_outcomes(passed=1)


@pytest.fixture
def hasty_interpreter() -> Iterator[None]:
    """Threads take turns a thousand times as often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_interpreter")
def test_threads_that_ask_for_fixtures_at_once_get_what_each_asked_for(project: pytest.Pytester):
    project.makepyfile(
        test_it="""
        import pytest, random, threading

        together = threading.Barrier(8, timeout=30)
        names = [f"fixture_{number}" for number in range(200)]
        for number, name in enumerate(names):
            needed = ", ".join(names[max(0, number - 2) : number])
            exec(f"@pytest.fixture\\ndef {name}({needed}): return '{name}'")

        def test_it(request):
            together.wait()
            for name in random.sample(names, k=200):
                assert request.getfixturevalue(name) == name
        """
    )

    run(project, "--load-threads", "8", "--load-iterations", "8").assert_outcomes(passed=1)
