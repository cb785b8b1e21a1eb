"""Servers under test in processes of their own: commands and applications, up, down, and their bad days."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import freezegun
import pytest
import requests

from loadkit import Endpoint, Scenario, UsageError, run, serving
from loadkit.server.serving.app_server import is_asgi
from loadkit.server.serving.reference import reference
from tests.waiting import is_refused, wait_for

FILES = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "{port}"]

APP = """
import os

def app(environ, start_response):
    body = f"{os.getpid()} {environ['PATH_INFO']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def here(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """A WSGI application in the file of the tests themselves."""
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def test_a_command_is_told_its_port_and_ends_with_the_block(tmp_path: Path):
    (tmp_path / "health").touch()
    with serving(FILES, ready="/health", cwd=tmp_path) as url:
        assert requests.get(f"{url}/health", timeout=10).status_code == 200

    assert is_refused(url)


def test_a_command_may_read_its_port_from_the_environment():
    program = """
import http.server, os
http.server.HTTPServer(("", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""

    with serving([sys.executable, "-c", program]) as url:
        assert requests.get(url, timeout=10).status_code == 200


@pytest.mark.parametrize("form", ["module:app", "file:app"])
def test_an_application_is_served_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str):
    (tmp_path / "shop_of_a_test.py").write_text(APP)
    monkeypatch.syspath_prepend(tmp_path)
    name = "shop_of_a_test:app" if form == "module:app" else f"{tmp_path / 'shop_of_a_test.py'}:app"

    with serving(name) as url:
        pid, path = requests.get(f"{url}/x", timeout=10).text.split()

    assert path == "/x"
    assert int(pid) != os.getpid()
    assert is_refused(url)


def test_an_application_may_be_given_itself_and_the_result_tells_what_it_used():
    with serving(here) as url:
        assert requests.get(url, timeout=10).text == "ok"
        result = run(Scenario(endpoints=[Endpoint("GET", url + "/")], threads=2, iterations=100))

    assert result.server is not None
    assert 0 < result.server.cpu_seconds < 60
    assert result.server.peak_memory > 5_000_000


def test_a_function_that_makes_the_application_is_called_where_the_name_says_so(tmp_path: Path):
    (tmp_path / "made.py").write_text(APP + "\ndef create_app(config=None):\n    return app\n")

    with serving(f"{tmp_path}/made.py:create_app()") as url:
        assert requests.get(f"{url}/x", timeout=10).status_code == 200
    with (
        pytest.raises(UsageError, match=r"takes no request; if it makes the application, write .*:create_app\(\)"),
        serving(f"{tmp_path}/made.py:create_app"),
    ):
        pass


def test_a_file_in_a_package_is_imported_as_the_module_it_is_there(tmp_path: Path):
    inner = tmp_path / "shop" / "web"
    inner.mkdir(parents=True)
    for folder in (inner.parent, inner):
        (folder / "__init__.py").touch()
    (inner.parent / "settings.py").write_text("WORD = b'ok'")
    (inner / "app.py").write_text("from .. import settings\nfrom shop.settings import WORD\n" + APP)

    with serving(f"{inner}/app.py:app") as url:
        assert requests.get(url, timeout=10).status_code == 200


def test_a_folder_with_a_module_called_like_one_of_python_s_own_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "numbers.py").write_text("raise SystemExit('this is not the standard library')")
    (tmp_path / "shop_of_another_test.py").write_text("import its_neighbour\n" + APP)
    (tmp_path / "its_neighbour.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    with serving("shop_of_another_test:app") as url:
        assert requests.get(f"{url}/x", timeout=10).status_code == 200


@pytest.mark.parametrize("words", [["python"], ["env", "{python}"]], ids=["the first word", "anywhere"])
def test_a_command_runs_where_it_is_told_with_the_interpreter_that_runs_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
):
    program = """
import http.server, os, sys
class Told(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{sys.executable} {os.getcwd()}".encode())
http.server.HTTPServer(("", int(os.environ["PORT"])), Told).serve_forever()
"""
    other = tmp_path / "bin" / "python"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 9\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent), prepend=os.pathsep)

    with serving([*words, "-c", program], cwd=tmp_path) as url:
        assert requests.get(url, timeout=10).text.split() == [sys.executable, str(tmp_path)]


