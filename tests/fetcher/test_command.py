"""`loadkit fetch` as users run it: in a process of its own, with its exit codes, its streams and its signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Call as Run
from tests.fetcher.conftest import Call, Site, body_of, contents, manifest


def listed(site: Site, folder: Path, count: int, *more: str) -> str:
    path = folder / "urls.txt"
    path.write_text("\n".join([*site.urls(count), *more]) + "\n")
    return str(path)


def test_a_list_is_fetched_and_reported(site: Site, tmp_path: Path, call: Run):
    into = tmp_path / "b"
    output = tmp_path / "result.json"

    done = call("fetch", listed(site, tmp_path, 30), "--into", str(into), "--threads", "4", "-o", str(output))

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("30 URLs fetched")
    assert "of the threads' time on the network" in done.stdout
    assert "PASSED" in done.stdout
    assert "posts/{id}" in done.stdout
    assert "30 of 30 done" in done.stderr
    assert sorted(contents(into).values()) == sorted(body_of(f"/posts/{number}") for number in range(1, 31))
    assert call("report", str(output)).returncode == 0
    assert json.loads(output.read_text())["results"][0]["total"]["requests"] == 30


def test_what_failed_is_named_with_the_command_that_does_the_rest(site: Site, tmp_path: Path, call: Run):
    into = str(tmp_path / "b")
    site.at("/gone", lambda call, _: call.reply(b"", 404))
    source = listed(site, tmp_path, 3, f"{site.url}/gone", "nonsense", f"{site.url}/posts/1")

    first = call("fetch", source, "--into", into, "-H", "X-Token: hunter2")
    again = call("fetch", source, "--into", into, "--resume")

    assert first.returncode == 1
    assert first.stdout.startswith("3 URLs fetched, "), first.stdout
    assert f"loadkit fetch {source} --into {into} --header 'X-Token: ***' --resume" in first.stdout
    assert f"{site.url}/gone" in first.stdout
    assert "urls.txt:5: 'nonsense' is no URL" in first.stdout
    assert "1 duplicate" in first.stdout
    assert "hunter2" not in first.stdout + first.stderr
    assert again.returncode == 1
    assert "3 URLs fetched by an earlier run" in again.stdout


def test_a_finished_folder_is_nothing_to_do(site: Site, tmp_path: Path, call: Run):
    source = listed(site, tmp_path, 5)
    call("fetch", source, "--into", str(tmp_path / "b"), "-q")

    again = call("fetch", source, "--into", str(tmp_path / "b"), "--resume")

    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("nothing to do: all 5 URLs fetched already")
    assert site.hits.total() == 5


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["/no/such/file"], "cannot read the URLs in /no/such/file"),
        (["file:///etc/passwd"], "'file:///etc/passwd' is no http or https URL"),
        (["{list}", "--threads", "x"], "not 'x'"),
        (["{list}", "--rate", "x"], "cannot read the rate 'x'"),
        (["{list}", "--retries", "x"], "--retries takes a whole number"),
        (["{list}", "--single", "--threads", "7"], "--single is one thread"),
        (["{list}", "--failed", "x"], "--failed takes keep or drop"),
        (["{list}", "-H", "x"], "cannot read the header 'x'"),
        (["{list}", "--strict"], "1 line is no URL"),
        (["{list}", "--append", "-"], "append takes the path of a file, not '-'"),
    ],
)
def test_wrong_usage_is_one_line_and_nothing_is_sent(
    site: Site, tmp_path: Path, call: Run, words: list[str], says: str
):
    source = listed(site, tmp_path, 1, "nonsense")

    done = call("fetch", *(word.format(list=source) for word in words), "--into", str(tmp_path / "b"))

    assert (done.returncode, done.stdout) == (4, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not site.hits


def test_an_empty_list_has_an_exit_code_of_its_own(tmp_path: Path, call: Run):
    (tmp_path / "empty.txt").write_text("# nothing\n")
    assert call("fetch", str(tmp_path / "empty.txt"), "--into", str(tmp_path / "b")).returncode == 5


def test_urls_may_come_on_stdin(site: Site, tmp_path: Path, call: Run, monkeypatch: pytest.MonkeyPatch):
    with Path(listed(site, tmp_path, 3)).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        done = call("fetch", "-", "--single", "--into", str(tmp_path / "b"))

    assert done.returncode == 0, done.stderr
    assert "1 thread," in done.stdout
    assert len(manifest(tmp_path / "b")) == 3


def test_ctrl_c_lets_what_is_under_way_finish_and_reports(site: Site, tmp_path: Path):
    def slow(call: Call, _: int) -> None:
        time.sleep(0.2)
        call.reply(b"{}")

    for number in range(1, 101):
        site.at(f"/posts/{number}", slow)
    words = ["fetch", listed(site, tmp_path, 100), "--into", str(tmp_path / "b"), "-c", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "loadkit", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while site.hits.total() < 4:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "INTERRUPTED" in output
    assert "not settled" in output
    assert "--resume" in output
    lines = manifest(tmp_path / "b")
    assert len(lines) == len(contents(tmp_path / "b")) == site.hits.total()
    assert all("error" not in line for line in lines)
