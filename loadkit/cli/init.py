"""`loadkit init` on the command line: the first files of a project's load tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from loadkit.cli.console import say, write
from loadkit.cli.parser import option
from loadkit.plan.errors import UsageError, reason_of

SCENARIO: Final = '''\
"""What is measured. `loadkit load/home.py --once` tries it, `loadkit load/home.py` runs it."""

from loadkit import Endpoint, Scenario

home = Scenario(
    {target},
    endpoints=[
        Endpoint("GET", "/"),
        # Endpoint("GET", "/search", params={{"q": "tea"}}, weight=3),
        # Endpoint("POST", "/orders", json={{"sku": "tea"}}, expect=201),
    ],
    threads=8,
    duration="10s",
    thresholds=["p99 < 500ms", "error_rate < 1%"],
)
'''

TEST: Final = '''\
"""Performance asserted where the other tests are: `pytest load`."""


def test_the_home_page_stays_fast(load):
    result = load("load/home.py::home")
    assert result.p99 < 0.5  # seconds
    assert result.error_rate < 0.01
'''

GITHUB: Final = """\
name: load
on: [pull_request]
jobs:
  load:
    runs-on: ubuntu-latest
    timeout-minutes: 15
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.13"
      - run: python -m pip install pytest-loadkit{install}
      - run: python -m pytest load --load-only --load-json load-results --load-html load-results/load.html
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: load-results
          path: load-results
"""

GITLAB: Final = """\
load:
  image: python:3.13
  timeout: 15 minutes
  rules:
    - if: $CI_MERGE_REQUEST_TARGET_BRANCH_NAME
  # one at a time: two jobs on one runner would measure each other
  resource_group: load
  script:
    - python -m pip install pytest-loadkit{install}
    - python -m pytest load --load-only --load-json load-results --load-html load-results/load.html
  artifacts:
    when: always
    paths: [load-results]
"""

JOBS: Final = {"github": (Path(".github/workflows/load.yml"), GITHUB), "gitlab": (Path("load/gitlab-ci.yml"), GITLAB)}
"""Of each service where its job is, and what it says."""


def init(
    app: Annotated[str | None, option(help="Your application, shop.app:app: loadkit starts it.")] = None,
    base_url: Annotated[str | None, option("--base-url", value="URL", help="Where it runs, if you start it.")] = None,
    ci: Annotated[str, option("--ci", help="The CI job: github, gitlab or none.")] = "",
    force: Annotated[bool, option("--force", help="Write over files that exist.")] = False,
) -> int:
    """A scenario, a test and a CI job to begin with, in the folder load/."""
    files = _files(app, base_url, ci or _service())
    if (known := [str(path) for path in files if path.exists()]) and not force:
        raise UsageError(f"{', '.join(known)} is there already; --force writes over what is there")
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {str(path.parent)!r}: {reason_of(error)}") from None
        if fault := write(path, text):
            return fault
    say("\n".join([*(f"wrote {path}" for path in files), *_next_steps(ci or _service())]))
    return 0


def _service() -> str:
    """The service whose jobs the project has already, or GitHub."""
    return "gitlab" if Path(".gitlab-ci.yml").exists() else "github"


def _files(app: str | None, base_url: str | None, ci: str) -> dict[Path, str]:
    from urllib.parse import urlsplit

    from loadkit.plan.urls import check_url

    if app and base_url:
        raise UsageError("--app is started by loadkit and --base-url runs already; write one of them")
    if app and ":" not in app:
        raise UsageError(f"--app takes an application by its module and name, like shop.app:app, not {app!r}")
    if ci not in (*JOBS, "none"):
        raise UsageError(f"--ci is github, gitlab or none, not {ci!r}")
    url = base_url or "http://127.0.0.1:8000"
    if "@" in urlsplit(check_url(url, what="--base-url")).netloc:
        raise UsageError("--base-url would put its password into a file; leave it out, and set LOADKIT_BASE_URL to it")
    target = f"server={_quoted(app)}" if app else f"base_url={_quoted(url)}"
    made = {Path("load/home.py"): SCENARIO.format(target=target), Path("load/test_load.py"): TEST}
    if ci in JOBS:
        path, job = JOBS[ci]
        made[path] = job.format(install=" -e ." if app and Path("pyproject.toml").exists() else "")
    return made


def _quoted(text: str) -> str:
    import json

    return json.dumps(text)


def _next_steps(ci: str) -> list[str]:
    steps = ["next: loadkit load/home.py --once", "      pytest load"]
    return [*steps, "      in .gitlab-ci.yml: include: load/gitlab-ci.yml"] if ci == "gitlab" else steps
