"""Importing is cheap: an application's start must not pay for backups it may not take today.

CPU seconds are measured, not the clock's, and the least of several runs counts: other work on the machine only ever
adds.
"""

from __future__ import annotations

import subprocess
import sys

IMPORT_LIMIT_SECONDS = 0.100
VERSION_LIMIT_SECONDS = 0.150
RUNS = 7
HEAVY = ("asyncio", "blake3", "click", "cryptography", "msgpack", "pathspec", "platformdirs", "rich", "zstandard")


def run_python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def least_seconds(code: str) -> float:
    return min(float(run_python(code).splitlines()[-1]) for _ in range(RUNS))


def test_import_is_cheap() -> None:
    code = "import time; start = time.process_time(); import snapstore; print(time.process_time() - start)"
    assert least_seconds(code) < IMPORT_LIMIT_SECONDS


def test_import_loads_nothing_heavy() -> None:
    code = f"import snapstore, sys; print(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    assert run_python(code) == ""


def test_version_is_quick() -> None:
    # process_time() counts from the start of the process, so the interpreter's own start is in it.
    code = (
        "import sys, time, contextlib\n"
        "sys.argv = ['snapstore', '--version']\n"
        "from snapstore.cli.main import main\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "print(time.process_time())"
    )
    assert least_seconds(code) < VERSION_LIMIT_SECONDS


def test_version_is_the_package_version() -> None:
    run = subprocess.run([sys.executable, "-m", "snapstore", "--version"], capture_output=True, text=True, check=True)
    assert run_python("import snapstore; print(snapstore.__version__)") in run.stdout
