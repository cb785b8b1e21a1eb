"""Two versions compared on real servers: which one is measured when, what is said of them, and the bad days."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from loadkit.jobs.compare import compare
from loadkit.jobs.prepare import prepare
from loadkit.jobs.rounds import NotMeasurable
from loadkit.jobs.tolerances import tolerances_of
from loadkit.judge.comparison.procedure import Moment
from loadkit.plan.endpoint import Endpoint
from loadkit.plan.errors import Interrupted, UsageError
from loadkit.plan.scenario import Scenario
from loadkit.server.demo import Demo
from loadkit.server.serving import served, serving
from tests.app import app
from tests.conftest import Call
from tests.waiting import is_gone, wait_for

SHOP = """
from loadkit import Endpoint, Scenario

browse = Scenario(endpoints=[Endpoint("GET", "/")], threads=4, server=["python", "app.py", "{port}"])
"""

NEVER = """
from loadkit import Endpoint, Scenario

server = ["python", "-c", {wait!r}, "{{port}}"]
browse = Scenario(endpoints=[Endpoint("GET", "/")], server=server, ready_timeout=60)
"""
PREPARING = ["compare", "--against", "main", "--prepare", "echo $$ > ../../../started; exec sleep 600"]

Commit = Callable[..., None]


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commit:
    """Commits a project with a server that answers so; the project is the current folder."""
    monkeypatch.chdir(tmp_path)
    _git("init", "--quiet", "--initial-branch", "main")
    (tmp_path / "shop.py").write_text(SHOP)

    def commit(*, delay: float = 0.005, status: int | str = 200) -> None:
        write(delay=delay, status=status)
        _git("add", ".")
        _git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "change")

    return commit


def write(*, delay: float = 0.005, status: int | str = 200) -> None:
    Path("app.py").write_text(app(delay=delay, status=status))


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True)


def aimed(demo: Demo, path: str, **fields) -> Scenario:
    return Scenario(base_url=demo.url, endpoints=[Endpoint("GET", path)], threads=4, name=path, **fields)


def left_behind(project: Path) -> list[str]:
    kept = project / ".loadkit" / "worktrees"
    return [one.name for one in kept.iterdir()] if kept.is_dir() else []


def test_each_endpoint_is_compared_by_itself(demo: Demo):
    def both(delay: str) -> Scenario:
        endpoints = [Endpoint("GET", f"/delay/{delay}", name="slow"), Endpoint("GET", "/", name="home")]
        return Scenario(base_url=demo.url, endpoints=endpoints, threads=4, pacing=0.01)

    found = compare(both("0.05"), against=both("0.005"), tolerances={"slow: p50": 0.1})

    assert found.worse
    assert found["slow"].p50.ratio > 3
    assert found["slow"].p50.decides
    assert not found["home"].p50.decides
    with pytest.raises(KeyError, match="'shop' is no endpoint of this comparison; there are"):
        found["shop"]


@pytest.mark.slow
def test_the_server_of_a_scenario_is_started_from_the_working_tree_and_from_the_revision(commit: Commit):
    commit(delay=0.005)
    write(delay=0.03)

    found = compare(loaded(), against="HEAD")

    assert found.worse
    assert found.old.startswith("HEAD (")
    assert found.new == "the working tree"
    assert found.server_cpu.before > 0
    assert found.notes[0] == "the working tree has 1 file that is not committed, and is measured as it is"
    assert left_behind(Path.cwd()) == []
    assert Path(".loadkit/.gitignore").read_text() == "*\n"


def test_a_scenario_that_differs_from_that_of_the_revision_is_used_for_both_and_said(commit: Commit):
    commit()
    Path("shop.py").write_text(SHOP.replace("threads=4", "threads=3"))
    write(status=404)

    notes = compare(loaded(), against="main").notes

    assert "the working tree has 2 files that are not committed, and is measured as it is" in notes
    (said,) = [one for one in notes if "shop.py" in one and "calibrat" not in one]
    assert said.startswith("shop.py differs from that of main (")
    assert said.endswith("): the scenario of the working tree is used for both")


def test_a_revision_without_the_folder_in_which_the_server_starts_is_refused(
    commit: Commit, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    commit()
    (tmp_path / "later").mkdir()
    monkeypatch.chdir(tmp_path / "later")

    done = call("compare", "../shop.py", "--against", "main")

    assert done.returncode == 6
    assert "the revision has no folder 'later' to start the server in" in done.stderr
    assert left_behind(tmp_path) == []


def test_a_command_with_whole_paths_and_its_modules_are_of_the_revision(
    commit: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Path("answer.py").write_text("old = True\n")
    Path("start.py").write_text("import answer, os, sys\nprint(answer.old, *sys.argv)\nos._exit(1)\n")
    commit()
    for name in ("answer.py", "start.py"):
        Path(name).write_text("raise SystemExit('of the working tree')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = ["python", str(tmp_path / "start.py"), f"--config={tmp_path / 'shop.py'}"]

    with pytest.raises(NotMeasurable) as error:
        compare(loaded().replace(server=server), against="main")

    copy = re.escape(str(tmp_path / ".loadkit" / "worktrees"))
    assert re.search(rf"True {copy}/\S+/start.py --config={copy}/\S+/shop.py", str(error.value))


def loaded() -> Scenario:
    from loadkit.plan.loader import load

    return load("shop.py::browse")[0]


@pytest.mark.slow
def test_an_application_is_imported_from_the_revision(commit: Commit, monkeypatch: pytest.MonkeyPatch):
    answer = "def app(environ, start):\n    import time; time.sleep({})\n    start('200 OK', []); return [b'ok']\n"
    Path("shop.py").write_text(SHOP.replace('["python", "app.py", "{port}"]', '"wsgi:app"'))
    Path("wsgi.py").write_text(answer.format(0.005))
    commit()
    Path("wsgi.py").write_text(answer.format(0.05))
    monkeypatch.syspath_prepend(".")

    assert compare(loaded(), against="main").worse


def test_a_server_that_runs_already_is_started_anew_for_each_version(commit: Commit):
    commit(status="200 if path == '/api/' else 404")
    write(status=404)

    with serving(["python", "app.py", "{port}"]) as url:
        found = compare(loaded().replace(base_url=f"{url}/api", server=None), against="main")

        whole = Scenario(base_url=url, endpoints=[Endpoint("GET", f"{url}/api/")])
        with pytest.raises(UsageError, match="is a whole URL, which is the same for both versions; write its path al"):
            compare(whole, against="main")

    assert (found.verdict, len(found.rounds)) == ("worse", 4), "at once"
    assert found.reason.startswith("the new version failed all requests: GET ")


INSTALL = "import sysconfig; open(sysconfig.get_path('purelib') + '/stock.py', 'w').close()"


@pytest.mark.slow  # pip comes with a virtual environment, which takes seconds
@pytest.mark.parametrize("server", ["wsgi:app", ["python", "wsgi.py", "{port}"]], ids=["application", "command"])
def test_a_server_of_the_revision_is_started_in_the_environment_that_was_prepared_for_it(
    commit: Commit, monkeypatch: pytest.MonkeyPatch, server: str | list[str]
):
    serve = "from wsgiref import simple_server; import sys\nif sys.argv[1].isdigit() and __name__ == '__main__':\n"
    serve += "    simple_server.make_server('127.0.0.1', int(sys.argv[1]), app).serve_forever()\n"
    app = "import {}\ndef app(environ, start):\n    start('{}', []); return [b'ok']\n" + serve
    Path("install.py").write_text(INSTALL)
    Path("wsgi.py").write_text(app.format("stock", "200 OK"))
    commit()
    Path("wsgi.py").write_text(app.format("sys", "404 Not Found"))
    monkeypatch.syspath_prepend(".")

    found = compare(loaded().replace(server=server, prepare="python install.py"), against="main")

    assert found.verdict == "worse"
    assert found.reason.startswith("the new version failed all requests: GET ")
    assert left_behind(Path.cwd()) == []


@pytest.mark.slow
def test_what_was_installed_nowhere_is_started_in_the_current_environment(commit: Commit):
    Path("where.py").write_text("import loadkit; raise SystemExit(open('made').read().strip())")
    commit()
    made = "echo of $(basename $VIRTUAL_ENV) in $PWD > made"

    with pytest.raises(NotMeasurable, match=r"the old version, main .*\n  \| of \.venv in .*/\.loadkit/worktrees/"):
        compare(loaded().replace(server=["python", "where.py"], prepare=made), against="main")


@pytest.mark.slow  # a virtual environment is made for it
def test_a_revision_that_cannot_be_prepared_is_not_measurable(commit: Commit, call: Call):
    commit()

    done = call("compare", "shop.py", "--against", "main", "--prepare", "echo no network; exit 3")

    assert done.returncode == 6
    message = "prepare 'echo no network; exit 3' ended with exit code 3; its output:\n  | no network"
    assert re.fullmatch(rf"loadkit: the old version, main \(\w+\): {re.escape(message)}\n", done.stderr)
    assert left_behind(Path.cwd()) == []


@pytest.mark.slow
def test_preparing_takes_no_longer_than_it_may(tmp_path: Path):
    with pytest.raises(UsageError, match=r"prepare 'echo on; sleep 600' took more than 2 s; its output:\n  \| on"):
        prepare("echo on; sleep 600", served("wsgi:app", cwd=tmp_path), tmp_path, lambda: 0, within=2)


def test_preparing_ends_when_the_user_asks_to_stop(tmp_path: Path):
    with pytest.raises(Interrupted, match=r"^interrupted while prepare 'python -m venv .*' ran$"):
        prepare("sleep 600", served("wsgi:app", cwd=tmp_path), tmp_path, lambda: 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["run"], id="run"),
        pytest.param(["compare", "--against", "main"], id="compare"),
        pytest.param(PREPARING, id="prepare", marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_while_something_starts_ends_it_at_once(commit: Commit, words: list[str], number: signal.Signals):
    commit()
    wait = "import os, time; open('{folder}/started', 'w').write(str(os.getpid())); time.sleep(600)"
    Path("never.py").write_text(NEVER.format(wait=wait.format(folder=Path.cwd())))
    started = Path("started")
    command = [sys.executable, "-m", "loadkit", words[0], "never.py", *words[1:]]

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        wait_for(lambda: started.exists() and bool(started.read_text()))
        running.send_signal(number)
        _, errors = running.communicate(timeout=20)

    assert running.returncode == 2, errors
    assert re.fullmatch(r"loadkit: interrupted while (the server '.*' started|prepare '.*' ran)\n", errors)
    assert is_gone(int(started.read_text()))
    assert left_behind(Path.cwd()) == []


def test_an_old_version_that_fails_all_requests_cannot_be_compared_with(commit: Commit, call: Call):
    commit(status=404)
    write()

    done = call("compare", "shop.py", "--against", "main")

    assert done.returncode == 6
    assert "CANNOT TELL: the old version failed all requests" in done.stdout


def test_a_server_that_does_not_start_is_named_with_its_output(commit: Commit, call: Call):
    commit()
    Path("app.py").write_text("raise SystemExit('no database')")

    done = call("compare", "shop.py", "--against", "main")

    assert done.returncode == 6
    assert done.stderr.startswith("loadkit: the new version, the working tree: the server '")
    assert "no database" in done.stderr
    assert left_behind(Path.cwd()) == []


WRONG = [
    (["shop.py", "--against", "nowhere"], "there is no revision 'nowhere' in "),
    (["shop.py", "--against=--all"], "'--all' is no revision; write it like main or HEAD~1"),
    (
        ["{url}", "--against", "main"],
        "main is a revision, and {url}/ has no server= to start from it; ",
    ),
    (
        ["shop.py", "--against", "main", "--base-url", "{url}"],
        "main is a revision, and browse has no server= to start from it; a base_url that is given wins over its server",
    ),
    (["shop.py", "--against", "main", "--tolerance", "p99"], "cannot read the tolerance 'p99'; write it like p99=10%"),
    (["shop.py", "--against", "main", "--tolerance", "p98=1%"], "there is no figure 'p98' to compare; use one of "),
    (
        ["shop.py", "--against", "main", "--tolerance", "GET /s: p99=1%"],
        "the tolerance of 'GET /s: p99' names no endpoint of the scenario; there are 'GET /'",
    ),
    (["shop.py", "--against", "main", "--budget", "0s"], "budget must be more than 0, not '0s'"),
    (["shop.py", "--against", "main", "--budget", "long"], "cannot read the budget 'long'; "),
    (["shop.py", "--against", "main", "--undecided", "ok"], "--undecided takes pass or fail, not 'ok'"),
    (["shop.py", "--against", "two.py"], "two.py has 2 scenarios, and one is compared; name it: two.py::a, two.py::b"),
    (["shop.py", "--against", ""], "against is empty; give the URL of a server, a scenario, or a revision like main"),
    (
        ["shop.py", "--against", "main:shop.py"],
        "'main:shop.py' is a file of a revision; versions are compared whole: 'main'",
    ),
    (["shop.py"], "Missing option '--against'"),
    (["shop.py", "--calibrate", "--against", "main"], "--calibrate compares with itself and takes no --against"),
    (["shop.py", "--calibrate", "--budget", "long"], "cannot read the budget 'long'; "),
    (
        ["shop.py", "--against", "{url}", "--tolerance", "server_cpu=1%"],
        "'server_cpu' is known of all requests, and where loadkit starts the servers of both versions",
    ),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_a_mistake_is_named_before_anything_is_sent(
    words: list[str], message: str, commit: Commit, call: Call, demo: Demo
):
    commit()
    lines = [f"{name} = Scenario(endpoints=[Endpoint('GET', '{demo.url}')])" for name in "ab"]
    Path("two.py").write_text("from loadkit import Endpoint, Scenario\n" + "\n".join(lines))

    done = call("compare", *(word.format(url=demo.url) for word in words))

    assert done.returncode == 4
    assert done.stderr.startswith(f"loadkit: {message.format(url=demo.url)}")
    assert len(done.stderr.splitlines()) == 1


def test_outside_of_a_repository_a_revision_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "shop.py").write_text(SHOP)

    with pytest.raises(UsageError, match=r"compare against a revision in a git repository: .*not a git repository"):
        compare(loaded(), against="main")


def test_a_shallow_clone_is_told_how_to_get_more(commit: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    commit()
    commit(delay=0.01)
    _git("clone", "--quiet", "--depth", "1", f"file://{tmp_path}", str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")

    with pytest.raises(UsageError, match=r"there is no revision 'HEAD~1' in .*; this clone is shallow: git fetch --un"):
        compare(loaded(), against="HEAD~1")


def test_what_a_killed_comparison_left_is_removed_by_the_next(commit: Commit):
    commit(status=404)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = f".loadkit/worktrees/0123456789ab-{ended.pid}"
    _git("worktree", "add", "--quiet", "--detach", folder)

    compare(loaded(), against="main")

    assert left_behind(Path.cwd()) == []
    assert subprocess.run(["git", "worktree", "list"], capture_output=True, check=True).stdout.count(b"\n") == 1


def test_an_interrupt_says_what_is_known_and_leaves_nothing(commit: Commit, tmp_path: Path):
    commit()
    output = tmp_path / "found.json"
    command = [sys.executable, "-m", "loadkit", "compare", "shop.py", "--against", "main", "-o", str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        # the second worktree of git is there as soon as it is under way
        _await(lambda: bool(left_behind(tmp_path)))
        threading.Timer(2, lambda: os.kill(running.pid, signal.SIGINT)).start()
        text, _ = running.communicate(timeout=60)

    assert running.returncode == 2
    assert "CANNOT TELL: interrupted" in text
    assert json.loads(output.read_text())["reason"] == "interrupted"
    assert left_behind(tmp_path) == []


def _await(happened: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if happened():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen within 20 s")


def test_a_url_at_which_nothing_answers_cannot_be_compared_with(demo: Demo, free_port: int):
    found = compare(aimed(demo, "/"), against=f"http://127.0.0.1:{free_port}")

    assert found.verdict == "cannot tell"
    assert found.reason.startswith("the old version failed all requests: GET ")
    assert found.reason.endswith(f": connection refused 127.0.0.1:{free_port}")
    assert found.exit_code == 6


def test_a_url_is_compared_with_another_one_as_it_is_and_what_fails_there_is_said(demo: Demo, call: Call):
    other, no_such = f"{demo.url}/delay/0.003", f"{demo.url}/no-such"

    found, failing = (call("compare", f"{demo.url}/", "--against", one, "--budget", "3s") for one in (other, no_such))
    same = call("compare", f"{demo.url}/no-such", "--against", demo.url, "--budget", "3s")

    assert f"{demo.url}/ against {other} " in found.stdout
    assert "failed all requests" not in found.stdout
    said = " ".join(failing.stdout.split())
    assert f"the old version failed all requests: GET {no_such}: status 404, expected 200-399" in said
    # a URL without a path is that of a server
    assert f"both versions failed all requests: GET {no_such}: status 404" in " ".join(same.stdout.split())


def test_the_command_that_calibrates_has_the_base_url_that_was_given(demo: Demo, call: Call, tmp_path: Path):
    (tmp_path / "shop.py").write_text(
        "from loadkit import Endpoint, Scenario\nbrowse = Scenario(endpoints=[Endpoint('GET', '/no-such')])\n"
    )

    done = call("compare", f"{tmp_path}/shop.py", "--base-url", demo.url, "--against", demo.url, "--budget", "3s")

    # without the breaks of lines, whose places depend on how long the folder's name is
    said = "".join(done.stdout.split())
    assert f"loadkitcompare{tmp_path}/shop.py::browse--base-url{demo.url}--calibrate" in said


def test_tolerances_are_read_as_people_write_them():
    assert tolerances_of(["p99=10%", "GET /a=b: p50 = 0.2"]) == {"p99": 0.1, "GET /a=b: p50": 0.2}


def test_a_server_that_does_not_start_is_an_error_of_python():
    scenario = Scenario(endpoints=[Endpoint("GET", "/")], server=["false", "{port}"], name="shop")

    with pytest.raises(NotMeasurable, match=r"the old version, shop \(old\): the server 'false"):
        compare(scenario, against=scenario)


DIES_ONCE = """
import os, pathlib, threading

