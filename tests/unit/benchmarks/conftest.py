"""The benchmarks lie beside the package, not in it: made importable here, and left out where there are none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

sys.path.append(str(ROOT))  # `python -m pytest` has it there already, `pytest` has not
if os.name != "posix" or not (ROOT / "benchmarks" / "common").is_dir():
    collect_ignore_glob = ["test_*.py"]  # they measure with wait4, and a source archive does not hold them
