"""Functional tests under load beside the plugins that teams have, all installed: they are judged as by plain pytest."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from loadkit.server.demo import Demo
from tests.plugin.test_under_load import CONFTEST, SUITE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SETTINGS = """
[tool.pytest]
strict = true
filterwarnings = ["error"]
pythonpath = ["."]
asyncio_default_fixture_loop_scope = "function"
"""

ASYNCIO = """
import asyncio
import pytest
import pytest_asyncio


@pytest_asyncio.fixture
async def loop():
    await asyncio.sleep(0)
    yield asyncio.get_running_loop()
    await asyncio.sleep(0)


@pytest_asyncio.fixture(loop_scope="module")
async def number(loop):
    return 3


@pytest.fixture
def doubled(number):
    return 2 * number


@pytest.mark.asyncio
async def test_marked(loop, doubled):
    await asyncio.sleep(0)
    assert asyncio.get_running_loop() is loop
    assert doubled == 6


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("k", [1, 2])
async def test_cases(k):
    assert await asyncio.to_thread(lambda: k) == k


@pytest.mark.asyncio
class TestClass:
    async def test_in_class(self, loop):
        assert loop


@pytest.mark.asyncio
async def test_fails(number):
    assert number == 4


@pytest.mark.asyncio
@pytest.mark.xfail(raises=ZeroDivisionError)
async def test_expected_to_fail():
    1 / 0


@pytest.mark.asyncio
async def test_skips_itself():
    pytest.skip("not here")


def test_plain(): pass
"""

AUTO = """
import asyncio
import pytest


@pytest.fixture
async def loop():
    yield asyncio.get_running_loop()


async def test_async(loop):
    assert asyncio.get_running_loop() is loop


def test_plain(loop):
    assert loop


async def test_fails(loop):
    raise RuntimeError
"""

ANYIO = """
import anyio
import pytest


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio", {"debug": False}


@pytest.fixture
async def opened():
    await anyio.sleep(0)
    yield 4


@pytest.mark.anyio
async def test_marked(opened, anyio_backend_name):
    assert (opened, anyio_backend_name) == (4, "asyncio")
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)


async def test_that_names_its_backend(anyio_backend, free_tcp_port):
    with anyio.fail_after(60):
        await anyio.to_thread.run_sync(lambda: free_tcp_port)


@pytest.mark.anyio
async def test_fails(opened):
    assert opened == 5
"""

DJANGO = {
    "shop_settings.py": """
SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "shop"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"}}
""",
    "shop/__init__.py": "",
    "shop/models.py": """
from django.db import models


class Order(models.Model):
    sku = models.CharField(max_length=20)
""",
    "shop/urls.py": """
from django.http import JsonResponse
from django.urls import path
from shop.models import Order


def orders(request):
    Order.objects.create(sku=request.POST["sku"])
    return JsonResponse({"orders": Order.objects.count()}, status=201)


urlpatterns = [path("orders", orders)]
""",
    "test_shop.py": """
import pytest
from shop.models import Order


@pytest.fixture
def order(db):
    return Order.objects.create(sku="tea")


def test_a_test_sees_its_own_orders_alone(client, order):
    assert client.post("/orders", {"sku": "cup"}).json() == {"orders": 2}
    assert Order.objects.count() == 2


@pytest.mark.django_db
def test_what_others_have_done_is_rolled_back():
    assert not Order.objects.exists()


def test_a_customer_logs_in(admin_client, admin_user):
    assert admin_user.is_superuser


@pytest.mark.django_db
def test_fails():
    assert Order.objects.count() == 1
""",
}


def run(python: Path, folder: Path, *arguments: str) -> str:
    """What pytest prints there."""
    done = subprocess.run(
        [str(python), "-m", "pytest", "-p", "no:cacheprovider", "-v", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    return done.stdout + done.stderr


def verdicts(printed: str) -> dict[str, set[str]]:
    """What became of each test; there may be a pass and an error of one."""
    found: dict[str, set[str]] = {}
    pattern = r"^(\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)"
    for test, verdict in re.findall(pattern, printed, re.MULTILINE):
        found.setdefault(test, set()).add(verdict)
    return found


LOAD = ("--load-threads", "8", "--load-iterations", "400")


@pytest.mark.parametrize(
    ("code", "settings", "kinds"),
    [
        (SUITE, "", {"PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL"}),
        (ASYNCIO, "", {"PASSED", "FAILED", "SKIPPED", "XFAIL"}),
        (AUTO, 'asyncio_mode = "auto"', {"PASSED", "FAILED"}),
        (ANYIO, "", {"PASSED", "FAILED"}),
        (ANYIO, 'anyio_mode = "auto"', {"PASSED", "FAILED"}),
    ],
    ids=["of all kinds", "asyncio strict", "asyncio auto", "anyio", "anyio auto"],
)
def test_a_suite_has_the_verdicts_that_pytest_gives_it(
    python: Path, tmp_path: Path, demo: Demo, code: str, settings: str, kinds: set[str]
):
    (tmp_path / "pyproject.toml").write_text(SETTINGS + settings)
    (tmp_path / "conftest.py").write_text(CONFTEST.replace("@URL@", demo.url))
    (tmp_path / "test_it.py").write_text(code)

    plain = run(python, tmp_path)
    loaded = run(python, tmp_path, *LOAD, "--reruns", "1")

    assert set().union(*verdicts(plain).values()) == kinds, plain
    assert verdicts(loaded) == verdicts(plain), loaded


def test_threads_have_transactions_of_their_own_in_a_database_of_django(
    python: Path, tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "pyproject.toml").write_text(f'{SETTINGS}\nDJANGO_SETTINGS_MODULE = "shop_settings"')
    for name, text in DJANGO.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PGHOST", postgres)
    monkeypatch.setenv("PGUSER", "shop")

    plain = run(python, tmp_path)
    loaded = run(python, tmp_path, *LOAD)

    assert set().union(*verdicts(plain).values()) == {"PASSED", "FAILED"}, plain
    assert verdicts(loaded) == verdicts(plain), loaded
    assert "being accessed by other users" not in loaded, "threads have closed their connections"


def test_tests_of_django_that_empty_tables_are_refused(python: Path, tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text(f'{SETTINGS}\nDJANGO_SETTINGS_MODULE = "shop_settings"')
    (tmp_path / "shop_settings.py").write_text(DJANGO["shop_settings.py"])
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.django_db(transaction=True)\ndef test_mark(): pass\n"
        "def test_served(live_server): pass\n"
        "def test_fixture(transactional_db): pass\n"
        "def test_settings(settings): pass\n"
    )

    found = {name: run(python, tmp_path, *LOAD, "-k", name) for name in ("mark", "served", "fixture", "settings")}

    refused = "cannot be run by threads"
    assert f"test_mark {refused}: django_db(transaction=True): it empties all tables" in found["mark"]
    assert f"test_served {refused}: live_server: it empties all tables" in found["served"]
    assert f"test_fixture {refused}: transactional_db: it empties all tables" in found["fixture"]
    assert f"test_settings {refused}: settings: it changes objects that all threads see" in found["settings"]
