"""requests' own tests, run with its session and with ours: what passes with theirs passes with ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import requests

NEEDED = ("pytest-httpbin==2.1.0", "httpbin~=0.10.0", "pytest-mock", "PySocks", "trustme")

# these look for hosts beyond this machine
ELSEWHERE = ("test_connect_timeout", "test_total_timeout_connect", "test_errors", "test_proxy_error")

POOLS = "counts the pools of urllib3, which our connections are not in"
EXCEPTIONS = {
    "test_different_connection_pool_for_tls_settings_verify_True": POOLS,
    "test_different_connection_pool_for_tls_settings_verify_bundle_expired_cert": POOLS,
    "test_different_connection_pool_for_tls_settings_verify_bundle_unexpired_cert": POOLS,
    "test_chunked_encoding_error": "a head that is cut is a ConnectionError; requests takes what there is of it",
}
"""The tests that pass with theirs and need not with ours, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of a run: each test's outcome, exchanges that were observed, those that went through urllib3."""

    outcomes: dict[str, str]
    exchanges: int
    urllib3: int


def pip(*words: str) -> None:
    """Run pip, which may be outside of the environment; skips the test if it cannot do what it is asked."""
    pythons = [sys.executable, *(found for name in ("python3", "python") if (found := shutil.which(name)))]
    for python in pythons:
        if not subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
            done = subprocess.run([python, "-m", "pip", *words], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"pip cannot: {done.stderr.strip()[-300:]}")
            return
    pytest.skip("there is no pip")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of the requests that is installed, and what its tests need beside it."""
    folder = tmp_path_factory.mktemp("requests")
    version = requests.__version__
    pip("download", "--no-deps", "--no-binary", "requests", "--dest", str(folder), f"requests=={version}")
    pip("install", "--quiet", "--target", str(folder / "needed"), *NEEDED)
    with tarfile.open(folder / f"requests-{version}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"requests-{version}"


def start(sources: Path, session: str) -> subprocess.Popen[str]:
    """Run the tests with one of the sessions."""
    needed = sources.parent / "needed"
    # our own environment comes first, so that it is this requests and this pytest
    packages = [str(Path(requests.__file__).parents[1]), str(needed), str(Path(__file__).parent)]
    results = sources.parent / session
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | {
        "PYTHONPATH": os.pathsep.join(packages),
        "SUITE_SESSION": session,
        "SUITE_COUNTS": f"{results}.json",
    }
    options = ["-q", "--tb=no", "-p", "suite_plugin", "-p", "no:cacheprovider", f"--junitxml={results}.xml"]
    # the tests of their test server have no session, and wait for half a minute
    left_out = ["--ignore=tests/test_testserver.py", "-k", " and ".join(f"not {name}" for name in ELSEWHERE)]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *left_out, "tests"],
        cwd=sources,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(sources: Path, session: str, process: subprocess.Popen[str]) -> Ran:
    """What came of it."""
    output, _ = process.communicate(timeout=500)
    assert process.returncode in (0, 1), output[-3000:]
    cases = ET.parse(sources.parent / f"{session}.xml").iter("testcase")
    outcomes = {
        f"{case.get('classname')}::{case.get('name')}": next((child.tag for child in case), "passed") for case in cases
    }
    counts = json.loads((sources.parent / f"{session}.json").read_text())
    return Ran(outcomes=outcomes, exchanges=counts["exchanges"], urllib3=counts["urllib3"])


def function(name: str) -> str:
    """The function of a test, without its class and parameters."""
    return name.rpartition("::")[2].partition("[")[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_passes_with_their_session_passes_with_ours(sources: Path, record_property):
    # for most of the time they wait
    started = [(session, start(sources, session)) for session in ("requests", "loadkit")]
    theirs, ours = (ended(sources, *one) for one in started)

    worse = {name for name, outcome in theirs.outcomes.items() if outcome == "passed" != ours.outcomes.get(name)}
    unexplained = {name for name in worse if function(name) not in EXCEPTIONS}
    over_the_wire = 1 - ours.urllib3 / ours.exchanges
    record_property("over_the_wire", f"{over_the_wire:.1%} of {ours.exchanges}")
    print(f"{len(theirs.outcomes)} tests; {over_the_wire:.1%} of {ours.exchanges} requests over our wire")

    assert theirs.exchanges == 0
    assert len(theirs.outcomes) > 300
    assert ours.exchanges > 200
    assert not unexplained
    assert over_the_wire >= 0.85
