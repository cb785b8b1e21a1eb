"""Mistakes that people make with a command line and a scenario file, each with the line that answers it.

Nothing is sent. What becomes of certificates and of https at the wrong place is in tests/jobs/test_trust.py, of a full
disk or a closed pipe in tests/cli/test_faults.py.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Call

URL = "http://127.0.0.1:9/products"
FILES = {
    "ok.py": "ok = Scenario(base_url='http://127.0.0.1:9', endpoints=[Endpoint('GET', '/products')])",
    "nobase.py": "ok = Scenario(endpoints=[Endpoint('GET', '/products')])",
    "none.py": "",
    "guarded.py": "if __name__ == '__main__':\n    ok = Scenario(endpoints=[Endpoint('GET', 'http://h/')])",
    "helper.py": "import os\nTOKEN = os.environ['NO_SUCH_TOKEN']",
    "imports.py": "import helper",
    "missing.py": "import httpxx",
    "syntax.py": "ok = Scenario(endpoints=[",
    "misspelt.py": "ok = Scenario(endpoints=[Endpont('GET', '/')])",
    "called.py": "def buy(http):\n    http.get('/')\nok = Scenario(base_url='http://h', endpoints=[buy('x')])",
    "same.py": (
        "a = Scenario(name='x', endpoints=[Endpoint('GET', 'http://h/a')])\n"
        "b = Scenario(name='x', endpoints=[Endpoint('GET', 'http://h/b')])"
    ),
    "id.csv": "id\n1\n",
    "semi.csv": "id;name\n1;tea\n",
    "ragged.csv": "id,name\n1,tea\n2\n",
    "empty.csv": "",
    "other.json": "{}",
    "cut.json": '{"version": 2, "res',
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files that are right and wrong, which is the current one."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(f"from loadkit import *\n{content}\n" if name.endswith(".py") else content)
    (tmp_path / "latin.csv").write_bytes("id\nfür\n".encode("latin-1"))
    (tmp_path / "nothing_in_it").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _option(text: str, name: str = "run") -> str:
    return f"{text} (loadkit {name} --help tells more)"


ONE = "error_rate < 1"
DURATION, RATE = "write it like '30s', '250ms' or '1m30s'", "write it like '200/s' or '90/m'"
QUIET = "-q is --quiet and takes no value, a rate is --rate 10/s, a duration --duration 10s"
METRICS = "use p99 (or any percentile), mean, min, max, throughput, error_rate, requests or failures"
THRESHOLD = "write it like 'p99 < 250ms', 'throughput > 500/s' or 'GET /search: error_rate < 1%'"
NO_GET = "AttributeError: 'str' object has no attribute 'get'"
BODY = "a duration is -z 30s, and a body may be in a @FILE"

WORDS: list[tuple[Sequence[str], str]] = [
    # habits of other tools
    (["runn", "ok.py"], "No such command 'runn'. Did you mean 'run'? (loadkit --help tells more)"),
    ([URL, "-q", "10"], f"there is no file or folder '10'; {QUIET}"),
    ([URL, "-u", "10"], "-u takes name:password, and there is no colon in '10'; virtual users are -c 10"),
    ([URL, "-d", "30s"], f"-d is a body, and '30s' is a time; {BODY}"),
    ([URL, "-d1s"], f"-d is a body, and '1s' is a time; {BODY.replace('30s', '1s')}"),
    ([URL, "--stage", "10s:5"], _option("No such option: --stage; a stage is a phase: --phase ramp:10s:5")),
    (
        [URL, "--spawn-rate", "2"],
        _option("No such option: --spawn-rate; users are added by a phase: --phase ramp:30s:50"),
    ),
    (
        [URL, "--users", "10", "-r", "2", "--headless"],
        _option(
            "No such option: --headless; "
            "there is nothing to leave out: the report is printed, --html FILE writes a page"
        ),
    ),
    (["-f", "ok.py"], _option("No such option: -f; a scenario file needs no option: loadkit run shop.py")),
    (["-t2", "-c10", URL], "-t is a threshold like 'p99 < 250ms', and '2' is a number; virtual users are -c 2"),
    ([URL, "-R100"], _option("No such option: -R; a rate is --rate 100/s")),
    # options and their values
    (
        [URL, "--thread", "5"],
        _option("No such option: --thread (Possible options: --header, --max-threads, --threads)"),
    ),
    (
        ["limit", URL, "-c", "10"],
        "No such option: -c; limit finds the load by itself; leave it out (loadkit limit --help tells more)",
    ),
    (
        ["limit", URL, "--rate", "5/s"],
        "No such option: --rate; limit finds the load by itself; leave it out (loadkit limit --help tells more)",
    ),
    (
        ["compare", URL, "--against", URL, "-X", "POST"],
        "No such option: -X; write it in a scenario file, and name that (loadkit compare --help tells more)",
    ),
    (
        ["report", "ok.py", "--threads=5"],
        "No such option: --threads; it is one of loadkit run (loadkit report --help tells more)",
    ),
    (
        ["compare", URL, "--against", URL, "--csv", "a.csv"],
        (
            "No such option: --csv; it is for results; what compare finds is written by --output, --html, --markdown "
            "and --junit (loadkit compare --help tells more)"
        ),
    ),
    (
        ["limit", URL, "--prometheus", "-"],
        (
            "No such option: --prometheus; it is for results; what limit finds is written by --output, --html, "
            "--markdown and --junit (loadkit limit --help tells more)"
        ),
    ),
    (["report", "ok.py"], "ok.py is no stored result; loadkit run ok.py --output result.json makes one"),
    ([URL, "--durration", "5s"], _option("No such option: --durration (Possible options: --duration, --iterations)")),
    *(
        ([URL, "-z", text], f"cannot read the duration {text!r}; {DURATION}")
        for text in ("1sec", "1M", "10 seconds", "10mins")
    ),
    *(([URL, "--rate", text], f"cannot read the rate {text!r}; {RATE}") for text in ("100rps", "1k")),
    ([URL, "--rate", "0"], "rate must be more than 0, not '0'; leave it out for a closed workload"),
    ([URL, "-c", "0"], "threads takes a whole number of at least 1, not 0"),
    ([URL, "-c", "-5"], "threads takes a whole number of at least 1, not -5"),
    ([URL, "-c", "ten"], "--threads takes a whole number like 16, not 'ten'"),
    ([URL, "-c", "1.5"], "--threads takes a whole number like 16, not '1.5'"),
    ([URL, "-n", "0"], "iterations takes a whole number of at least 1, not 0"),
    ([URL, "-n"], "Option '-n' requires an argument"),
    ([URL, "--processes", "0"], "processes takes a whole number of at least 1, or 'auto', not 0"),
    (
        ["ok.py", "--processes", "4", "-c", "2"],
        "4 processes cannot share 2 threads; give each one at least, or use fewer processes",
    ),
    (
        [URL, "--phase", "rampup:1s:5"],
        "cannot read the phase 'rampup:1s:5'; write it like ramp:30s:50, ramp:30s:200/s, hold:2m or hold:2m:50",
    ),
    ([URL, "-H", "Authorization=Bearer"], "cannot read the header '***'; write it like 'Accept: text/html'"),
    ([URL, "-o", "nodir/x.json"], "cannot write nodir/x.json: no such file or directory"),
    ([URL, "-o", "nothing_in_it"], "cannot write nothing_in_it: it is a directory"),
    # targets
    (["run"], "Missing argument 'targets'"),
    *(
        (["run", word], f"there is no file or folder {word!r}; a URL has a scheme: 'http://{word}'")
        for word in ("127.0.0.1:8123/products", "example.test/products", "localhost", "myhost")
    ),
    (["htp://h/"], "target 'htp://h/' has the scheme 'htp'; loadkit speaks http, https, http+unix"),
    (["http://nosuch.invalid/"], "cannot resolve the host 'nosuch.invalid': Name or service not known"),
    (["http://h:99999/"], "target 'http://h:99999/' is not a URL: Port out of range 0-65535"),
    ([f"{URL}?q=a b"], f"target '{URL}?q=a b' holds a space; write it as %20"),
    (["okk.py"], "there is no file or folder 'okk.py'; did you mean 'ok.py'?"),
    (["ok.py::nope"], "there is no scenario 'nope' in ok.py; it has ok"),
    (["ok.py:ok"], "there is no file or folder 'ok.py:ok'; a scenario in a file is 'ok.py::ok'"),
    # files
    (["syntax.py"], "syntax.py:2: '[' was never closed: ok = Scenario(endpoints=["),
    (["missing.py"], "missing.py:2: ModuleNotFoundError: No module named 'httpxx' at import httpxx"),
    (["imports.py"], "imports.py:2: KeyError: 'NO_SUCH_TOKEN' at helper.py:3: TOKEN = os.environ['NO_SUCH_TOKEN']"),
    (
        ["misspelt.py"],
        "misspelt.py:2: NameError: name 'Endpont' is not defined at ok = Scenario(endpoints=[Endpont('GET', '/')])",
    ),
    (["nobase.py"], "GET /products is relative; give ok a base_url like 'http://127.0.0.1:8000', or --base-url"),
    (
        ["called.py"],
        f"called.py:3: {NO_GET} at http.get('/'); endpoints take the function buy itself, and call it",
    ),
    (["same.py"], "same.py:3: there is a scenario called 'x' on line 2, too; give one of them another name"),
    # thresholds
    ([URL, "-t", "latency < 1s"], f"cannot read the threshold 'latency < 1s': there is no 'latency'; {METRICS}"),
    ([URL, "-t", "median < 1s"], f"cannot read the threshold 'median < 1s': there is no 'median'; {METRICS}"),
    ([URL, "-t", "p999 < 1s"], "cannot read the threshold 'p999 < 1s': there is no 'p999'; write p99.9"),
    ([URL, "-t", "p99<250"], "cannot read the threshold 'p99<250': 250 has no unit; write it like 'p99 < 250ms'"),
    (
        [URL, "-t", "error_rate < 1"],
        f"cannot read the threshold {ONE!r}: as a share, 1 is every request; of percent write 'error_rate < 1%'",
    ),
    ([URL, "-t", "p99 < 1s and p50 < 1s"], f"cannot read the threshold 'p99 < 1s and p50 < 1s'; {THRESHOLD}"),
    ([URL, "-t", "p99 =< 1s"], "cannot read the threshold 'p99 =< 1s'; write <="),
    # certificates and results
    (
        ["https://127.0.0.1:9", "--ca", "nope.pem"],
        "cannot read certificate authorities from ca='nope.pem': no such file or directory",
    ),
    (
        ["https://127.0.0.1:9", "--ca", "ok.py"],
        "cannot read certificate authorities from ca='ok.py': no certificate or crl found",
    ),
    (
        ["report", "other.json"],
        "other.json is not a loadkit result of version 2: Object missing required field `version`",
    ),
    (["report", "cut.json"], "cut.json is not a loadkit result of version 2: Input data was truncated"),
    (["report", "cut.json", "cut.json"], "cut.json is named more than once, and would be counted as often"),
]


@pytest.mark.parametrize(("words", "message"), WORDS, ids=[" ".join(row[0]) for row in WORDS])
def test_a_mistake_in_words_is_answered_in_a_line(words: Sequence[str], message: str, call: Call):
    done = call(*words)

    assert (done.returncode, done.stdout, done.stderr) == (4, "", f"loadkit: {message}\n")


GIVEN = "endpoints takes values like Endpoint('GET', '/') and functions like def buy(http): ..."
METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY, TRACE"
FEED = "give it one, like feed=rows('users.csv'), or the scenario a setup that returns it, or write {{id}} for the text"
SEMICOLONS = "it has id;name in one column: its values are separated by ';', and commas are read"
PRODUCT = "Endpoint('GET', '/products/{{id}}', feed=rows({!r}))"
SCENARIOS: list[tuple[str, str]] = [
    (
        "endpoints=[Endpoint('GET', 'products')]",
        "path 'products' is neither a path like '/products' nor a URL like 'http://products'",
    ),
    ("endpoint=[Endpoint('GET', '/')]", "Scenario has no 'endpoint'; did you mean endpoints?"),
    ("endpoints=[HOME], threads='ten'", "threads takes a whole number of at least 1, not 'ten'"),
    ("endpoints=['/products']", f"{GIVEN}, not '/products'"),
    ("endpoints=[Endpoint('/products', 'GET')]", f"'/products' is not an HTTP method; use one of {METHODS}"),
    ("endpoints=[Endpoint('/products')]", "an endpoint takes a method and a path, like Endpoint('GET', '/products')"),
    ("endpoints=[nothing]", "nothing does not take its session first; write it like def nothing(http): ..."),
    ("endpoints=[of_user]", "of_user takes 'user'; it is given http (by any name), row, shared, own, fixture"),
    ("endpoints=[Journey(buy, setup=of_row)]", "the setup of buy takes 'row'; it is given http (by any name), shared"),
    ("endpoints=[buy('x')]", f"{GIVEN}, not None"),
    ("endpoints=[Endpoint('GET', '/products/{id}')]", f"GET /products/{{id}} has no feed to fill {{id}}; {FEED}"),
    (f"endpoints=[{PRODUCT.format('no.csv')}]", "there is no file 'no.csv' in FOLDER to take rows from"),
    (
        "endpoints=[Endpoint('GET', '/{pid}', feed=rows('id.csv'))]",
        "id.csv:1 has no column 'pid' for GET /{pid}; it has id",
    ),
    (f"endpoints=[{PRODUCT.format('nothing_in_it.csv')}]", "cannot read nothing_in_it.csv: Is a directory"),
    (
        f"endpoints=[{PRODUCT.format('empty.csv')}]",
        "empty.csv is empty; its first line names the columns, like id,name",
    ),
    (f"endpoints=[{PRODUCT.format('latin.csv')}]", "latin.csv:2 is not UTF-8: the byte 0xfc cannot stand there"),
    (
        f"endpoints=[{PRODUCT.format('semi.csv')}]",
        f"semi.csv:1 has no column 'id' for GET /products/{{id}}; {SEMICOLONS}",
    ),
    (f"endpoints=[{PRODUCT.format('ragged.csv')}]", "ragged.csv:3 has 1 value, and the first line names 2 columns"),
    (
        "endpoints=[HOME], thresholds=['GET /a: p99 < 1s']",
        "the threshold 'GET /a: p99 < 1s' names no endpoint of the scenario; there are 'GET /'",
    ),
    (
        "endpoints=[HOME], thresholds='p99 < 1s'",
        "thresholds takes a list of strings like ['p99 < 250ms'], not 'p99 < 1s'",
    ),
    (
        "endpoints=[Endpoint('POST', '/in', json={}, data='a')]",
        "POST /in has json beside data or files; a request has one body",
    ),
    ("endpoints=[Endpoint('GET', '/', weight=0)]", "weight takes a number above 0, not 0"),
    ("endpoints=[Endpoint('GET', '/', weight=-1)]", "weight takes a number above 0, not -1"),
    ("endpoints=[Endpoint('GET', '/', check=200)]", "check takes a function of the reply, not 200"),
]
PLAN = """
from loadkit import *
HOME = Endpoint('GET', '/')
def nothing(): ...
def buy(http): ...
def of_user(http, user): ...
def of_row(http, row): ...
ok = Scenario(base_url='http://127.0.0.1:9', {})
"""


@pytest.mark.parametrize(("fields", "message"), SCENARIOS, ids=[row[0] for row in SCENARIOS])
def test_a_mistake_in_a_scenario_is_answered_in_a_line(fields: str, message: str, call: Call, project: Path):
    (project / "nothing_in_it.csv").mkdir()
    (project / "shop.py").write_text(PLAN.format(fields).lstrip())

    done = call("shop.py")

    # what is in the file of data is read when the run starts, and has a place of its own
    place = "" if "feed=" in fields else "shop.py:7: "
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"loadkit: {place}{message.replace('FOLDER', str(project))}\n"


@pytest.mark.parametrize("words", [["run", "nothing_in_it"], ["none.py"], ["guarded.py"]], ids=" ".join)
def test_where_there_is_no_scenario_the_right_form_is_shown(words: list[str], call: Call):
    done = call(*words)

    assert (done.returncode, done.stdout) == (5, "")
    right = f"there is no scenario in {words[-1]}; a scenario is a variable like shop = Scenario(…)"
    assert done.stderr == f"loadkit: {right}\n"


UNDERSTOOD = [
    ["ok.py"],
    [URL],
    [URL, "-n", "200", "-c", "10"],
    [URL, "-m", "POST", "-d", "{}", "-T", "application/json"],
    [URL, "-X", "POST"],
    [URL, "--vus", "10"],
    [URL, "--users", "10"],
    ["ok.py", "--host", "http://127.0.0.1:9"],
    ["bare.py"],
]


@pytest.mark.parametrize("words", UNDERSTOOD, ids=" ".join)
def test_what_can_mean_one_thing_only_is_understood(words: list[str], call: Call, project: Path):
    (project / "bare.py").write_text(PLAN.format("endpoints=HOME"))

    done = call(*words, "-o", "nodir/x.json")

    # which is the last thing that is looked at before the first request
    assert done.stderr == "loadkit: cannot write nodir/x.json: no such file or directory\n"


def test_what_a_journey_did_wrong_is_shown_with_its_line(call: Call, project: Path):
    code = """
        from loadkit import Scenario
        def buy(http):
            basket = {}
            basket["tea"]
        ok = Scenario(base_url="http://127.0.0.1:9", endpoints=[buy], iterations=3)
    """
    # Python keeps the lines of a file by its name
    (project / "basket.py").write_text(textwrap.dedent(code))

    done = call("basket.py")

    assert done.returncode == 1
    assert "KeyError 'tea' at basket.py:5 in buy: basket[\"tea\"]" in " ".join(done.stdout.split())
