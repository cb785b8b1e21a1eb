"""A pasted curl command, as words of `loadkit run`."""

from __future__ import annotations

import getopt
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote_plus

from loadkit.cli.parser import Command, argument
from loadkit.plan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SAME: Final = {
    "-X": "--method",
    "--request": "--method",
    "-H": "--header",
    "--header": "--header",
    "-d": "--data",
    "--data": "--data",
    "--data-ascii": "--data",
    "--data-binary": "--data",
    "--json": "--json",
    "-F": "--form",
    "--form": "--form",
    "-u": "--user",
    "--user": "--user",
    "--cacert": "--ca",
    "-E": "--cert",
    "--cert": "--cert",
}
"""What curl calls so is an option of `loadkit run`, with a value."""
_OURS: Final = {
    "-c": "--threads",
    "-z": "--duration",
    "-n": "--iterations",
    "-r": "--rate",
    "-t": "--threshold",
    **{name: name for name in ("--threads", "--duration", "--iterations", "--rate", "--threshold")},
    **{name: name for name in ("--phase", "--warmup", "--processes", "--html")},
}
"""How it is sent; what curl means by the short ones makes no sense under load."""
_HEADERS: Final = {
    "-A": "User-Agent",
    "--user-agent": "User-Agent",
    "-e": "Referer",
    "--referer": "Referer",
    "-b": "Cookie",
    "--cookie": "Cookie",
}
_BARE: Final = {
    "-I": ["--method", "HEAD"],
    "--head": ["--method", "HEAD"],
    "-L": ["--follow"],
    "--location": ["--follow"],
    "--path-as-is": ["--path-as-is"],
    "-k": ["--insecure"],
    "--insecure": ["--insecure"],
}
_FLAGS: Final = "IkGLsSvif"
_LONG_FLAGS: Final = (
    *("silent", "show-error", "verbose", "include", "fail", "compressed", "http1.1", "location"),
    *("get", "head", "insecure", "path-as-is"),
)
_LONG: Final = ("data-raw=", "data-urlencode=", "max-time=", "connect-timeout=", "output=", "write-out=", "url=")


def run_pasted(
    words: Annotated[list[str], argument("What stood behind curl, and -c, -z, -n, -r, -t of loadkit run.")],
) -> int:
    """Send a pasted curl command under load: loadkit curl -X POST URL -d a=1 -c 10 -z 30s."""
    from loadkit.cli.run import run

    return Command("run", run).run(run_words(words))


def run_words(words: Sequence[str]) -> list[str]:
    """A curl command, without `curl`, as words behind `loadkit run`; `UsageError` for what is not sent so.

    What curl shows and where it puts it is left out.
    """
    with_value = {**_SAME, **_OURS, **_HEADERS}
    short = "".join(f"{option[1]}:" for option in [*with_value, "-o", "-w", "-m"] if option[1] != "-") + _FLAGS
    long = [f"{option[2:]}=" for option in with_value if option.startswith("--")]
    try:
        found, urls = getopt.gnu_getopt(words, short, [*long, *_LONG, *_LONG_FLAGS])
    except getopt.GetoptError as error:
        raise UsageError(f"loadkit curl: {error.msg}; leave it out, or write the request in a scenario file") from None
    urls += [value for option, value in found if option == "--url"]
    if len(urls) != 1:
        raise UsageError(f"loadkit curl takes one URL, and {len(urls)} are given; write it like curl -X POST URL -c 10")
    options = [option for option, _ in found]
    made = [word for option, value in found for word in _run_words(option, value)]
    url = urls[0] if "://" in urls[0] else f"http://{urls[0]}"
    return _with_query(url, made) if {"-G", "--get"} & {*options} else [url, *made]


def _run_words(option: str, value: str) -> list[str]:
    if ours := _SAME.get(option) or _OURS.get(option):
        return [ours, value]
    if name := _HEADERS.get(option):
        return ["--header", f"{name}: {value}"]
    if option == "--data-raw":
        if value.startswith("@") or value == "-":
            raise UsageError(f"loadkit curl cannot send the body {value!r} as it is; put it into a file: --data @FILE")
        return ["--data", value]
    if option == "--data-urlencode":
        name, equals, content = value.partition("=")
        return ["--data", f"{name}={quote_plus(content)}" if equals else quote_plus(value)]
    if option in ("-m", "--max-time"):
        return ["--timeout", f"{value}s"]
    return _BARE.get(option, [])


def _with_query(url: str, words: list[str]) -> list[str]:
    """The data as the query, as `curl -G` has it."""
    places = [k for k, word in enumerate(words) if word == "--data"]
    query = "&".join(words[k + 1] for k in places)
    others = [word for k, word in enumerate(words) if k not in places and k - 1 not in places]
    return [f"{url}{'&' if '?' in url else '?'}{query}", *others]
