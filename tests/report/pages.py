"""Pages as parsed, results that say everything a result can, and hostile ones."""

from __future__ import annotations

from html.parser import HTMLParser

from loadkit.judge.bottleneck import Bottleneck
from loadkit.judge.description import PhasePlan
from loadkit.judge.environment import Server
from loadkit.judge.result import Result
from loadkit.judge.rows import Phase, Timing
from loadkit.judge.threshold_results import ThresholdResult
from loadkit.judge.validity import Caveat
from loadkit.report.html import html_report
from tests.report import shop
from tests.report.shop import HOME
from tests.results import example, interval, replace, result, row, skewed, times

SEARCH = replace(shop.SEARCH, failure_time=times((430, 301)))
TOTAL = row(
    "total",
    skewed(240, 99_001, spread=1.9),
    failures={"check": 301},
    failed_statuses={200: 301},
    examples=SEARCH.examples,
    service_time=skewed(230, 99_000, spread=1.9),
    lateness=times((1.4, 99_000)),
    failure_time=times((430, 301)),
    unsent=1_200,
)
SHOP = result(
    [HOME, SEARCH],
    TOTAL,
    outcome="failed",
    scenario={"rate": 3300.0, "arrivals": "poisson", "max_threads": 200, "seed": 7},
    thresholds=[
        ThresholdResult(threshold="p99 < 250ms", passed=True, value=0.0024, shown="2.4 ms"),
        ThresholdResult(threshold="GET /search: error_rate < 1%", passed=False, value=0.0119, shown="1.19 %"),
    ],
    caveats=[
        Caveat(code="generator-busy", message="loadkit itself used 87 % of a CPU"),
        Caveat(code="same-host", message="the target runs on this machine", level="note"),
    ],
    validity="doubtful",
    bottleneck=Bottleneck("generator", "Bound by the generator: it sent 3,300/s."),
    phases=[
        Phase(name="climb", start=0.0, length=10.0, total=replace(HOME, name="total")),
        Phase(name="stay", start=10.0, length=20.0, total=replace(SEARCH, name="total")),
    ],
    timings=[
        Timing(
            kind="journey",
            name="buy",
            count=41,
            throughput=1.33,
            error_rate=0.0,
            failures={},
            examples=[],
            drained=0,
            cut=0,
            response_time=skewed(5_000, 40, steps=20),
            service_time=skewed(5_000, 40, steps=20),
            failure_time=times(),
        )
    ],
    intervals=[
        replace(
            interval(k, skewed(240, 3_300, steps=20), failures=10),
            endpoints=[
                interval(k, skewed(180, 2_500, steps=20), name="GET /").total,
                interval(k, skewed(420, 800, steps=20), failures=10, name="GET /search").total,
            ],
        )
        for k in range(30)
    ],
    server=Server(cpu_seconds=12.0, peak_memory=64_000_000),
)


class Page(HTMLParser):
    """What a page consists of: its elements with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.words: dict[str, list[str]] = {}
        self.pieces: list[tuple[list[str], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.inside.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.inside, f"nothing is open that </{tag}> ends"
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        self.pieces.append((list(self.inside), data))
        for tag in self.inside:
            self.words.setdefault(tag, []).append(data)

    def text(self, tag: str) -> str:
        """All that is written within elements of a kind, with single blanks."""
        return " ".join(" ".join(self.words.get(tag, [])).split())

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.elements)


def page(*results: Result) -> Page:
    return Page(html_report(results))


NOTHING = result(
    [],
    row("total", times()),
    outcome="not-applied",
    validity="invalid",
    duration=0.0,
    caveats=[Caveat(code="nothing-sent", message="nothing was sent", level="grave")],
)
DOWN = result(
    [
        row(
            "GET /",
            times(),
            failures={"connect": 500},
            examples=[example("connect", "connection refused 127.0.0.1:9", 500, 0.0)],
            failure_time=times((90, 500)),
        )
    ],
    outcome="failed",
    intervals=[interval(k, times(), failures=50) for k in range(10)],
)


SCRIPT = "</script><script>document.title='owned'</script>"
HOSTILE = [
    SCRIPT,
    "\"'><img src=/leak onerror=document.title='owned'>",
    "</style><style>*{display:none}</style>",
    "<!--",
    "]]><svg onload=document.title='owned'>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;&#0;",
    "javascript:document.title='owned'",
]
ODD = "\x1b[2Jred\x00\x07\x85\u202etfel\u2066\u200f\u2028\ud800 לְהִתְרָאוֹת"


def hostile(text: str) -> Result:
    """A result that says it wherever a result can say anything."""
    endpoint = row(
        text,
        skewed(500, 3_000),
        failures={text: 3},
        failed_statuses={200: 3},
        examples=[example(text, f"first line {text}\n{text}", 3)],
        failure_time=times((900, 3)),
    )
    return replace(
        result(
            [endpoint, replace(endpoint, name=f"other {text}")],
            endpoint,
            scenario={
                "name": text,
                "description": text,
                "base_url": text,
                "think_time": text,
                "arrivals": text,
                "rate": 10.0,
                "options": {text: text},
                "phases": [PhasePlan(name=text, duration=1.0, start=0.0, end=1.0)] * 2,
            },
            environment=dict.fromkeys(("loadkit", "python", "system", "machine", "transport", "clock"), text),
            thresholds=[ThresholdResult(threshold=text, passed=False, value=None, shown=text, implied=True)],
            caveats=[Caveat(code=text, message=text, level="grave")],
            phases=[Phase(name=text, start=0.0, length=1.0, total=endpoint)] * 2,
            timings=[replace(SHOP.timings[0], name=text, failures={text: 1}, examples=[example(text, text)])],
            intervals=[
                replace(interval(k, endpoint.response_time), endpoints=[interval(k, times((500, 9)), name=text).total])
                for k in range(3)
            ],
            bottleneck=Bottleneck(sentence=text),
        ),
        started_at=text,
    )