def test_of_other_peoples_servers_nothing_is_told(free_port: int):
    result = run(Scenario(endpoints=[Endpoint("GET", f"http://127.0.0.1:{free_port}/")], threads=1, iterations=1))

    assert result.server is None


# -- mistakes


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("shop", "an application is named like 'shop.app:app', .* 'shop.app:create_app\\(\\)', not 'shop'"),
        ("shop:not a name", "an application is named like"),
        (5, "a server is an application like 'shop.app:app', or a command like .*, not 5"),
        ([], "a server is an application like"),
        (["python", 5], "a server is an application like"),
        (["no-such-program"], "cannot start the server 'no-such-program': No such file or directory"),
        (lambda environ, start: [], "another process cannot find <function <lambda> at .*: define the application at"),
    ],
)
def test_what_is_no_server_is_told(app: Any, message: str):
    with pytest.raises(UsageError, match=f"^{message}"), serving(app):
        pass


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere_at_all:app",
            r"the server 'nowhere_at_all:app' ended with exit code 1; (.|\n)*No module named 'nowhere_at_all'",
        ),
        (
            "tests/nowhere.py:app",
            r"the server 'tests/nowhere.py:app' ended with exit code 1(.|\n)*there is no file tests/nowhere.py",
        ),
        (
            "json:nothing",
            r"the server 'json:nothing' ended with exit code 1; its output:\n  \| there is no 'nothing' in json",
        ),
        (
            "json:__name__",
            r"the server 'json:__name__' ended with exit code 1(.|\n)*is no application: 'json' cannot be called",
        ),
    ],
)
def test_an_application_that_is_not_there_is_told_with_the_output(name: str, message: str):
    with pytest.raises(UsageError, match=message), serving(name):
        pass


@pytest.mark.skipif(importlib.util.find_spec("uvicorn") is not None, reason="uvicorn would serve it")
def test_without_uvicorn_an_asgi_application_is_not_served(tmp_path: Path):
    (tmp_path / "app.py").write_text("async def app(scope, receive, send): pass")

    with (
        pytest.raises(UsageError, match="what serves it is not here; pip install uvicorn"),
        serving(f"{tmp_path}/app.py:app"),
    ):
        pass


def test_a_server_is_waited_for_by_the_time_that_passes_also_where_a_test_has_stopped_it():
    with (
        freezegun.freeze_time("2026-01-01"),
        pytest.raises(UsageError, match=r"was not ready within 0.5 s: "),
        serving([sys.executable, "-c", "import time; time.sleep(60)"], within="500ms"),
    ):
        pass


# -- what is what


class CallableApp:
    """As frameworks have them."""

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        """ASGI."""


def plain_asgi(scope: object, receive: object, send: object) -> object:
    """ASGI, though no coroutine function itself."""
    return CallableApp()(scope, receive, send)


@pytest.mark.parametrize(
    ("app", "expected"), [(here, False), (CallableApp(), True), (plain_asgi, True), (print, False)]
)
def test_the_kind_of_an_application_is_known(app: Any, expected: bool):
    assert is_asgi(app) is expected


def test_a_module_that_can_be_imported_is_named_and_another_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "test_app.py"
    file.write_text(APP)
    # as pytest imports tests: under a name that leads nowhere else
    module = types.ModuleType("tests.nowhere.test_app")
    module.__file__ = str(file)
    exec(APP, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    assert reference(reference) == "loadkit.server.serving.reference:reference"
    assert reference(vars(module)["app"]) == f"{file}:app"


def test_an_application_that_dies_leaves_its_port_closed(tmp_path: Path):
    (tmp_path / "app.py").write_text(APP)

    with serving(f"{tmp_path}/app.py:app") as url:
        os.kill(int(requests.get(url, timeout=10).text.split()[0]), signal.SIGKILL)
        wait_for(lambda: is_refused(url))
