"""Whoever leaves a fetch before its end, in whatever way, ends it soon; the rest can be fetched later."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from loadkit import FetchReply, FetchResult, fetch
from tests.fetcher.conftest import Call, Site, body_of, contents, manifest

COUNT = 100

LOOP = """
import sys
from loadkit import FetchReply, FetchResult, fetch

urls = [f"{sys.argv[1]}/{number}" for number in range(int(sys.argv[2]))]
into = sys.argv[3]


def show(reply):
    print(reply.url, flush=True)
"""

# how a program ends that leaves its fetch
LEFT = {
    "sys.exit": "for reply in fetch(urls, threads=2, into=into):\n    sys.exit(7)",
    "an exception elsewhere": """
fetched = fetch(urls, threads=2, into=into)
show(next(replies := iter(fetched)))
1 / 0""",
}


@pytest.fixture
def slow(site: Site) -> Site:
    """Each reply takes 0.3 s: all of them on two threads would be 15 s."""

    def page(call: Call, _: int) -> None:
        time.sleep(0.3)
        call.reply(body_of(call.path))

    for number in range(COUNT):
        site.at(f"/{number}", page)
    return site


def program(code: str, site: Site, into: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", LOOP + code, site.url, str(COUNT), str(into)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def the_rest_can_be_fetched(site: Site, into: Path) -> None:
    """What was fetched is whole, and the rest is fetched, each URL once but those that were cut."""
    before = len(manifest(into))
    asked = site.hits.total()
    assert before <= asked < COUNT / 2
    for number in range(COUNT):
        site.pages.pop(f"/{number}")

    fetched = fetch([f"{site.url}/{number}" for number in range(COUNT)], threads=8, into=into, resume=True).wait()

    assert (fetched.complete, fetched.files, fetched.exit_code) == (before, COUNT - before, 0)
    assert sorted(contents(into).values()) == sorted(body_of(f"/{number}") for number in range(COUNT))


@pytest.mark.parametrize("code", LEFT.values(), ids=LEFT.keys())
def test_a_program_that_leaves_its_fetch_ends_soon_and_it_can_go_on(slow: Site, tmp_path: Path, code: str):
    _, errors = program(code, slow, tmp_path / "b").communicate(timeout=40)
    assert "Exception ignored" not in errors
    the_rest_can_be_fetched(slow, tmp_path / "b")


def break_off(fetched: FetchResult) -> None:
    # a user's `except KeyboardInterrupt: break` leaves the loop in the same way
    for _ in fetched:
        break


def return_first(fetched: FetchResult) -> FetchReply:
    for reply in fetched:
        return reply
    raise AssertionError


def throw_the_iterator_away(fetched: FetchResult) -> None:
    replies = iter(fetched)
    next(replies)
    del replies


def end_a_block_that_raises(fetched: FetchResult) -> None:
    with suppress(ValueError), fetched:
        raise ValueError


WAYS = (break_off, return_first, throw_the_iterator_away, end_a_block_that_raises)


@pytest.mark.parametrize("leave", WAYS, ids=lambda leave: leave.__name__)
def test_a_fetch_that_is_left_ends_soon_and_can_go_on(
    slow: Site, tmp_path: Path, leave: Callable[[FetchResult], object]
):
    fetched = fetch([f"{slow.url}/{number}" for number in range(COUNT)], threads=2, into=tmp_path / "b")
    leave(fetched)

    assert (fetched.exit_code, fetched.result.outcome) == (2, "interrupted")
    assert fetched.files == len(manifest(tmp_path / "b"))
    the_rest_can_be_fetched(slow, tmp_path / "b")


def test_ctrl_c_in_a_loop_ends_the_fetch_soon_and_the_program_as_ever(slow: Site, tmp_path: Path):
    process = program("for reply in fetch(urls, threads=2, into=into):\n    show(reply)", slow, tmp_path / "b")
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=40)

    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    the_rest_can_be_fetched(slow, tmp_path / "b")


@pytest.mark.parametrize(
    "code",
    [
        "fetched = fetch(urls, threads=20, into=into)\nshow(next(replies := iter(fetched)))",
        "fetch(urls, threads=20, into=into)\nsys.exit()",
    ],
)
def test_a_program_that_ends_well_loses_nothing_of_its_fetch(slow: Site, tmp_path: Path, code: str):
    process = program(code, slow, tmp_path / "b")
    _, errors = process.communicate(timeout=40)
    assert (process.returncode, errors) == (0, "")
    assert len(contents(tmp_path / "b")) == COUNT


def test_ctrl_c_while_a_program_waits_for_its_fetch_stops_it(slow: Site, tmp_path: Path):
    code = "fetched = fetch(urls, threads=2, into=into)\nshow(next(replies := iter(fetched)))"
    process = program(code, slow, tmp_path / "b")
    assert process.stdout
    process.stdout.readline()
    # in the first milliseconds of its end Python itself drops a KeyboardInterrupt ("Exception ignored in threading")
    while slow.hits.total() < 6 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=40)
    the_rest_can_be_fetched(slow, tmp_path / "b")


@pytest.mark.alone
def test_a_second_ctrl_c_while_a_program_ends_cuts_what_is_under_way(site: Site, tmp_path: Path):
    def stuck(call: Call, _: int) -> None:
        time.sleep(30)

    urls = [site.at("/0", lambda call, _: call.reply(b"{}")), site.at("/1", stuck)]
    code = f"for reply in fetch({urls!r}, threads=2, into=into):\n    show(reply)"
    process = program(code, site, tmp_path / "b")
    assert process.stdout
    process.stdout.readline()
    began = time.monotonic()
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    process.communicate(timeout=40)
    # by itself it would have been given five seconds more
    assert time.monotonic() - began < 4.5
    assert len(manifest(tmp_path / "b")) == 1


def test_a_loop_that_was_left_holds_the_folder_no_longer_than_it_has_to(slow: Site, tmp_path: Path):
    urls = [f"{slow.url}/{number}" for number in range(20)]
    for _ in fetch(urls, threads=4, into=tmp_path / "b"):
        break

    again = fetch(urls, threads=4, into=tmp_path / "b", resume=True).wait()

    assert again.exit_code == 0
    assert len(contents(tmp_path / "b")) == again.complete + again.files == 20


def test_looking_at_a_fetch_that_is_over_changes_nothing_of_it(site: Site, tmp_path: Path):
    fetched = fetch(site.urls(5), into=tmp_path / "b").wait()
    for _ in fetched:
        break
    assert (fetched.exit_code, fetched.result.outcome) == (0, "passed")
