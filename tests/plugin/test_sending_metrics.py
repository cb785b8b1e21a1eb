"""`--load-otlp`: what load tests count goes to a collector of OpenTelemetry while each runs."""

from __future__ import annotations

import pytest

from loadkit.server.demo import Demo
from tests.plugin.conftest import Run

pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")

# imported here for good: a run within this process takes what it imports out again, and protobuf takes no type twice
import loadkit.jobs.otlp
from tests.otlp import Collector, collecting

pytest_plugins = "pytester"

assert loadkit.jobs.otlp


def sent(collector: Collector) -> dict[str | int, int]:
    """How many requests the collector has heard of each scenario."""
    found: dict[str | int, int] = {}
    for (metric, attributes), point in collector.points.series.items():
        if metric == "loadkit.requests":
            scenario = dict(attributes)["loadkit.scenario"]
            found[scenario] = found.get(scenario, 0) + point.as_int
    return found


@pytest.mark.parametrize("said", ["option", "setting"])
def test_each_load_of_a_session_sends_its_figures(
    run: Run, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, said: str
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret")
    with collecting() as collector:
        if said == "setting":
            project.makepyprojecttoml(f'[tool.pytest]\nload_otlp = "{collector.url}"')
        done = run(
            """
            def test_one(load):
                load(shop)

            def test_two(load):
                load(shop, iterations=7)

            def test_plain():
                pass
            """,
            *[f"--load-otlp={collector.url}"] * (said == "option"),
        )

    done.assert_outcomes(passed=3)
    assert sent(collector) == {"test_one": 40, "test_two": 7}
    assert {headers["api-key"] for headers in collector.headers} == {"s3cret"}
    assert set(collector.paths) == {"/v1/metrics"}


def test_so_do_scenarios_and_tests_under_load(project: pytest.Pytester, demo: Demo):
    project.path.joinpath("scenario_shop.py").write_text(
        "from loadkit import Endpoint, Scenario\n"
        f"shop = Scenario(endpoints=[Endpoint('GET', '{demo.url}/')], iterations=5)\n"
    )
    project.makepyfile(test_it=f"import requests\n\ndef test_it(): assert requests.get('{demo.url}/').ok")
    with collecting() as collector:
        option = f"--load-otlp={collector.url}"
        project.runpytest_inprocess("scenario_shop.py", option).assert_outcomes(passed=1)
        under_load = project.runpytest_inprocess("test_it.py", option, "--load-threads=1", "--load-iterations=3")

    under_load.assert_outcomes(passed=1)
    assert sent(collector) == {"shop": 5, "tests under load": 3}


def test_what_a_collector_lacks_is_said_and_fails_nothing(run: Run):
    with collecting(lambda _: (503, b"")) as collector:
        done = run("def test_it(load):\n    load(shop)\n", f"--load-otlp={collector.url}")

    assert done.ret == pytest.ExitCode.OK
    text = " ".join(done.stdout.str().split())
    assert f"- otlp: 40 of 40 requests did not get to the collector {collector.url}/v1/metrics: status 503" in text


@pytest.mark.parametrize("url", ["127.0.0.1:4318", "grpc://127.0.0.1:4317"])
def test_what_is_no_url_of_a_collector_is_told_before_anything_runs(run: Run, url: str):
    done = run("def test_it(load):\n    load(shop)\n", f"--load-otlp={url}")

    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: --load-otlp '{url}' has *"])
