"""Importing is cheap: an application's start must not pay for backups it may not take today.

CPU seconds are measured, not the clock's, and the least of several runs counts: other work on the machine only ever
adds.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

IMPORT_LIMIT_SECONDS = 0.100
VERSION_LIMIT_SECONDS = 0.150
RUNS = 7
NEEDLESS = ("asyncio", "email", "http", "json", "multiprocessing", "rich", "ssl", "subprocess", "urllib.request")
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


def test_a_snapshot_and_a_list_load_no_network_and_no_screen(tmp_path: Path) -> None:
    """HTTP alone, which came with one function for file: addresses, took a twentieth of a small snapshot."""
    code = (
        "import sys, contextlib\n"
        "import snapstore\n"
        f"work = {str(tmp_path)!r}\n"
        "with snapstore.init(work + '/repository', state_dir=work + '/state', kdf_seconds=0) as repository:\n"
        "    repository.create_dossier('books', secret='a secret of imports')\n"
        "from snapstore.cli.main import main\n"
        "for words in (['snapshot', work + '/source'], ['list']):\n"
        "    with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):\n"
        "        main(['--repo', work + '/repository', '--state-dir', work + '/state', *words])\n"
        "with snapstore.open(work + '/repository', state_dir=work + '/state') as repository:\n"
        "    count = len(repository.dossier('books').list())\n"
        f"print(count, *(name for name in {NEEDLESS!r} if name in sys.modules))"
    )
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"content")
    assert run_python(code) == "1"


def test_version_is_the_package_version() -> None:
    run = subprocess.run([sys.executable, "-m", "snapstore", "--version"], capture_output=True, text=True, check=True)
    assert run_python("import snapstore; print(snapstore.__version__)") in run.stdout
