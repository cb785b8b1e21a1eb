"""The extension with the sanitizers of the compiler: no input has it read or write where it may not, or overflow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wire.conftest import needs_extension

ROOT = Path(__file__).parents[2]
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1"
SUITE = [
    "wire/test_exchange_loop.py",
    "wire/test_loop_arrivals.py",
    "wire/test_native_loop.py",
    "wire/test_same_bytes.py",
    "wire/test_unasked.py",
    "wire/test_faults.py",
    "measure/test_recording.py",
]
"""What is hostile to it."""


def _runtime() -> str:
    """Where the library of the address sanitizer is; empty if there is none."""
    try:
        asked = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return asked.stdout.strip() if Path(asked.stdout.strip()).is_absolute() else ""


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which Python finds the extension with sanitizers, by the plugin `sanitized`."""
    runtime, folder = _runtime(), tmp_path_factory.mktemp("sanitized")
    if not runtime:
        pytest.skip("gcc has no address sanitizer here (Debian: libasan comes with gcc)")
    build = [
        sys.executable,
        "setup.py",
        "-q",
        "build_ext",
        "--build-lib",
        f"{folder}/lib",
        "--build-temp",
        f"{folder}/o",
    ]
    subprocess.run(build, cwd=ROOT, env={**os.environ, "CC": "gcc", "CFLAGS": FLAGS}, check=True)
    (folder / "sanitized.py").write_text(
        "import loadkit.wire\n"
        f"loadkit.wire.__path__.insert(0, {str(folder / 'lib/loadkit/wire')!r})\n"
        "from loadkit.wire import _exchange\n"
        f"assert _exchange.__file__.startswith({str(folder)!r})\n"
    )
    # what Python itself never frees is no leak of ours
    return {
        **os.environ,
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": str(folder),
        "LOADKIT_NO_EXTENSION": "",
    }


@needs_extension
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_input_confuses_it(sanitized: dict[str, str]):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "sanitized", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *(f"tests/{name}" for name in SUITE)],
        cwd=ROOT, env=sanitized, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
