"""What the command line makes of options: those of other tools, those that exclude each other, those that are sent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import loadkit
from loadkit.server.demo import Demo
from tests.conftest import Call
from tests.witness.witness import Witness

RELATIVE = """
from loadkit import Endpoint, Scenario

shop = Scenario(endpoints=[Endpoint("GET", "/products")], threads=2)
"""


def test_a_header_is_filled_from_the_environment_and_is_not_in_the_command(
    call: Call, witness: Witness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TOK", "s3cret")

    done = call("run", witness.url, "-n", "3", "-q", "-H", "Authorization: Bearer ${TOK}", "-H", "X-Other: $TOK")

    assert done.returncode == 0, done.stderr
    sent = [(one.headers["authorization"], one.headers["x-other"]) for one in witness.log().requests[-3:]]
    assert sent == [("Bearer s3cret", "$TOK")] * 3


def test_a_file_without_base_url_is_aimed_from_outside(call: Call, witness: Witness, tmp_path: Path):
    file = tmp_path / "nobase.py"
    file.write_text(RELATIVE)

    aimed = call("run", str(file), "--base-url", witness.url, "-n", "5", "-q")
    listed = call("list", str(file))
    lost = call("run", str(file), "-n", "5")

    assert aimed.returncode == 0, aimed.stderr
    assert len(witness.log().of("/products")) == 5
    assert listed.returncode == 0
    right = "give shop a base_url like 'http://127.0.0.1:8000', or --base-url"
    assert (lost.returncode, lost.stderr) == (4, f"loadkit: GET /products is relative; {right}\n")


def test_what_the_last_of_several_scenarios_lacks_is_said_before_the_first_is_run(
    call: Call, witness: Witness, tmp_path: Path
):
    file = tmp_path / "some.py"
    file.write_text(f"{RELATIVE}\naimed = shop.replace(base_url={witness.url + '/'!r}, iterations=1)\n")
    before = len(witness.log())

    done = call("run", f"{file}::aimed", f"{file}::shop")

    assert (done.returncode, len(witness.log())) == (4, before)


ONCE = "--once sends each endpoint once and judges failures alone; leave "
SAID: list[tuple[Sequence[str], str]] = [
    (["run", "http://h/", "--stage", "1s:5"], "No such option: --stage; a stage is a phase: --phase ramp:10s:5"),
    (["http://h/", "--users", "9", "--spawn-rate=1"], "No such option: --spawn-rate; users are added by a phase: "),
    (["http://h/", "-R100"], "No such option: -R; a rate is --rate 100/s"),
    (["http://h/", "--headless"], "No such option: --headless; there is nothing to leave out: the report is printed"),
    (["-f", "shop.py"], "No such option: -f; a scenario file needs no option: loadkit run shop.py"),
    (["http://h/", "-d", "30s"], "-d is a body, and '30s' is a time; a duration is -z 30s, and a body may be in a "),
    (["http://h/", "-u", "10"], "-u takes name:password, and there is no colon in '10'; virtual users are -c 10"),
    (["-t2", "http://h/"], "-t is a threshold like 'p99 < 250ms', and '2' is a number; virtual users are -c 2"),
    (["http://h/", "-d", "a", "--json", "1"], "-d and --json are two bodies; a request has one"),
    (["http://h/", "--json", "{a"], """--json takes JSON like '{"sku": "tea"}': Expecting property name"""),
    (["http://h/", "-F", "a"], "cannot read the part 'a' of a form; write it like name=value, or name=@FILE"),
    (["http://h/", "-X", "GIT"], "'GIT' is not an HTTP method; use one of DELETE, GET, "),
    (["shop.py", "-X", "POST"], "-X is for the request to a URL, and shop.py has endpoints of its own, like "),
    (["h.test:80/a"], "there is no file or folder 'h.test:80/a'; a URL has a scheme: 'http://h.test:80/a'"),
    (["runn"], "No such command 'runn'. Did you mean 'run'?"),
    (["run", "http://h/", "--durration", "1s"], "No such option: --durration (Possible options: --duration, "),
    (["run", "http://h/", "-q", "10"], "there is no file or folder '10'; -q is --quiet and takes no value, a rate is"),
    (["run", "shop.py:ok"], "there is no file or folder 'shop.py:ok'; a scenario in a file is 'shop.py::ok'"),
    (["run", "h.test/a"], "there is no file or folder 'h.test/a'; a URL has a scheme: 'http://h.test/a'"),
    (["run", "http://h/", "--once", "-n", "5"], f"{ONCE}--iterations out"),
    (["run", "http://h/", "--once", "--rate", "5/s"], f"{ONCE}--rate out"),
    (["run", "http://h/", "--once", "-t", "p99 < 1s"], f"{ONCE}--threshold out"),
    (["run", "http://h/", "--once", "--phase", "hold:1s:5"], f"{ONCE}--phase out"),
    (
        ["run", "http://h/", "--phase", "ramp:1s:50", "--phase", "hold:1s:50/s"],
        "the phases have 50 threads beside a rate; write all of them like '50/s', or none",
    ),
    (["run", "http://h/", "--rate", "0"], "rate must be more than 0, not '0'; leave it out for a closed workload"),
    (["run", "http://h/", "-H", "A: ${NO_SUCH}"], "a header wants the environment variable NO_SUCH, which is not set"),
    (["run", "http://h/?q=a b"], "target 'http://h/?q=a b' holds a space; write it as %20"),
]


@pytest.mark.parametrize(("arguments", "message"), SAID, ids=[" ".join(row[0]) for row in SAID])
def test_what_means_something_else_is_refused_with_the_right_word(call: Call, arguments: Sequence[str], message: str):
    done = call(*arguments)

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"loadkit: {message}")
    assert done.stderr.count("\n") == 1


REFUSED = ("http.get('/status/401').raise_for_status()", 6, "HTTPError: 401 Client Error")
MISSPELT = ("htpp.get('/')", 4, "NameError: name 'htpp' is not defined")
SETUPS = [
    ("scenario", *REFUSED),
    ("scenario", "http.get('http://127.0.0.1:1/')", 6, "ConnectionError: "),
    ("scenario", "assert http.get('/').json()['open']", 6, "KeyError: 'open'"),
    ("scenario", *MISSPELT),
    ("scenario", "import nowhere_to_be_found", 4, "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
    ("journey", *REFUSED),
    ("journey", *MISSPELT),
]


@pytest.mark.parametrize(("whose", "code", "exit_code", "message"), SETUPS, ids=[" ".join(row[:2]) for row in SETUPS])
def test_a_set_up_that_the_server_fails_is_no_wrong_usage(
    call: Call, demo: Demo, tmp_path: Path, whose: str, code: str, exit_code: int, message: str
):
    file = tmp_path / "shop.py"
    made = {
        "scenario": "Scenario(base_url=URL, endpoints=[visit], setup=login)",
        "journey": "Scenario(base_url=URL, endpoints=[Journey(visit, setup=login)])",
    }
    file.write_text(f"""