died, left = pathlib.Path("died"), threading.Semaphore(150)

def app(environ, start):
    if not died.exists() and not left.acquire(blocking=False):
        died.touch()
        os._exit(3)
    threading.Event().wait(0.005)
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.slow
def test_figures_that_are_only_shown_are_of_sound_blocks_alone(commit: Commit):
    commit()
    Path("dies.py").write_text(DIES_ONCE)
    blocks = 0

    def count(moment: Moment) -> None:
        nonlocal blocks
        blocks = moment.blocks

    old = loaded().replace(endpoints=[Endpoint("GET", "/a"), Endpoint("GET", "/b")])
    found = compare(old.replace(server="dies.py:app"), against=old, watch=count, interrupts=lambda: int(blocks >= 3))

    unsound = {one.block for one in found.rounds if one.unsound}
    assert unsound
    assert found["GET /a"].error_rate.blocks == len({one.block for one in found.rounds} - unsound)


FIXED = """
from loadkit import Endpoint, Scenario

browse = Scenario(
    base_url="http://127.0.0.1:{port}",
    endpoints=[Endpoint("GET", "/")],
    threads=4,
    server=["python", "app.py", "{port}"],
)
"""


def test_servers_that_listen_on_the_same_port_are_started_one_after_the_other(commit: Commit, free_port: int):
    Path("shop.py").write_text(FIXED.format(port=free_port))
    commit()
    write(status=404)

    found = compare(loaded(), against="main")

    assert found.verdict == "worse"
    assert found.reason.startswith("the new version failed all requests: GET ")
    assert {one.version: one.figures["error_rate"] for one in found.rounds} == {"old": 0.0, "new": 1.0}


