"""Curl commands become scenario files that send the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from loadkit.plan.loader import load
from loadkit.server.demo import Demo
from tests.conftest import Call, served

COPIED = r"""
# as Chromium copies all requests of a page
curl 'http://127.0.0.1:8000/login' \
  -H 'Accept: application/json' \
  -H 'Content-Type: application/json' \
  -H 'Cookie: session=s3cret' \
  -H 'sec-ch-ua: "Chromium";v="150"' \
  -H 'User-Agent: Mozilla/5.0' \
  --data-raw $'{"user":"ann","password":"it\'s secret\u0021"}' \
  --compressed ;
curl 'http://127.0.0.1:8000/search?q=tea%20pot&q=cup' -H 'Authorization: Bearer top.secret' -L --max-time 3
curl -X POST http://127.0.0.1:8000/orders -d 'sku=tea&note=%7Bsku%7D&empty=' && echo done | cat
"""

WRITTEN = '''\
"""3 requests from curl commands.

It wants in the environment: COOKIE, PASSWORD, TOKEN.
"""

import os

from loadkit import Endpoint, Scenario


def credentials():
    return {
        "cookie": os.environ["COOKIE"],
        "password": os.environ["PASSWORD"],
        "token": os.environ["TOKEN"],
    }


shop = Scenario(
    base_url="http://127.0.0.1:8000",
    setup=credentials,
    endpoints=[
        Endpoint(
            "POST",
            "/login",
            headers={"Accept": "application/json", "Cookie": "{cookie}"},
            json={"user": "ann", "password": "{password}"},
        ),
        Endpoint(
            "GET",
            "/search",
            params=[("q", "tea pot"), ("q", "cup")],
            headers={"Authorization": "Bearer {token}"},
            follow=True,
            timeout=3.0,
        ),
        Endpoint(
            "POST",
            "/orders",
            data={"sku": "tea", "note": "{{sku}}", "empty": ""},
        ),
    ],
    threads=1,
    duration="10s",
    thresholds=["error_rate < 1%"],
)
'''


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_a_browser_copied_becomes_what_a_person_would_have_written(call: Call):
    Path("shop.txt").write_text(COPIED)

    done = call("import", "curl", "shop.txt")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "loadkit: wrote shop.py",
        "  secrets are taken from the environment: COOKIE, PASSWORD, TOKEN",
        "  next: loadkit shop.py --once",
    ]
    assert Path("shop.py").read_text() == WRITTEN


def test_the_file_is_listed_without_its_secrets_and_runs_with_them(call: Call, demo: Demo, monkeypatch):
    call("import", "curl", f'curl {demo.url}/login --json \'{{"user": "ann", "password": "pw"}}\'', "-o", "log_in.py")

    listed = call("list", "log_in.py")
    missing = call("run", "log_in.py", "--once")
    before = served(demo, "/login")
    monkeypatch.setenv("PASSWORD", "pw")
    done = call("run", "log_in.py", "--once")

    assert (listed.returncode, listed.stdout.splitlines()[-1]) == (0, "  POST /login")
    assert missing.returncode == 6
    assert "KeyError: 'PASSWORD'" in missing.stderr
    assert done.returncode == 0, done.stderr
    assert served(demo, "/login") == before + 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["soap", "x"], "there is no import of 'soap'; it is one of "),
        (["curl", "x", "--value", "a=1"], "--value is for openapi, not for curl; leave it out"),
        (["har", "x", "--all-methods"], "--all-methods is for openapi and log, not for har; leave it out"),
        (["curl", "there.txt"], "cannot read 'there.txt': no such file or directory"),
        (["curl", "empty.txt"], "there is no curl command; write it like: curl -X POST "),
        (["curl", "curl 'http://a"], "cannot read the curl command: no closing quotation"),
        (["curl", "curl http://a --proxy b"], "loadkit curl: option --proxy not recognized; leave it out"),
        (["curl", 'curl ^"http://a^"'], "this curl command is one for cmd of Windows; copy it as cURL (bash)"),
        (["curl", "curl http://a", "-o", "a.txt"], "a scenario file is Python, and a.txt is not called so"),
        (["curl", "curl http://a", "-o", "there.py"], "there.py is there already; --force writes over it"),
        (["curl", "curl http://a", "-o", "none/a.py"], "cannot write none/a.py: no such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_named_in_one_line_and_nothing_is_written(words: list[str], message: str, call: Call):
    Path("there.py").write_text("mine")
    Path("empty.txt").write_text("# nothing\n")

    done = call("import", *words, *([] if "-o" in words else ["-o", "new.py"]))

    assert done.returncode == 4
    assert done.stderr.startswith(f"loadkit: {message}")
    assert done.stderr.count("\n") == 1
    assert {path.name: path.read_text() for path in Path().glob("*.py")} == {"there.py": "mine"}


def test_force_writes_over_a_file_and_a_dash_writes_to_stdout(call: Call):
    Path("shop.py").write_text("mine")

    printed = call("import", "curl", "curl http://127.0.0.1:8000/items", "-o", "-")
    forced = call("import", "curl", "curl http://127.0.0.1:8000/items", "-o", "shop.py", "--force")

    assert forced.returncode == 0
    assert Path("shop.py").read_text() == printed.stdout
    assert 'Endpoint("GET", "/items")' in printed.stdout


HOSTILE = "');__import__('os').system('touch owned')#\"\"\"\\\n{x}"


def test_hostile_text_does_nothing(call: Call, demo: Demo):
    import shlex

    words = ["curl", f"{demo.url}/search?q=1", "-H", f"X-{'a' * 300}: {HOSTILE!r}", "-d", HOSTILE, "-A", "x"]
    Path("c.txt").write_text(f"# {HOSTILE.splitlines()[0]}\n{shlex.join(words)}\n")

    assert call("import", "curl", "c.txt", "-o", "c.py").returncode == 0
    (scenario,) = load("c.py")

    assert not Path("owned").exists()
    (endpoint,) = scenario.plans
    assert endpoint.data.replace("{{x}}", "{x}") == HOSTILE
    assert subprocess.run(["ls"], capture_output=True, text=True, check=True).stdout.split() == ["c.py", "c.txt"]