from loadkit import Journey, Scenario

URL = {demo.url!r}

def login(http):
    {code}

def visit(http):
    http.get("/")

shop = {made[whose]}
""")

    done = call("run", str(file), "-n", "4")

    assert done.returncode == exit_code, done.stderr
    assert f"failed: {message}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_needs_no_more_file_descriptors_than_it_says(witness: Witness):
    def limited(descriptors: int) -> subprocess.CompletedProcess[str]:
        command = f"ulimit -n {descriptors}; exec {sys.executable} -m loadkit run {witness.url} -q -c 40 -n 80"
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=50, check=False)

    refused = limited(40)

    assert refused.returncode == 4
    assert refused.stderr.startswith("loadkit: 40 connections need ")
    needed = int(refused.stderr.partition(" need ")[2].partition(" ")[0])
    assert limited(needed).returncode == 0
    assert 40 < needed <= 76, "few are enough for few connections"


def test_where_a_module_that_is_imported_raises_is_told(call: Call, tmp_path: Path):
    (tmp_path / "settings_of_shop.py").write_text('import os\n\nTOKEN = os.environ["NO_SUCH"]\n')
    file = tmp_path / "shop.py"
    file.write_text("# loadkit\nimport settings_of_shop\n")

    done = call("run", str(file))

    told = "KeyError: 'NO_SUCH' at settings_of_shop.py:3: TOKEN = os.environ[\"NO_SUCH\"]"
    assert (done.returncode, done.stderr) == (4, f"loadkit: {file}:2: {told}\n")


def test_the_public_names_are_those_that_dir_lists():
    assert dir(loadkit) == sorted(loadkit.__all__)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-r", "100/s", "-c", "5"], "with a rate, -c 5 is how many threads there are at first, and more are started"),
        (["-r", "100/s", "-c", "5", "--max-threads", "5"], ""),
        (["-r", "100/s", "-c", "5", "-q"], ""),
        (["-c", "5"], ""),
    ],
    ids=" ".join,
)
def test_what_threads_are_beside_a_rate_is_said(call: Call, demo: Demo, options: list[str], said: str):
    done = call("run", demo.url, "-n", "5", *options)

    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert bool(said) == ("with a rate" in done.stderr)


def test_a_duration_is_that_of_all_phases(call: Call, demo: Demo, tmp_path: Path):
    output = tmp_path / "found.json"

    done = call("run", demo.url, "--phase", "ramp:1s:2", "--phase", "hold:3s", "--duration", "400ms", "-o", str(output))

    assert done.returncode == 0, done.stderr
    (result,) = json.loads(output.read_text())["results"]
    assert [one["duration"] for one in result["scenario"]["phases"]] == pytest.approx([0.1, 0.3])
