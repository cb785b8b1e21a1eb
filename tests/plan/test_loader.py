"""What users name on the command line, and the mistakes they make in scenario files."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from loadkit import NothingToRun, UsageError
from loadkit.plan.loader import load

SHOP = '''
"""Shoppers on a quiet morning."""
from loadkit import Endpoint, Scenario

home = Endpoint("GET", "/")
browse = Scenario(base_url="http://127.0.0.1:1", endpoints=[home])
rush_hour = browse.replace(threads=64)
_private = browse.replace(threads=1)
same = browse
'''


@pytest.fixture
def write(tmp_path: Path):
    """A function that writes a scenario file and returns its path."""

    def write(text: str, name: str = "shop.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


def test_a_file_gives_its_scenarios_in_order_each_once_named_by_its_variable(write):
    scenarios = load(str(write(SHOP)))

    assert [(scenario.name, scenario.threads) for scenario in scenarios] == [("browse", 10), ("rush_hour", 64)]
    assert scenarios[0].description == "Shoppers on a quiet morning."


def test_a_name_behind_two_colons_chooses_one(write):
    assert [scenario.name for scenario in load(f"{write(SHOP)}::rush_hour")] == ["rush_hour"]


def test_a_folder_gives_the_scenarios_of_its_files_and_skips_the_rest(write, tmp_path: Path):
    write(SHOP, "a/shop.py")
    write("x = 1", "a/helpers.py")
    write("import sys; sys.exit('a script, not a scenario')", "a/script.py")
    write("raise SystemExit", "a/_hidden.py")
    write("raise SystemExit", ".venv/lib.py")

    assert [scenario.name for scenario in load(str(tmp_path))] == ["browse", "rush_hour"]


def test_what_is_no_file_in_a_folder_is_passed_over(write, tmp_path: Path):
    write(SHOP, "a/shop.py")
    (tmp_path / "package.py").mkdir()
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nowhere.py")
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")

    assert [scenario.name for scenario in load(str(tmp_path))] == ["browse", "rush_hour"]


def test_a_file_in_a_folder_that_cannot_be_read_is_named(tmp_path: Path):
    unreadable = Path("/proc/self/mem")  # even for root
    if not unreadable.exists():
        pytest.skip("no file here that nobody can read")
    (tmp_path / "shop.py").symlink_to(unreadable)

    with pytest.raises(UsageError, match=r"^cannot read .*shop\.py: input/output error$"):
        load(str(tmp_path))


def test_a_scenario_that_is_imported_belongs_to_the_other_file(write):
    write(SHOP, "shop_to_import.py")
    path = write("from shop_to_import import browse\nnight = browse.replace(threads=2)", "night.py")

    assert [scenario.name for scenario in load(str(path))] == ["night"]


def test_a_bare_url_is_a_scenario_of_one_request():
    (scenario,) = load("http://127.0.0.1:8000/health?token=secret")

    assert scenario.labels == ("GET /health",)
    assert scenario.base_url == "http://127.0.0.1:8000"
    assert scenario.endpoints[0].path == "/health?token=secret"
    assert scenario.name == "http://127.0.0.1:8000/health"


def test_asserts_in_a_scenario_file_show_their_values(write):
    path = write(
        """
        from loadkit import Endpoint, Scenario

        def is_tea(reply):
            assert reply["name"] == "tea"

        s = Scenario(endpoints=[Endpoint("GET", "http://127.0.0.1:1/", check=is_tea)])
        """
    )
    check = load(str(path))[0].endpoints[0].check
    assert check

    with pytest.raises(AssertionError, match=r"assert 'coffee' == 'tea'"):
        check({"name": "coffee"})


MISTAKES = [
    ("x = = 3", "{path}:1: invalid syntax: x = = 3"),
    (
        "from loadkit import *\ns = Scenario(endpoints=[], thread=4)",
        "{path}:2: Scenario has no 'thread'; did you mean threads?",
    ),
    ("import nowhere_to_be_found", "{path}:1: ModuleNotFoundError: No module named 'nowhere_to_be_found' at import"),
    ("import sys\n\nsys.exit(3)", "{path}:3: SystemExit: 3 at sys.exit(3)"),
    (
        "from loadkit import *\ns = Scenario(\n  threads=-3, endpoints=[Endpoint('GET', 'http://h/')])",
        "{path}:2: threads takes a whole number of at least 1, not -3",
    ),
    ("from loadkit import *\ne = Endpoint('FETCH', '/')", "{path}:2: 'FETCH' is not an HTTP method; use one of DELETE"),
    ("\0", "{path}: source code string cannot contain null bytes"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_in_a_file_is_told_in_one_line_with_its_place(write, text: str, message: str):
    path = write(text)

    with pytest.raises(UsageError) as caught:
        load(str(path))

    assert str(caught.value).startswith(message.format(path=path))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_tells_those_there_are(write):
    path = write(SHOP)

    with pytest.raises(UsageError, match=r"there is no scenario 'sale' in .*; it has browse, rush_hour"):
        load(f"{path}::sale")


def test_a_file_without_a_scenario_is_nothing_to_run(write):
    with pytest.raises(NothingToRun, match="there is no scenario in"):
        load(str(write("x = 1")))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.py", "there is no file or folder 'nowhere.py'"),
        (
            "localhost:8000/x",
            "there is no file or folder 'localhost:8000/x'; a URL has a scheme: 'http://localhost:8000/x'",
        ),
        ("ftp://host/", "target 'ftp://host/' has the scheme 'ftp'; loadkit speaks http, https, http+unix"),
        ("http://", "target 'http://' names no host; write it like 'http://127.0.0.1:8000/'"),
    ],
)
def test_a_target_that_is_none_says_what_one_looks_like(target: str, message: str):
    with pytest.raises(UsageError) as caught:
        load(target)

    assert str(caught.value) == message
