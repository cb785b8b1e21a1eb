"""Every block of code in the README and in docs/ is run: what a reader types does what the page says it does.

Each page has a folder of its own, a git repository with the files that its commands name, and the demo server in the
place of port 8000. What lasts is made shorter, and what a machine is too slow for may be missed; a command that is not
understood, a name that is not there, or a fault is an error.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from loadkit.server.demo import Demo

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = ("console", "python", "toml", "yaml", "sh", "bash")

BELIEVED = {0, 1, 6}
"""Exit codes of a run: passed, a threshold missed, a load that this machine could not apply."""

SCRIPTS = re.compile(r"(scripts/\w+|\.ci/run|python -m benchmarks\b).*")
"""What is run in the clone itself: CI does it, or it takes minutes, so that here it is only there."""

SHORTER = [
    # both versions are the demo server
    (r"http://(old|new):8000", "http://127.0.0.1:8000"),
    (r"(-z|--duration|--load-for|--warmup) \S+", r"\1 300ms"),
    (r"--budget \S+", "--budget 6s"),
    # a file that is there is written over where that is asked for
    (r"^loadkit import ", "loadkit import --force "),
    (r"^curl -o openapi.json .*", "true"),
    # this instant was long ago
    (r" --at 12:00:00Z", ""),
    (r"over 10s", "over 1s"),
    (r"hold:\w+", "hold:300ms"),
    (r"ramp:\w+:", "ramp:300ms:"),
    (r'budget="\w+"', 'budget="6s"'),
    (r'by="threads"', 'by="threads", budget="6s"'),
    (r'duration="\w+"', 'duration="300ms"'),
]

SETTINGS = """
[tool.loadkit]
duration = "1s"

[tool.pytest]
load_server = ["python", "-m", "loadkit", "demo", "--port", "{port}"]
load_server_ready = "/health"
load_budget = "6s"
load_duration = "300ms"
testpaths = ["tests"]
load_scenarios = [
    "checkout: tests/test_shop.py -k buy --load-threads 4 --load-for 300ms",
]
"""

PRELUDE = """
import pytest
from loadkit import *
from loadkit import rows, hold, ramp
from order import order
urls = open("urls.txt").read().split()
"""

LINE = '127.0.0.1 - - [28/Nov/2026:12:00:00 +0000] "GET /items HTTP/1.1" 200 99 "-" "-"\n'
PATHS = {"/items": {"get": {"responses": {"200": {"description": "all"}}}}}
ENTRY = {
    "startedDateTime": "2026-11-28T12:00:00.000Z",
    "time": 5,
    "request": {"method": "GET", "url": "http://127.0.0.1:8000/items", "headers": [], "queryString": [], "cookies": []},
    "response": {"status": 200, "headers": [], "cookies": [], "content": {"size": 2, "mimeType": "text/html"}},
}
FILES = {
    "order.py": (
        "from loadkit import Endpoint, Scenario\n"
        'order = Scenario(base_url="http://127.0.0.1:8000", endpoints=[Endpoint("POST", "/orders", json={})])\n'
    ),
    "users.csv": "id,name,user,password,item\n1,ann,ann,secret,1\n2,ben,ben,secret,2\n",
    "urls.txt": "".join(f"http://127.0.0.1:8000/items/{k}\n" for k in range(1, 40)),
    "commands.txt": "curl http://127.0.0.1:8000/items -H 'Accept: text/html'\n",
    "access.log": LINE,
    "shop.log": '127.0.0.1 [1764300000.123] "GET /items HTTP/1.1" 200 0.005\n',
    "openapi.json": json.dumps({"openapi": "3.1.0", "info": {"title": "s", "version": "1"}, "paths": PATHS}),
    "shop.har": json.dumps({"log": {"version": "1.2", "entries": [ENTRY]}}),
    "tests/test_shop.py": (
        'def test_buy(http):\n    assert http.post("/orders", json={"sku": "a"}).status_code == 201\n\n'
        'def test_search(http):\n    assert http.get("/search", params={"q": "tea"}).json()["items"]\n'
    ),
}


BEFORE = {
    "loadkit report part1.json part2.json": [f"loadkit run shop.py -o part{k}.json" for k in (1, 2)],
    "loadkit compare before.json after.json": [
        "test -e after.json || loadkit run tests/test_shop.py -c 10 -z 300ms --repeat 5 -o after.json"
    ],
    "loadkit run --replay access.log --base-url http://127.0.0.1:8000": ["gzip -kc access.log > access.log.1.gz"],
}
"""What a command takes for granted that was done before."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each, in order."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [(language, body) for _, language, body in found if language in CODE]


def commands(body: str) -> list[str]:
    """What is typed, without what stands behind it."""
    typed = re.findall(r"^\$ (.*(?:\\\n.*)*)", body, re.MULTILINE)
    return [re.split(r" {2,}|\t| # ", one.replace("\\\n", ""))[0] for one in typed]