def test_servers_that_listen_on_the_same_port_cannot_be_loaded_at_once(commit: Commit, free_port: int):
    Path("shop.py").write_text(FIXED.format(port=free_port))
    commit()

    with pytest.raises(UsageError, match=rf"^both versions listen on port {free_port}, and not at once; write"):
        compare(loaded(), against="main", simultaneous=True)


def test_a_port_that_is_taken_is_named(commit: Commit, demo: Demo):
    port = demo.url.rpartition(":")[2]
    Path("shop.py").write_text(FIXED.format(port=port))
    commit()

    with pytest.raises(NotMeasurable, match=rf"^the old version, main .*: something already listens on .*:{port}"):
        compare(loaded(), against="main")


def with_control(demo: Demo, delay: str) -> Scenario:
    endpoints = [Endpoint("GET", f"/delay/{delay}", name="slow"), Endpoint("GET", "/", name="control")]
    return Scenario(base_url=demo.url, endpoints=endpoints, threads=2)


def test_a_control_is_shown_apart_and_does_not_decide(demo: Demo):
    found = compare(with_control(demo, "0.05"), against=with_control(demo, "0.005"), control="control", budget=5)

    assert found.control.label == "control"
    assert not found.control.decides
    assert "p50" not in [one.metric for one in found["control"].changes]
    assert not any(one.decides for one in found["control"].changes)


