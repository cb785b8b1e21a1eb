"""Files that cannot be written, of each option that names one: said before a request, or after all else was done."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loadkit.host.posix import prctl
from loadkit.report.json import load
from loadkit.server.demo import Demo
from tests.conftest import Call, served

FILES = {
    "--output": "a.json",
    "--html": "a.html",
    "--markdown": "a.md",
    "--csv": "a.csv",
    "--junit": "a.xml",
    "--hgrm": "a.hgrm",
    "--hlog": "a.hlog",
    "--prometheus": "a.prom",
    "--samples": "s.csv",
}
"""Each option with the name of a file for it."""

CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loadkit(*words: str, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which `before` prepares."""
    return subprocess.run(
        [sys.executable, "-m", "loadkit", *words],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        preexec_fn=before,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize(("option", "name"), FILES.items(), ids=FILES)
@pytest.mark.parametrize(
    ("place", "why"),
    [("none/{}", "no such file or directory"), ("file/{}", "not a directory"), ("{}", "is a directory")],
)
def test_a_place_that_is_none_is_named_before_a_request(
    call: Call, demo: Demo, option: str, name: str, place: str, why: str
):
    Path("file").touch()
    Path(name).mkdir()
    before = served(demo, "/search")

    done = call("run", f"{demo.url}/search", "-n", "1", option, place.format(name))

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.replace("it is", "is") == f"loadkit: cannot write {place.format(name)}: {why}\n"
    assert served(demo, "/search") == before


SHOP = """
from loadkit import Endpoint, Scenario

def buy(http):
    http.get("/")
    raise ValueError("bad \\udcff value")

shop = Scenario(base_url="{url}", threads=2, iterations=8, endpoints=[buy], thresholds=["error_rate < 90%"])
named = shop.replace(name="sh\\udcffop", endpoints=[Endpoint("GET", "/", name="a\\udcffb"), buy])
"""


def test_names_and_messages_that_no_encoding_has_are_written_as_escapes(call: Call, demo: Demo):
    Path("shop.py").write_text(SHOP.format(url=demo.url))
    given = [word for pair in FILES.items() for word in pair]

    done = call("run", "shop.py", "-s", "sh\udcffop", *given, "--history", "kept")

    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    for file in [*map(Path, FILES.values()), *Path("kept").glob("*.jsonl")]:
        assert file.read_text(encoding="utf-8"), file
    (result,) = load(Path("a.json"))
    assert result.scenario.name == "sh\\udcffop"
    assert "a\\udcffb" in [row.name for row in result.endpoints]


def test_other_processes_tell_such_messages_and_are_told_no_such_names(call: Call, demo: Demo):
    Path("shop.py").write_text(SHOP.format(url=demo.url))
    words = ("run", "shop.py", "--processes", "2", "-o", "a.json", "-s")

    told = call(*words, "shop")
    refused = call(*words, "sh\udcffop")

    assert "Traceback" not in told.stderr
    (buy,) = load(Path("a.json"))[0].timings
    assert (buy.requests, buy.examples[0].message.splitlines()[0]) == (8, "ValueError: bad \\udcff value")
    assert refused.returncode == 4
    assert refused.stderr.splitlines()[-1].endswith(
        "sh\\udcffop' is no text that other processes can be told; mend it, or use processes=1"
    )


def without_privileges() -> None:
    """Root, too, heeds the permissions of files from now on."""
    prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)


@pytest.mark.skipif(sys.platform != "linux", reason="has no capabilities to drop")
def test_what_may_not_be_written_is_named_before_a_request(demo: Demo):
    before = served(demo, "/search")
    Path("locked").mkdir(mode=0o555)
    for option, name in FILES.items():
        Path(name).touch(mode=0o444)
        for place in (f"locked/{name}", name):
            done = loadkit("run", f"{demo.url}/search", "-n", "1", option, place, before=without_privileges)

            assert (done.returncode, done.stdout) == (4, "")
            assert done.stderr == f"loadkit: cannot write {place}: permission denied\n"
    assert served(demo, "/search") == before


def full_disk() -> None:
    """Files can be made, and nothing be written into them."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize(("size", "why"), [(0, "no usable temporary directory found in"), (20_000, "disk")])
def test_a_disk_that_is_full_has_no_room_for_a_log_that_is_replayed(size: int, why: str):
    line = '- - - [28/Nov/2026:13:00:01 +0000] "GET /items/7 HTTP/1.1" 200 1\n'
    Path("a.log").write_text(line * 2000)
    words = ("run", "--replay", "a.log", "--base-url", "http://127.0.0.1:9")

    done = loadkit(*words, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"loadkit: cannot keep the requests of a log in a temporary file: {why}")
    assert done.stderr.count("\n") == 1


def test_a_disk_that_is_full_costs_each_file_and_nothing_else(demo: Demo):
    Path("kept").mkdir()
    Path("kept/.gitattributes").touch()
    given = [word for pair in FILES.items() for word in pair]

    done = loadkit("run", demo.url, "-n", "20", *given, "--history", "kept", before=full_disk)

    assert done.returncode == 3
    assert "PASSED" in done.stdout
    lost = [line for line in done.stderr.splitlines() if line.startswith("loadkit: ")]
    files = {line.removeprefix("loadkit: cannot write ").partition(": file too large")[0] for line in lost}
    wanted = {name for option, name in FILES.items() if option != "--samples"}
    assert wanted <= files
    assert "loadkit: s.csv lacks 20 of 20 requests: file too large" in lost
    assert any(name.startswith("kept/") for name in files)
    assert "Traceback" not in done.stderr
    left = {path.name: path.stat().st_size for path in Path().rglob("*") if path.is_file()}
    assert set(left.values()) == {0}
    assert not [name for name in left if name.startswith(".loadkit-")]
