"""A marker stands where secrets are, in all places that a scenario has: no output of any kind holds it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.conftest import Call

pytest_plugins = "pytester"

MARK = "S3CR-3T"

# the marker is in no line of the file: what the user wrote there is shown as it is
SHOP = """
import os

import requests

from loadkit import Endpoint, Journey, Scenario, rows

MARK = os.environ["MARK"]
URL = os.environ["URL"]


def refused_reply(http):
    http.get("/status/401", params={"state": MARK}).raise_for_status()

def refused_user(http):
    http.get(URL.replace("://", f"://me:{MARK}@") + f"/status/401?{MARK}").raise_for_status()

def foreign_scheme(http):
    http.get(f"ftp://me:{MARK}@h/?x={MARK}")

def no_host(http):
    http.get(f"http://me:{MARK}@/?x={MARK}")

def no_port(http):
    http.get(f"http://me:{MARK}/x@h/")

def broken_host(http):
    http.get(f"http://me:{MARK}@[::1/?x={MARK}")

def nobody_there(http):
    http.get(f"http://me:{MARK}@127.0.0.1:1/?x={MARK}")

def nobody_known(http):
    http.get(f"http://me:{MARK}@no-such-host.invalid/?x={MARK}")

def broken_header(http):
    http.get("/", headers={"Authorization": f" Bearer {MARK}"})

def line_in_header(http):
    http.get("/", headers={"X-Any": f"{MARK}\\n"})

def number_in_header(http):
    http.get("/", headers={"X-Any": (MARK, 1)})

def refused_proxy(http):
    http.get("/", proxies={"http": f"http://me:{MARK}@127.0.0.1:1"})

def broken_proxy(http):
    http.get("/", proxies={"http": f"http://me:{MARK}"})

def no_json(http):
    reply = http.get("/", params={"x": MARK})
    raise RuntimeError(f"cannot read {reply.url}")

def own_session(http):
    requests.get(f"{URL}/status/500?x={MARK}").raise_for_status()

def asserted(http):
    reply = http.get("/", params={"token": MARK})
    assert reply.url == "/", f"went to {reply.url}"

def checked(reply):
    requests.get(f"http://127.0.0.1:1/?x={MARK}")

def ends_badly(http):
    yield
    http.get("/status/401", params={"state": MARK}).raise_for_status()

def nothing(http):
    http.get("/")

shop = Scenario(
    base_url=URL,
    headers={"X-Api-Key": MARK},
    endpoints=[
        refused_reply, refused_user, foreign_scheme, no_host, no_port, broken_host, nobody_there, nobody_known,
        broken_header, line_in_header, number_in_header, refused_proxy, broken_proxy, no_json, own_session, asserted,
        Journey(nothing, setup=ends_badly),
        Endpoint("GET", f"/items/1?token={MARK}", check=checked, auth=("me", MARK)),
    ],
    threads=2,
    iterations=36,
)


def setup(http):
    http.get("/status/401", params={"state": MARK}).raise_for_status()

def fed(headers={}, **fields):
    bad = rows([{"v": MARK, "bad": "\\n"}])
    return Endpoint("POST", "/orders", headers={"X-Bad": "{bad}"} | headers, feed=bad, **fields)

MISTAKES = {
    "setup": lambda: Scenario(base_url=URL, endpoints=[nothing], setup=setup),
    "journey": lambda: Scenario(base_url=URL, endpoints=[Journey(nothing, setup=setup)]),
    "header": lambda: Scenario(base_url=URL, endpoints=[Endpoint("GET", "/", headers={"A": f" Bearer {MARK}"})]),
    "base_url": lambda: Scenario(base_url=f"http://me:a/{MARK}@h/", endpoints=[nothing]),
    "no_scheme": lambda: Scenario(base_url=f"me:{MARK}@h", endpoints=[nothing]),
    "endpoint": lambda: Scenario(endpoints=[Endpoint("GET", f"me:{MARK}@h/")]),
    "row": lambda: Scenario(base_url=URL, endpoints=[fed({"Authorization": "Bearer {v}"})]),
    "json": lambda: Scenario(base_url=URL, endpoints=[fed(json={"password": "{v}"})]),
    "file": lambda: requests.get(f"http://127.0.0.1:1/?x={MARK}"),
}
if os.environ.get("MISTAKE"):
    shop = MISTAKES[os.environ["MISTAKE"]]()
"""


@pytest.fixture
def file(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scenario file whose every journey fails with a secret at hand."""
    path = tmp_path / "scenario_shop.py"
    path.write_text(SHOP)
    monkeypatch.setenv("MARK", MARK)
    monkeypatch.setenv("URL", demo.url)
    return path


@pytest.mark.parametrize("options", [[], ["--once"], ["--processes", "2"]], ids=" ".join)
def test_no_secret_is_in_what_a_run_says_and_stores(call: Call, file: Path, tmp_path: Path, options: Sequence[str]):
    names = ("output", "html", "markdown", "csv", "junit", "hlog", "prometheus")
    files = {name: tmp_path / f"found.{name}" for name in names}

    done = call("run", str(file), *(f"--{name}={path}" for name, path in files.items()), *options)

    assert done.returncode == 1, done.stderr
    assert "401 Client Error" in done.stdout, "the journeys failed as they should"
    for text in (done.stdout, done.stderr, *(path.read_text() for path in files.values())):
        assert MARK.lower() not in text.lower()


REFUSED = {"setup", "journey"}
"""What it is the server that refuses."""


@pytest.mark.parametrize(
    "mistake", ["setup", "journey", "header", "base_url", "no_scheme", "endpoint", "row", "json", "file"]
)
def test_no_secret_is_in_what_is_said_of_a_mistake(
    call: Call, file: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
):
    monkeypatch.setenv("MISTAKE", mistake)

    done = call("run", str(file), "-z", "1s")

    assert done.returncode == (6 if mistake in REFUSED else 4), done.stderr
    assert MARK.lower() not in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", f"http://me:a/{MARK}@h/"],
        ["run", f"me:{MARK}@h/"],
        ["run", f"http://me:{MARK}@h:99999/"],
        ["run", f"http://me:{MARK}@127.0.0.1:1/?token={MARK}", "-n", "2"],
        ["run", f"http://me:{MARK}@no-such-host.invalid/?x={MARK}"],
        ["run", "{file}", "--base-url", f"me:{MARK}@h"],
        ["run", "{file}", "--base-url", f"http://me:a#{MARK}@h"],
        ["run", "{file}", "-H", f"Authorization Bearer {MARK}"],
        ["list", f"http://me:{MARK}@h/?token={MARK}"],
        ["list", f"http://me:{MARK}@h/", f"me:{MARK}@h"],
    ],
    ids=" ".join,
)
def test_no_secret_of_the_command_line_is_repeated(call: Call, file: Path, arguments: Sequence[str]):
    done = call(*(argument.format(file=file) for argument in arguments))

    assert MARK.lower() not in (done.stdout + done.stderr).lower()


def test_no_secret_is_in_what_pytest_prints_and_writes_of_a_scenario(file: Path, pytester: pytest.Pytester):
    junit, page = pytester.path / "junit.xml", pytester.path / "page.html"

    done = pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", str(file), f"--junitxml={junit}", "--load-html", str(page)
    )

    assert done.ret == 1, done.stdout.str()
    for text in (done.stdout.str(), done.stderr.str(), junit.read_text(), page.read_text()):
        assert MARK.lower() not in text.lower()
