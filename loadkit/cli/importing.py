"""`loadkit import` on the command line."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import unquote, urlsplit

import typer

from loadkit.cli.console import check_file, print_text, say, write
from loadkit.cli.options import output_option
from loadkit.cli.parser import argument, given_values, option
from loadkit.plan.errors import NothingToRun, UsageError, reason_of

if TYPE_CHECKING:
    from loadkit.importer.scenario_file import ScenarioFile
    from loadkit.plan.scenario import Scenario

har_option = partial(option, group="HAR")
openapi_option = partial(option, group="OpenAPI")
log_option = partial(option, group="Log")
both_option = partial(option, group="OpenAPI and log")

KINDS: Final = ("har", "openapi", "curl", "log")

_OF_KINDS: Final = {
    "host": ("har",),
    "static": ("har",),
    "no_pauses": ("har",),
    "value": ("openapi",),
    "base_url": ("openapi", "log"),
    "all_methods": ("openapi", "log"),
    "log_format": ("log",),
}
"""What the options are for that are not for all."""

_FLAGS: Final = frozenset({"--follow", "--path-as-is", "--insecure"})
"""Options of a curl command that have no value."""


def import_file(
    context: typer.Context,
    kind: Annotated[str, argument("What FILE is: har, openapi, curl, log.")],
    file: Annotated[str, argument("The file; of curl also the command, in quotes, or - for what is piped.")],
    output: Annotated[
        Path | None, output_option("--output", "-o", value="FILE", help="Where to: shop.py, or - for stdout.")
    ] = None,
    host: Annotated[
        list[str] | None, har_option(value="NAME", help="Keep requests to this host, too; may be repeated.")
    ] = None,
    base_url: Annotated[
        str | None, both_option(value="URL", help="Of the server, in the place of the document's.")
    ] = None,
    value: Annotated[
        list[str] | None,
        openapi_option(value="NAME=VALUE", help="For a parameter without an example; may be repeated."),
    ] = None,
    all_methods: Annotated[
        bool, both_option("--all-methods", help="Also POST and others, which may change something.")
    ] = False,
    log_format: Annotated[
        str | None, log_option(help="As nginx or Apache is told; combined and common are known.")
    ] = None,
    no_pauses: Annotated[bool, har_option("--no-pauses", help="Leave the pauses out.")] = False,
    static: Annotated[bool, har_option("--static", help="Keep images, scripts, styles and fonts.")] = False,
    force: Annotated[bool, output_option("--force", help="Write over a file that exists.")] = False,
) -> int:
    """Write a scenario file from what other tools have: loadkit import curl commands.txt -o shop.py.

    Secrets are not written: the file takes them from the environment.
    """
    from loadkit.importer.source import identifier

    if kind not in KINDS:
        raise UsageError(f"there is no import of {kind!r}; it is one of {', '.join(KINDS)}")
    if wrong := [one for one in given_values(context) if kind not in _OF_KINDS.get(one, KINDS)]:
        kinds = " and ".join(_OF_KINDS[wrong[0]])
        raise UsageError(f"--{wrong[0].replace('_', '-')} is for {kinds}, not for {kind}; leave it out")
    target = output or Path(f"{identifier(_stem(file), otherwise='scenario')}.py")
    is_printed = str(target) == "-"
    if not is_printed and target.suffix != ".py":
        raise UsageError(f"a scenario file is Python, and {target} is not called so; write it like -o shop.py")
    if not is_printed and target.exists() and not force:
        raise UsageError(f"{target} is there already; --force writes over it, -o names another file")
    check_file("--output", None if is_printed else target)
    name = identifier("shop" if is_printed else target.stem, otherwise="scenario")
    if kind == "har":
        found = _of_har(name, file, hosts=host or [], static=static, has_pauses=not no_pauses)
    elif kind == "openapi":
        found = _of_openapi(name, file, base_url=base_url, values=value or [], all_methods=all_methods)
    elif kind == "log":
        found = _of_log(name, file, base_url=base_url, log_format=log_format, all_methods=all_methods)
    else:
        found = _of_curl(name, file)
    if is_printed:
        return print_text(found.text.rstrip("\n"))
    fault = write(target, found.text)
    if not fault:
        url = " --base-url URL" if found.needs_base_url else ""
        say("\n  ".join([f"wrote {target}", *found.notes, f"next: loadkit {target} --once{url}"]))
    return fault


def _stem(file: str) -> str:
    """What a file is called without its ending; of a command in its place `scenario`."""
    return "scenario" if file == "-" or file.lstrip().startswith("curl ") else Path(file).stem


def _of_curl(name: str, file: str) -> ScenarioFile:
    from loadkit.importer.curl import curl_commands, curl_scenario

    text = file if file.lstrip().startswith("curl ") else _content(file)
    scenarios = [_scenario(words) for words in curl_commands(text)]
    return curl_scenario(name, scenarios, source="a curl command" if len(scenarios) == 1 else "curl commands")


def _of_har(name: str, file: str, *, hosts: list[str], static: bool, has_pauses: bool) -> ScenarioFile:
    from loadkit.importer.har import read_har
    from loadkit.importer.journey import journey_file
    from loadkit.importer.kept import select

    selection = select(read_har(Path(file)), hosts=hosts, static=static)
    if not selection.kept:
        left = "".join(f"; left out: {one}" for one in selection.left_out)
        raise NothingToRun(f"there is no request in {file!r} that a load would make{left}")
    return journey_file(name, selection, source=Path(file).name, has_pauses=has_pauses)


def _of_openapi(name: str, file: str, *, base_url: str | None, values: list[str], all_methods: bool) -> ScenarioFile:
    from loadkit.importer.document import read_document
    from loadkit.importer.openapi import openapi_scenario
    from loadkit.plan.scenario_fields import parse_base_url

    pairs = [one.partition("=") for one in values]
    if wrong := next((one for one, (_, equals, _) in zip(values, pairs, strict=True) if not equals), None):
        raise UsageError(f"--value takes a name and a value like item_id=7, not {wrong!r}")
    return openapi_scenario(
        name,
        read_document(Path(file)),
        source=Path(file).name,
        base_url=parse_base_url(base_url, what="--base-url") if base_url else None,
        values={parameter: value for parameter, _, value in pairs},
        all_methods=all_methods,
    )


def _of_log(name: str, file: str, *, base_url: str | None, log_format: str | None, all_methods: bool) -> ScenarioFile:
    from loadkit.importer.access_log import log_parser
    from loadkit.importer.log_scenario import log_scenario
    from loadkit.plan.scenario_fields import parse_base_url

    base_url = parse_base_url(base_url, what="--base-url") if base_url else None
    return log_scenario(name, [Path(file)], log_parser(log_format), base_url=base_url, all_methods=all_methods)


def _content(file: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return content.decode()
    except OSError as error:
        raise UsageError(f"cannot read {file!r}: {reason_of(error)}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file!r} is not text") from None


def _scenario(words: list[str]) -> Scenario:
    """The request of a curl command, as `loadkit curl` would send it."""
    from loadkit.cli.curl import run_words
    from loadkit.cli.options import read_header
    from loadkit.cli.request import RequestOptions
    from loadkit.importer.scenario_file import in_endpoint
    from loadkit.plan.endpoint import Endpoint
    from loadkit.plan.scenario import Scenario

    url, *rest = run_words(words)
    parts = urlsplit(url)
    given: dict[str, list[str]] = {}
    if parts.username is not None:
        # it is a secret, and not of the URL
        given["--user"] = [f"{unquote(parts.username)}:{unquote(parts.password or '')}"]
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    options = iter(rest)
    for name in options:
        given.setdefault(name, []).append("" if name in _FLAGS else next(options))
    last = {name: values[-1] for name, values in given.items()}
    request = RequestOptions(
        method=last.get("--method"),
        data=given.get("--data"),
        json=last.get("--json"),
        form=given.get("--form"),
        user=last.get("--user"),
        follow="--follow" in given,
        path_as_is="--path-as-is" in given,
    )
    # braces are text here, and no placeholders
    headers = in_endpoint(dict(map(read_header, given.get("--header", []))))
    timeout = last.get("--timeout")
    plain = Scenario(
        endpoints=[Endpoint("GET", in_endpoint(url), timeout=timeout)], ca=last.get("--ca"), cert=last.get("--cert")
    )
    applied = request.applied(plain.replace(verify="--insecure" not in given), headers)
    (endpoint,) = applied.endpoints
    assert isinstance(endpoint, Endpoint)
    return applied.replace(endpoints=[endpoint.replace(headers={**endpoint.headers, **headers})])