def test_the_demo_server_may_be_the_control(demo: Demo):
    found = compare(aimed(demo, "/delay/0.05"), against=aimed(demo, "/delay/0.005"), control="demo", budget=5)

    assert (found.control.label, found.control.metric) == ("demo", "p50")
    assert 0 < found.control.before < 0.005
    assert "demo" not in found.endpoints


CONTROLS = [
    (
        {"control": "GET /s"},
        "the control 'GET /s' is no endpoint of the scenario; there are 'slow', 'control', and ",
    ),
    (
        {"control": "slow", "tolerances": {"slow: p50": 0.1}},
        "slow is the control and decides nothing; leave its tolerance out",
    ),
    ({"control": "demo", "simultaneous": True}, "the control demo is loaded after the round of one version"),
]


@pytest.mark.parametrize(("options", "message"), CONTROLS, ids=[row[1] for row in CONTROLS])
def test_a_control_that_cannot_be_is_refused_before_anything_is_sent(options, message: str, demo: Demo):
    with pytest.raises(UsageError, match=f"^{message}"):
        compare(with_control(demo, "0.05"), against=with_control(demo, "0.005"), **options)


def test_the_only_endpoint_is_no_control(demo: Demo):
    home = Scenario(base_url=demo.url, endpoints=[Endpoint("GET", "/", name="/")])
    with pytest.raises(UsageError, match=r"^/ is the only endpoint and cannot be the control; use 'demo'"):
        compare(home, against=home, control="/")