class Folder:
    """Where the blocks of one page are run, one after the other."""

    def __init__(self, path: Path, demo: Demo) -> None:
        self.path = path
        self.address = demo.url.removeprefix("http://")
        self._written = 0
        shutil.copytree(ROOT / "scenarios", path / "scenarios", ignore=shutil.ignore_patterns("__pycache__"))
        for file in (path / "scenarios").rglob("*.py"):
            self.write(str(file.relative_to(path)), file.read_text(encoding="utf-8"))
        (readme,) = [body for _, body in blocks(ROOT / "README.md") if body.startswith("# shop.py\n")]
        self.write("shop.py", readme)
        for name, text in FILES.items():
            self.write(name, text)
        self.write("pyproject.toml", SETTINGS)
        for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "as it was"]):
            subprocess.run(["git", *arguments], cwd=path, check=True, env=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """That of what is run."""
        author = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return os.environ | author | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PASSWORD": "p"}

    def write(self, name: str, text: str) -> None:
        """A file of a page, aimed at the demo server."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("127.0.0.1:8000", self.address), encoding="utf-8")

    def run(self, language: str, body: str) -> None:
        """What a reader would do with a block."""
        if language == "console":
            for command in commands(body):
                self.type(command)
        elif language == "python":
            self.python(body)
        elif language == "toml":
            self.settings(body)
        elif language == "yaml":
            assert yaml.safe_load(body)
        else:
            self.expect({0}, ["bash", "-n"], body)

    def type(self, command: str) -> None:
        """Run a command, made shorter."""
        if SCRIPTS.fullmatch(command):
            self.look_for(shlex.split(command))
            return
        for one in BEFORE.get(command, ()):
            self.type(one)
        for pattern, short in SHORTER:
            command = re.sub(pattern, short, command)
        words = shlex.split(command)
        if words[:2] in (["loadkit", "compare"], ["loadkit", "limit"]) and "--budget" not in words:
            command += " --budget 6s"
        self.expect(BELIEVED, ["bash", "-c", command.replace("127.0.0.1:8000", self.address)])

    def look_for(self, words: list[str]) -> None:
        """A script is there, a program tells of itself."""
        if words[0] == "python":
            done = subprocess.run([sys.executable, *words[1:], "--help"], cwd=ROOT, capture_output=True, check=False)
            assert done.returncode == 0, words
        else:
            assert os.access(ROOT / words[0], os.X_OK), words

    def python(self, body: str) -> None:
        """Tests are run by pytest, files are written, and all else is run behind what a page takes for granted."""
        name = re.match(r"# ([\w/]+\.py)\n", body)
        has_tests = re.search(r"^(async )?def test_", body, re.MULTILINE)
        for pattern, short in SHORTER:
            body = re.sub(pattern, short, body)
        self._written += 1
        file = name[1] if name else f"{'test_' if has_tests else ''}block_{self._written}.py"
        known = PRELUDE + "from shop import browse\n" * ("browse" in body)
        self.write(file, body if name else known + body)
        pytest_words = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if has_tests else []
        self.expect({0, 1} if has_tests else {0}, [sys.executable, *pytest_words, file], may_fail_by="AssertionError")

    def settings(self, body: str) -> None:
        """Those of loadkit and of pytest: they are understood."""
        tables = tomllib.loads(body)["tool"]
        assert tables.keys() <= {"loadkit", "pytest"}
        self.write("settings/pyproject.toml", body)
        shutil.copy(self.path / "shop.py", self.path / "settings")
        command = "loadkit shop.py --once" if "loadkit" in tables else "pytest --collect-only -q shop.py"
        self.expect(BELIEVED, ["bash", "-c", f"cd settings && {command}"])

    def expect(self, codes: set[int], command: list[str], text: str = "", *, may_fail_by: str = "") -> None:
        """Run, and hold what came of it."""
        done = subprocess.run(  # noqa: PLW1510
            command, cwd=self.path, env=self.environment, input=text, text=True, capture_output=True, timeout=100
        )
        shown = f"{shlex.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        errors = set(re.findall(r"^(?:E +)?(\w+(?:Error|Exception))\b", done.stdout + done.stderr, re.MULTILINE))
        if may_fail_by and errors == {may_fail_by}:
            return
        assert done.returncode in codes, shown
        assert not errors - {may_fail_by}, shown


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_blocks_of_a_page_do_what_a_reader_would_do(page: Path, demo: Demo, tmp_path: Path):
    folder = Folder(tmp_path, demo)

    for language, body in blocks(page):
        folder.run(language, body)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_a_page_say_what_they_are(page: Path):
    """A block without a language is output or a picture: nothing in it is typed."""
    text = page.read_text(encoding="utf-8")
    for language, body in re.findall(r"^```(\S*)[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        assert language in (*CODE, "json", "", "html") or language.startswith("{"), language
        assert language or not re.search(r"^\$ |^(import|from) \w", body, re.MULTILINE)
