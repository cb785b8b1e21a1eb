"""What browsers record, and recordings of any size, as files that run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadkit.plan.loader import load
from loadkit.server.demo import Demo
from tests.conftest import Call, served
from tests.importer.chromium import BROWSER, browsing
from tests.importer.site import PASSWORD, serving_site
from tests.importer.test_har import CASES, entry, imported, journey_of


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="limits what is not mapped from a file")
def test_a_recording_of_200_megabytes_takes_less_memory_than_that(tmp_path: Path):
    path, text = tmp_path / "big.har", "x" * 100_000
    one = json.dumps(entry("GET", "/items", reply={"token": "abc-12345-def", "text": text}))
    last = json.dumps(entry("GET", "/me", 59, headers={"Authorization": "Bearer abc-12345-def"}))
    with path.open("w") as file:
        file.write('{"log": {"entries": [')
        file.writelines(f"{one}," for _ in range(2000))
        file.write(f"{last}]}}}}")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_DATA, (150_000_000,) * 2); "
        "sys.argv = ['loadkit', 'import', 'har', sys.argv[1], '-o', sys.argv[2]]; from loadkit.cli import main; main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "big.py")], capture_output=True, text=True, check=False
    )

    assert path.stat().st_size > 200_000_000
    assert done.returncode == 0, done.stderr
    assert 'token = reply.json()["token"]' in (tmp_path / "big.py").read_text()


SHOPPING = """(async () => {
  const say = (path, body) => fetch(path, body && {
    method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body)
  }).then(reply => reply.json());
  const login = await say('/login', {user: 'ann', password: 'top secret'});
  await fetch('/me', {headers: {Authorization: 'Bearer ' + login.token}});
  const hits = await say('/search?q=tea');
  await new Promise(done => setTimeout(done, 300));
  const order = await say('/orders', {sku: hits.items[1].sku});
  await say('/orders/' + order.order);
  await say('/items/' + (await say('/items')).items[2].id);
  await say('/items/none');
})()"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.timeout(120)
def test_what_chromium_records_against_the_demo_server_runs(tmp_path: Path, call: Call, demo: Demo, monkeypatch):
    with browsing(tmp_path) as browser:
        browser.goto(f"{demo.url}/")
        browser.run(SHOPPING)
        har = browser.har()
    monkeypatch.chdir(tmp_path)
    Path("shop.har").write_text(json.dumps(har))

    written = call("import", "har", "shop.har")
    listed = call("list", "shop.py")
    monkeypatch.setenv("PASSWORD", "top secret")
    before = served(demo, "/orders/{n}")
    once = call("run", "shop.py", "--once")
    many = call("run", "shop.py", "-n", "3", "-c", "3")

    assert "taken from replies: token, sku, order, item_id" in written.stderr
    assert "secrets are taken from the environment: PASSWORD" in written.stderr
    assert "top secret" not in Path("shop.py").read_text()
    statements = journey_of(Path("shop.py").read_text())
    assert [one for one in statements if not one.startswith("http.pause(")] == [
        'http.get("/")',
        'reply = http.post("/login", json={"user": "ann", "password": os.environ["PASSWORD"]})',
        'token = reply.json()["token"]',
        'http.get("/me", headers={"Authorization": f"Bearer {token}"})',
        'reply = http.get("/search", params={"q": "tea"})',
        'sku = reply.json()["items"][1]["sku"]',
        'reply = http.post("/orders", json={"sku": sku})',
        'order = reply.json()["order"]',
        'http.get(f"/orders/{order}")',
        'reply = http.get("/items")',
        'item_id = reply.json()["items"][2]["id"]',
        'http.get(f"/items/{item_id}")',
        "with http.expecting(404):",
        '    http.get("/items/none")',
    ]
    pauses = [float(span) for span in re.findall(r"pause\(\"(\d+)ms\"\)", "\n".join(statements))]
    assert any(span >= 290 for span in pauses)
    assert listed.stdout.splitlines()[-1] == "  visit (journey)"
    assert (once.returncode, many.returncode) == (0, 0), once.stdout + many.stdout
    assert served(demo, "/orders/{n}") == before + 4


ACCOUNT = """(async () => {
  const csrf = document.querySelector('meta[name=csrf-token]').content;
  const made = await fetch('/notes', {
    method: 'POST', headers: {'Content-Type': 'application/json', 'X-CSRF-Token': csrf}, body: '{"text": "hi"}'
  });
  await fetch(made.headers.get('Location'));
  const form = new FormData();
  form.append('file', new Blob(['hello'], {type: 'text/plain'}), 'a.txt');
  const xsrf = decodeURIComponent(document.cookie.match(/XSRF-TOKEN=([^;]*)/)[1]);
  return (await fetch('/upload', {method: 'POST', headers: {'X-XSRF-TOKEN': xsrf}, body: form})).status;
})()"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.timeout(120)
def test_what_chromium_records_of_forms_cookies_and_uploads_runs_as_somebody_new_each_time(
    tmp_path: Path, call: Call, monkeypatch
):
    with serving_site() as site:
        with browsing(tmp_path) as browser:
            browser.goto(f"{site.url}/login")
            browser.submit(
                "document.forms[0].user.value = 'ann';"
                f"document.forms[0].password.value = '{PASSWORD}'; document.forms[0].submit()"
            )
            assert browser.run(ACCOUNT) == 200
            har = browser.har()
        monkeypatch.chdir(tmp_path)
        Path("site.har").write_text(json.dumps(har))
        site.refused.clear()

        written = call("import", "har", "site.har", "-o", "log_in.py")
        monkeypatch.setenv("PASSWORD", PASSWORD)
        done = call("run", "log_in.py", "-n", "6", "-c", "2", "--full")

        assert "taken from replies: csrf, location, xsrf_token" in written.stderr
        assert (done.returncode, site.refused) == (0, []), done.stdout
        assert site.logins == 1 + 6


def test_a_formatter_and_a_linter_find_nothing_to_change(tmp_path: Path):
    pytest.importorskip("ruff")
    text = imported(tmp_path, *(one for _, entries, _ in CASES for one in entries))
    for command in (["format", "--diff"], ["check", "--select", "E,F,W,I,B,UP,Q,C4,PIE,RET,SIM,ARG"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "120", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "shop.py").write_text(text)
    assert [one.name for one in load(str(tmp_path / "shop.py"))] == ["shop"]
