"""What is secret in a fetch is in nothing that is printed, stored or named, whichever way it was given."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from loadkit import UsageError, fetch
from tests.conftest import Call as Run
from tests.fetcher.conftest import Site, contents, manifest

SECRET = "S3CR3T"


def everything(folder: Path) -> str:
    return "\n".join(f"{path} {path.read_text() if path.is_file() else ''}" for path in folder.rglob("*"))


@pytest.fixture
def run(call: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, with a report and a stored result; nothing of it may show the secret."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.setenv("TOKEN", SECRET)
        done = call("fetch", *words, "--into", "o", "--retries", "0", "-o", "r.json")
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stdout + done.stderr + everything(tmp_path)
        return done

    return run


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["-H", f"Authorization: Bearer {SECRET}"], ["--header", "Authorization: ***"]),
        ([f"-HAuthorization: Bearer {SECRET}"], ["--header", "Authorization: ***"]),
        ([f"--header=Authorization: Bearer {SECRET}"], ["--header", "Authorization: ***"]),
        (["-kH", f"Authorization: Bearer {SECRET}"], ["--header", "Authorization: ***", "--insecure"]),
        ([f"-kHAuthorization: Bearer {SECRET}"], ["--header", "Authorization: ***", "--insecure"]),
        (["-H", "Cookie: a=${HOME}; b=" + SECRET], ["--header", "Cookie: ***"]),
        (["-H", "Authorization: Bearer ${TOKEN}"], ["--header", "Authorization: Bearer ${TOKEN}"]),
        (["-H", "Accept: text/html", "-A", "me/1"], ["--header", "Accept: text/html", "--user-agent", "me/1"]),
        (["-c3", "--resume", "--max-wait=3s"], ["--threads", "3", "--max-wait", "3s"]),
    ],
)
def test_the_command_for_the_rest_has_no_value_of_a_header(site: Site, run: Run, words: list[str], again: list[str]):
    url = site.at("/gone", lambda call, _: call.reply(b"", 404))

    done = run(url, *words)

    (line,) = [line for line in done.stdout.splitlines() if "the rest:" in line]
    said = shlex.split(line.partition(":  ")[2])
    assert said[:3] == ["loadkit", "fetch", url]
    assert said[-1] == "--resume"
    rest = " ".join(said[3:-1]).replace("--into o", "").replace("--retries 0", "").replace("--output r.json", "")
    assert rest.split() == " ".join(again).split()


def test_a_header_that_is_cut_short_is_refused_without_its_value(run: Run):
    assert run("http://127.0.0.1:9/", f"--head=X-Mine: {SECRET}").returncode == 4
    assert run("http://127.0.0.1:9/", "-H", SECRET).returncode == 4


URLS = [
    "http://u:{secret}@{host}/gone",
    "http://u:a/{secret}@{host}/gone",
    "http://u:a?{secret}@{host}/gone",
    "http://u:a#{secret}@{host}/gone",
    "http://u:a {secret}@{host}/gone",
    "http://u:a@{secret}@{host}/gone",
    "http://{secret}@{host}/gone",
    "http://{host}/gone?token={secret}",
    "http://{host}/gone?x=" + "y" * 400 + "&token=" + "z" * 300 + "{secret}",
    "ftp://u:{secret}@h/?token={secret}",
    "u:{secret}@{host}/gone",
    "http://h:99999/?token={secret}",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_on_the_command_line_is_shown_without_its_secrets(site: Site, run: Run, url: str):
    site.at("/gone", lambda call, _: call.reply(b"", 404))

    done = run(url.format(secret=SECRET, host=site.url.removeprefix("http://")))

    assert done.returncode == (1 if url.startswith("http") else 4)


@pytest.mark.parametrize("url", URLS)
def test_a_url_of_a_list_is_shown_without_its_secrets(site: Site, tmp_path: Path, url: str):
    site.at("/gone", lambda call, _: call.reply(b"", 404))
    line = url.format(secret=SECRET, host=site.url.removeprefix("http://"))

    fetched = fetch([line], into=tmp_path / "b", retries=0).wait()

    assert fetched.failed == 1
    shown = [str(list(fetched)), str(fetched.result), str(fetched.job.summary().counters.examples)]
    assert SECRET not in everything(tmp_path) + "".join(shown)
    with pytest.raises(UsageError) as caught:
        fetch(["nonsense", line], into=tmp_path / "c", strict=True)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "location", [f"/b?access_token={SECRET}", f"ftp://u:{SECRET}@h/?token={SECRET}", f"http://u:a/{SECRET}@h/"]
)
def test_a_redirect_is_shown_without_its_secrets(site: Site, run: Run, location: str):
    site.at("/b", lambda call, _: call.reply(b"{}"))
    run(site.at("/a", lambda call, _: call.reply(b"", 302, Location=location)))


def test_a_name_made_of_the_query_has_no_secret_in_it(site: Site, tmp_path: Path):
    queries = ["page=2&lang=en", f"page=2&token={SECRET}", f"state={SECRET}", "state=other", SECRET, "q="]
    urls = [f"{site.url}/posts?{query}" for query in queries]

    fetched = fetch(urls, into=tmp_path / "b", name="{slug}.{ext}").wait()

    assert fetched.files == len(urls)
    names = sorted(contents(tmp_path / "b"))
    assert "posts-page-2-lang-en.json" in names
    assert SECRET.lower() not in "".join(names).lower()
    assert SECRET not in "".join(line["file"] for line in manifest(tmp_path / "b"))
