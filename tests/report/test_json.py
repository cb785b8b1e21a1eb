"""The stored result: one schema, written whole or not at all, read with its laws checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from loadkit.jobs.stored import compare_stored
from loadkit.judge.bottleneck import Bottleneck
from loadkit.judge.limit.limit import Limit
from loadkit.judge.merge import merge
from loadkit.judge.result import Result
from loadkit.judge.rows import Phase
from loadkit.judge.validity import Caveat
from loadkit.plan.errors import UsageError
from loadkit.report.json import (
    COMPARISON_SCHEMA_FILE,
    LIMIT_SCHEMA_FILE,
    SCHEMA_FILE,
    comparison_schema,
    document,
    dump,
    limit_schema,
    load,
    load_stored,
    schema,
)
from tests.jobs.rounds import measured as measured_rounds
from tests.report.limits import SCALING, hostile_limit, searched_by_rate, searched_by_threads
from tests.report.pages import HOSTILE
from tests.results import REFUSED, Sample, measured

FULL = measured(
    [Sample(), Sample(1, label="b", status=404), Sample(2, failure=REFUSED)],
    thresholds=("p99 < 1s", "a: failures < 9"),
    scenario={"description": "Größe <b>\u2028\x1b", "options": {"deep": [1, {"x": None}]}},
    caveats=[Caveat(code="busy", message="99%")],
)
FULL = msgspec.structs.replace(FULL, phases=[Phase(name="ramp", start=0.0, length=2.0, total=FULL.total)])
EMPTY = measured([])


def stored(path: Path, results: list[Result], **changes: Any) -> Path:
    """A file of results, with fields of the first changed."""
    content = json.loads(dump(results))
    content["results"][0].update(changes)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


# -- schema


@pytest.mark.parametrize(
    ("file", "made", "module"),
    [
        (SCHEMA_FILE, schema, "loadkit/judge/result.py"),
        (COMPARISON_SCHEMA_FILE, comparison_schema, "loadkit/judge/comparison/comparison.py"),
        (LIMIT_SCHEMA_FILE, limit_schema, "loadkit/judge/limit/limit.py"),
    ],
    ids=["result", "comparison", "limit"],
)
def test_the_schema_in_the_package_is_the_one_of_the_code(
    file: Path, made: Callable[[], dict[str, Any]], module: str
) -> None:
    assert json.loads(file.read_text(encoding="utf-8")) == made(), (
        f"loadkit/report/{file.name} is stale. If the change is compatible, write it anew:\n"
        f"  python -c 'import json; from loadkit.report.json import *; print(json.dumps({made.__name__}(), indent=1))' "
        f"> loadkit/report/{file.name}\n"
        f"If an old file cannot be read any more, raise VERSION in {module} as well."
    )


def test_stored_results_are_valid_by_the_schema() -> None:
    jsonschema.validate(json.loads(dump([FULL, EMPTY, merge([FULL, FULL])])), schema())


@pytest.mark.parametrize(
    "content",
    [
        *(
            {"outcome": "fine"},
            {"total": {}},
            {"duration": "2"},
            {"endpoints": {}},
            {"started_at": None},
            {"spans": {}},
        ),
        *({"version": 1, "results": []}, {"version": 2}, [], {"results": []}),
    ],
)
def test_what_is_no_file_of_results_is_not_valid(content: Any) -> None:
    sound = json.loads(dump([FULL]))["results"][0]
    if isinstance(content, dict) and content.keys() <= sound.keys():
        content = {"version": 2, "results": [sound | content]}
    assert not jsonschema.Draft202012Validator(schema()).is_valid(content)


@pytest.mark.parametrize("made", [schema, comparison_schema, limit_schema])
def test_every_part_of_the_schema_is_explained(made: Callable[[], dict[str, Any]]) -> None:
    silent = [name for name, part in made()["$defs"].items() if not part.get("description", "").strip()]
    assert silent == []


# -- there and back


@pytest.mark.parametrize("results", [[FULL], [EMPTY], [FULL, EMPTY, FULL]])
def test_what_is_stored_is_read_back_equal_and_has_one_shape(tmp_path: Path, results: list[Result]) -> None:
    (tmp_path / "r.json").write_text(dump(results), encoding="utf-8")
    content = json.loads(dump(results))
    assert load(tmp_path / "r.json") == results
    assert (set(content), content["version"], len(content["results"])) == ({"version", "results"}, 2, len(results))


def test_a_stored_result_is_text_that_can_be_compared_line_by_line() -> None:
    text = dump([FULL])
    assert text.startswith('{\n "version": 2,\n "results": [\n  {\n   "identity": {\n    "name": "shop.py::browse",')
    assert text.endswith("}\n")


def test_a_field_of_a_later_loadkit_is_passed_over(tmp_path: Path) -> None:
    assert load(stored(tmp_path / "r.json", [FULL], mood="sunny")) == [FULL]


# -- what cannot be read


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Input data was truncated"),
        (b"garbage", "JSON is malformed: invalid character (byte 0)"),
        (b'{"version": 2', "Input data was truncated"),
        (b"\xff\xfe", "JSON is malformed: invalid character (byte 0)"),
        (b"{}", "Object missing required field `version`"),
        (b'{"version": "1"}', "Expected `int`, got `str` - at `$.version`"),
        (b"5", "Expected `object | array`, got `int`"),
        (b'{"version": 2}', "Object missing required field `results`"),
        (b'{"version": 2, "results": [5]}', "Expected `object`, got `int` - at `$.results[0]`"),
        (b"[5]", "Expected `object`, got `int` - at `$[0]`"),
    ],
)
def test_a_file_that_is_no_result_is_said_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert str(caught.value) == f"{path} is not a loadkit result of version 2: {reason}"


def test_a_file_of_endless_depth_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(b'{"version": 2, "results": [{"scenario": {"options": {"x": ' + b"[" * 100_000)
    with pytest.raises(UsageError, match="is not a loadkit result of version 2: "):
        load(path)


@pytest.mark.parametrize(
    ("version", "hint"),
    [(3, "a newer loadkit wrote it; read it with that one"), (0, "measure again")],
)
@pytest.mark.parametrize(
    "shape", ['{"version": %s, "results": "of another shape"}', '[{"version": 1}, {"version": %s}]']
)
def test_a_result_of_another_version_says_so(tmp_path: Path, version: int, hint: str, shape: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(shape % version)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert str(caught.value) == (f"{path} is a result of version {version}, and this loadkit reads version 2; {hint}")


@pytest.mark.parametrize("content", ['{"version": 2, "results": []}', "[]"])
def test_a_file_of_no_results_says_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"r\.json holds no result$"):
        load(tmp_path / "r.json")


# -- names that fields had at first


def test_a_file_with_the_names_that_fields_had_at_first_is_read(tmp_path: Path) -> None:
    doubtful = measured(
        [Sample()],
        scenario={"name": "verdict"},
        caveats=[Caveat(code="late", message="m")],
        bottleneck=Bottleneck("server", "Bound by the server."),
    )
    doubtful = merge([doubtful, doubtful])
    content = json.loads(dump([doubtful]))
    [old] = content["results"]
    old["verdict"] = old.pop("validity")
    for part in (old, *old["spans"]):
        found = part.pop("bottleneck")
        part.update({"bound_by": found["cause"], "bound": found["sentence"]} if found else {})
    (tmp_path / "r.json").write_text(json.dumps(content))
    assert load(tmp_path / "r.json") == [doubtful]
    assert doubtful.validity == "doubtful"


@pytest.mark.parametrize("content", [{"results": [5]}, {"results": "verdict"}, {"verdict": 1}])
def test_what_is_no_result_is_said_of_such_a_file_too(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"version": 2, "also": "verdict"} | content))
    with pytest.raises(UsageError, match=r"r\.json is not a loadkit result of version 2: "):
        load(tmp_path / "r.json")


# -- version 1

VERSION_1 = Path(__file__).with_name("version_1")
"""A result and a baseline of two runs of a test, as loadkit stored them then."""


def test_a_result_of_version_1_is_read(tmp_path: Path) -> None:
    old = json.loads((VERSION_1 / "result.json").read_text())
    [read] = load(VERSION_1 / "result.json")
    assert (read.requests, read.duration, read.started_at) == (20, old["duration"], old["started_at"])
    assert (read.identity.name, len(read.identity.plan)) == ("quick", 16)
    assert [(span.start, span.length) for span in read.spans] == [(read.started_at, read.duration)]
    assert [one.measured for one in read.intervals] == [read.duration]
    (tmp_path / "new.json").write_text(dump([read]), encoding="utf-8")
    assert load(tmp_path / "new.json") == [read]
    assert read.validity == old["verdict"] == "doubtful"


def test_several_of_version_1_are_read_and_those_of_one_load_are_known_again(tmp_path: Path) -> None:
    old = json.loads((VERSION_1 / "result.json").read_text())
    elsewhere = old | {"outcome": "not_applied", "scenario": old["scenario"] | {"base_url": "http://h/"}}
    other = old | {"scenario": old["scenario"] | {"threads": 3}}
    (tmp_path / "r.json").write_text(json.dumps([old, elsewhere, other]))
    one, two, three = load(tmp_path / "r.json")
    assert one.identity == two.identity != three.identity
    assert [result.outcome for result in (one, two, three)] == ["passed", "not-applied", "passed"]


def test_a_baseline_of_version_1_is_read() -> None:
    found = load(VERSION_1 / "baseline.json")
    old = json.loads((VERSION_1 / "baseline.json").read_text())["tests"]["test_shop.py::test_quick"]
    assert [one.identity.name for one in found] == ["test_shop.py::test_quick", "test_shop.py::test_quick #2"]
    for one in found:
        assert (one.environment.host, one.environment.allowed_cpus, one.environment.memory) == (
            *(old["machine"][name] for name in ("host", "cpu_count", "memory")),
        )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"version": 1}, "Object missing required field `identity` - at `$[0]`"),
        ([{"version": 1, "scenario": {}, "started_at": "x", "duration": 1, "intervals": 5}], "TypeError: "),
        ([{"version": 1, "scenario": {}, "started_at": "x", "duration": 1, "thresholds": [5]}], "AttributeError: "),
        ({"version": 1, "tests": []}, "AttributeError: "),
        ({"version": 1, "tests": {"a": {"results": [{}]}}}, "KeyError: "),
        ({"version": 1, "tests": {"a": {"machine": {}, "results": [{}]}}}, "KeyError: "),
    ],
)
def test_what_is_no_result_of_version_1_is_said_in_one_line(tmp_path: Path, content: Any, reason: str) -> None:
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "r.json")
    assert str(caught.value).startswith(f"{tmp_path / 'r.json'} is not a loadkit result of version 1: {reason}")
    assert "\n" not in str(caught.value)


def test_a_result_that_does_not_add_up_says_where(tmp_path: Path) -> None:
    path = stored(tmp_path / "r.json", [FULL, FULL], endpoints=[])
    with pytest.raises(UsageError) as caught:
        load(path)
    assert str(caught.value) == (f"{path} is not a sound result: the total has 3 requests and its endpoints have 0")


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    for path, why in (
        (missing, f"cannot read {missing}: no such file or directory"),
        (tmp_path, f"{tmp_path} is a folder; name its files, like {tmp_path}/*.json"),
    ):
        with pytest.raises(UsageError) as caught:
            load(path)
        assert str(caught.value) == why


# -- comparisons

COMPARED = compare_stored(measured_rounds(), measured_rounds(1.3, environment={"processor": "Xeon"}))


def test_a_stored_comparison_is_valid_by_the_schema_and_read_as_it_was(tmp_path: Path) -> None:
    content = msgspec.json.encode(COMPARED)
    jsonschema.Draft202012Validator.check_schema(comparison_schema())
    jsonschema.validate(json.loads(content), comparison_schema())
    file = tmp_path / "found.json"
    file.write_bytes(content)
    assert load_stored(file) == COMPARED


FOREIGN: list[tuple[dict[str, Any], str]] = [
    ({"version": 2}, "is a comparison of version 2, and this loadkit reads version 1; a newer loadkit wrote it; read"),
    ({"verdict": "fine"}, "is not a loadkit comparison of version 1: Invalid enum value 'fine' - at `$.verdict`"),
    (
        {"rounds": [{"version": "new", "block": 0, "figures": {"p50": -1.0}}]},
        "is not a loadkit comparison of version 1: Expected `float` >= 0.0 - at `$.rounds[0].figures[...]`",
    ),
    (
        {"rounds": [{"version": "newer", "block": 0, "figures": {}}]},
        "is not a loadkit comparison of version 1: Invalid enum value 'newer' - at `$.rounds[0].version`",
    ),
    ({"changes": 7}, "is not a loadkit comparison of version 1: Expected `array`, got `int` - at `$.changes`"),
]


@pytest.mark.parametrize(("changes", "message"), FOREIGN, ids=[row[1] for row in FOREIGN])
def test_what_is_no_comparison_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = tmp_path / "found.json"
    file.write_text(json.dumps(json.loads(msgspec.json.encode(COMPARED)) | changes))
    with pytest.raises(UsageError) as raised:
        load_stored(file)
    assert str(raised.value).startswith(f"{file} {message}")


def test_a_comparison_is_no_result(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    file.write_bytes(msgspec.json.encode(COMPARED))
    with pytest.raises(UsageError, match=f"{file} is a comparison, and no result; loadkit report {file} shows it"):
        load(file)


# -- limits

LIMITS: dict[str, Callable[[], Limit]] = {
    "by rate": searched_by_rate,
    "by threads": searched_by_threads,
    "with a scalability law": lambda: SCALING,
    "of hostile names": lambda: hostile_limit(" ".join(HOSTILE)),
    "nothing measured": lambda: Limit(ending="interrupted", reason="it was interrupted"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_stored_limit_is_valid_by_the_schema_and_read_as_it_was(tmp_path: Path, name: str) -> None:
    found = LIMITS[name]()
    file = tmp_path / "limit.json"
    file.write_text(document(found), encoding="utf-8")

    jsonschema.Draft202012Validator.check_schema(limit_schema())
    jsonschema.validate(json.loads(file.read_text(encoding="utf-8")), limit_schema())
    assert load_stored(file) == found


NO_LIMITS: list[tuple[dict[str, Any], str]] = [
    ({"version": 2}, "is a limit of version 2, and this loadkit reads version 1; a newer loadkit wrote it; read"),
    ({"ending": "fine"}, "is not a loadkit limit of version 1: Invalid enum value 'fine' - at `$.ending`"),
    ({"confirmed": -5}, "is not a loadkit limit of version 1: Expected `float` >= 0.0 - at `$.confirmed`"),
    ({"levels": [{"level": 5}]}, "is not a loadkit limit of version 1: Object missing required field `holding` - at"),
    ({"thresholds": ["p99 < fast"]}, "is not a sound limit: cannot read the threshold 'p99 < fast'; write it like"),
    ({"confirmed": 9, "failed": 8}, "is not a sound limit: 9/s is confirmed, and 8/s is missed"),
    (
        {"scalability": json.loads(msgspec.json.encode(SCALING.scalability)) | {"curve": []}},
        "is not a loadkit limit of version 1: Expected `array` of length >= 2 - at `$.scalability.curve`",
    ),
    ({"seconds": 1e300}, "is not a loadkit limit of version 1: Expected `float` <= 1000000000000.0 - at `$.seconds`"),
    ({"thresholds": ["x" * 5_000]}, "is not a sound limit: cannot read the threshold 'xxx"),
]


@pytest.mark.parametrize(("changes", "message"), NO_LIMITS, ids=[row[1] for row in NO_LIMITS])
def test_what_is_no_limit_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = tmp_path / "limit.json"
    file.write_text(json.dumps(json.loads(document(searched_by_rate())) | changes))
    with pytest.raises(UsageError) as raised:
        load_stored(file)
    assert str(raised.value).startswith(f"{file} {message}")
    assert len(str(raised.value)) < 1_000


def test_a_limit_is_no_result(tmp_path: Path) -> None:
    file = tmp_path / "limit.json"
    file.write_text(document(searched_by_threads()))
    with pytest.raises(UsageError, match=f"{file} is a limit, and no result; loadkit report {file} shows it"):
        load(file)
